"""Short queries over TPC-H's tables, as dashboards send them: points, ranges, groups of few rows and small joins.

Basis: TPC Benchmark H specification 3.0.1, clause 4.2.3, for the ranges of keys, days and words.
"""

import datetime
import random

from queries import CONTAINERS, MODES, NATIONS, REGIONS, SEGMENTS, brand, words

FIRST_DAY = datetime.date(1992, 1, 1)
# Orders come until this day; some of what is sent last is still under way.
LAST_DAY = datetime.date(1998, 8, 2)
REVENUE = "sum(l_extendedprice * (1 - l_discount))"


class Values:
    """What templates draw, at one scale."""

    def __init__(self, source, scale):
        self.source = source
        self.scale = scale

    def key(self, table_rows):
        return self.source.randint(1, max(1, int(table_rows * self.scale)))

    def order(self):
        # Of 32 keys the first 8 are there.
        place = self.key(1_500_000) - 1
        return place // 8 * 32 + place % 8 + 1

    def customer(self):
        """One with orders, which every third has not."""
        key = self.key(150_000)
        return key - 1 if key % 3 == 0 else key

    def days(self, length):
        """The first day of so many, and the first one behind them."""
        first = FIRST_DAY + datetime.timedelta(days=self.source.randint(0, (LAST_DAY - FIRST_DAY).days - length))
        return first, first + datetime.timedelta(days=length)

    def day(self):
        return self.days(1)[0]

    def month(self):
        """The first day of a month, and of the next."""
        months = self.source.randint(1992 * 12, 1998 * 12 + 5)
        return (datetime.date(place // 12, place % 12 + 1, 1) for place in (months, months + 1))


def between(column, days):
    first, behind = days
    return f"{column} >= date '{first}' and {column} < date '{behind}'"


TEMPLATES = [
    # Points.
    lambda draw: f"select * from orders where o_orderkey = {draw.order()}",
    lambda draw: "select l_linenumber, l_partkey, l_quantity, l_extendedprice, l_shipdate, o_orderstatus, o_totalprice "
    f"from orders join lineitem on l_orderkey = o_orderkey where o_orderkey = {draw.order()} order by l_linenumber",
    lambda draw: f"select * from customer where c_custkey = {draw.key(150_000)}",
    lambda draw: f"select * from part where p_partkey = {draw.key(200_000)}",
    lambda draw: "select s_name, s_address, s_phone, s_acctbal, n_name from supplier join nation on n_nationkey = s_nationkey "
    f"where s_suppkey = {draw.key(10_000)}",
    # Ranges.
    lambda draw: "select o_orderkey, o_orderdate, o_orderstatus, o_totalprice from orders "
    f"where o_custkey = {draw.customer()} and {between('o_orderdate', draw.month())} order by o_orderdate, o_orderkey",
    lambda draw: "select o_orderkey, o_orderdate, o_orderstatus, o_totalprice from orders "
    f"where o_custkey = {draw.customer()} order by o_orderdate desc, o_orderkey limit 10",
    lambda draw: "select l_orderkey, l_linenumber, l_quantity, l_extendedprice from lineitem "
    f"where l_shipdate = date '{draw.day()}' and l_shipmode = '{draw.source.choice(MODES)}' and l_quantity >= 45 "
    "order by l_orderkey, l_linenumber",
    lambda draw: "select l_shipdate, l_orderkey, l_quantity, l_extendedprice from lineitem "
    f"where l_partkey = {draw.key(200_000)} order by l_shipdate, l_orderkey, l_linenumber",
    lambda draw: "select p_partkey, p_name, p_retailprice from part "
    f"where p_brand = '{brand(draw.source)}' and p_container = '{words(draw.source, CONTAINERS)}' "
    "order by p_retailprice desc, p_partkey limit 20",
    # Groups of few rows.
    lambda draw: f"select l_shipmode, {REVENUE} as revenue, count(*) as items from lineitem "
    f"where {between('l_shipdate', draw.days(7))} group by l_shipmode order by revenue desc",
    lambda draw: f"select l_shipdate, {REVENUE} as revenue, avg(l_quantity) as quantity from lineitem "
    f"where {between('l_shipdate', draw.days(7))} group by l_shipdate order by l_shipdate",
    lambda draw: "select o_orderpriority, count(*) as orders, sum(o_totalprice) as total from orders "
    f"where o_orderdate = date '{draw.day()}' group by o_orderpriority order by o_orderpriority",
    lambda draw: "select l_shipinstruct, count(*) as items, "
    "sum(case when l_receiptdate > l_commitdate then 1 else 0 end) as late "
    f"from lineitem where l_shipdate = date '{draw.day()}' group by l_shipinstruct order by l_shipinstruct",
    lambda draw: "select count(*) as parts, sum(ps_availqty) as pieces, "
    "min(ps_supplycost) as least, max(ps_supplycost) as most "
    f"from partsupp where ps_suppkey = {draw.key(10_000)}",
    lambda draw: "select c_nationkey, count(*) as customers, avg(c_acctbal) as balance from customer "
    f"where c_mktsegment = '{draw.source.choice(SEGMENTS)}' and c_acctbal > {draw.source.randint(-900, 9000)} "
    "group by c_nationkey order by c_nationkey",
    # Small joins.
    lambda draw: "select c_custkey, c_name, sum(o_totalprice) as total from orders join customer on c_custkey = o_custkey "
    f"where o_orderdate = date '{draw.day()}' group by c_custkey, c_name order by total desc, c_custkey limit 10",
    lambda draw: "select s_suppkey, s_name, ps_availqty, ps_supplycost from partsupp join supplier on s_suppkey = ps_suppkey "
    f"where ps_partkey = {draw.key(200_000)} order by ps_supplycost, s_suppkey",
    lambda draw: "select n_name, count(*) as suppliers, sum(s_acctbal) as balance from supplier "
    "join nation on n_nationkey = s_nationkey join region on r_regionkey = n_regionkey "
    f"where r_name = '{draw.source.choice(REGIONS)}' and s_acctbal > {draw.source.randint(-900, 9000)} "
    "group by n_name order by n_name",
    lambda draw: f"select o_orderpriority, {REVENUE} as revenue, count(*) as items from lineitem "
    f"join orders on o_orderkey = l_orderkey where l_shipdate = date '{draw.day()}' "
    "group by o_orderpriority order by o_orderpriority",
    lambda draw: "select o_orderkey, o_orderdate, c_name, o_totalprice from orders join customer on c_custkey = o_custkey "
    f"join nation on n_nationkey = c_nationkey where n_name = '{draw.source.choice(NATIONS)}' "
    f"and {between('o_orderdate', draw.days(7))} order by o_totalprice desc, o_orderkey limit 20",
]


def queries(count, scale, seed):
    """So many different ones, of each template as many as of the others."""
    draw = Values(random.Random(seed), scale)
    found = []
    while len(found) < count:
        text = TEMPLATES[len(found) % len(TEMPLATES)](draw)
        if text not in found:
            found.append(text)
    return found
