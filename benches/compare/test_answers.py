"""python -m unittest discover -s benches/compare"""

import io
import sys
import unittest

# The modules beside this one leave no files there.
sys.dont_write_bytecode = True

from answers import difference
from csv_rows import rows_of, write_rows
from statements import statements


def one(sql):
    (found,) = statements(sql)
    return found


def order(sql, header):
    return [header.split(",")[place] for place in one(sql).order(header.split(","))]


def compared(sql, types, ours, theirs):
    """Two answers, whose rows are separated by blanks."""
    header = ",".join(f"c{place}" for place in range(len(types.split(" "))))
    as_csv = lambda rows: "\n".join([header, *(row.replace("_", " ") for row in rows.split(" ") if rows), ""]).encode()
    return difference(one(sql), types.split(" "), as_csv(ours), as_csv(theirs))


class Statements(unittest.TestCase):
    def test_semicolons_end_statements_outside_of_texts_and_comments(self):
        sql = "select ';' -- one; comment\n, \"a;b\"; /* ; */ ;\nselect 'it''s;'\n  from t -- the end"
        self.assertEqual([found.text for found in statements(sql)], ["select ';' , \"a;b\"", "select 'it''s;' from t"])

    def test_texts_keep_their_blanks(self):
        self.assertEqual(one("select  'a  -- b\n c'").text, "select 'a  -- b\n c'")

    def test_limits_are_those_outside_of_parentheses(self):
        found = one("select * from (select a from t limit 3) limit 10 offset 20")
        self.assertEqual((found.limit, found.offset), (10, 20))
        found = one("select a, (select 1 limit 1) from t")
        self.assertEqual((found.limit, found.offset), (None, 0))
        self.assertEqual(one("select a from t offset 5 rows fetch first 7 rows only").limit, 7)
        self.assertEqual(one("select a from t limit 0").limit, 0)

    def test_what_gives_rows(self):
        found = statements("create table a as select 1; with a as (select 1) select 2; (select 3)")
        self.assertEqual([statement.gives_rows() for statement in found], [False, True, True])


class Order(unittest.TestCase):
    def test_names_aliases_and_places(self):
        self.assertEqual(order("select a, b as x, c y from t order by Y desc nulls last, 1, x asc", "a,x,y"), ["y", "a", "x"])
        self.assertEqual(order('select a as "Total Sum" from t order by "total sum"', "Total Sum"), ["Total Sum"])

    def test_the_last_order_by_outside_of_parentheses_counts(self):
        sql = "with w as (select a from t order by a) select a, rank() over (order by b) r from (select b from w order by b)"
        self.assertEqual(order(sql, "a,r"), [])
        self.assertEqual(order(sql + " order by r", "a,r"), ["r"])
        self.assertEqual(order("select a, rank() over (order by a) from t", "a,r"), [])

    def test_columns_with_tables(self):
        self.assertEqual(order("select s.a, t.a as b from s, t order by t.a", "a,b"), ["b"])
        self.assertEqual(order("select a, b from s, t order by t.a", "a,b"), ["a"])
        self.assertEqual(order("select t.a as x from t order by a", "x"), ["x"])
        self.assertEqual(order("select s.a from s, t order by t.a", "a"), [])

    def test_expressions_that_are_selected(self):
        self.assertEqual(order("select a, count(*) from t group by a order by COUNT( * ) desc, a", "a,n"), ["n", "a"])
        self.assertEqual(order("select a, sum(b + c) total from t group by a order by sum(b+c)", "a,total"), ["total"])
        self.assertEqual(order("select a from t order by lower(a), a + 1", "a"), [])
        self.assertEqual(order("select a, case when b then 1 end from t order by case when b then 1 end", "a,x"), ["x"])

    def test_a_star_leaves_names(self):
        self.assertEqual(order("select * from t order by b, c", "a,b"), ["b"])
        self.assertEqual(order("select * from t join u using (k) order by t.b", "b,b"), [])
        self.assertEqual(order("select t.*, 1 as n from t, u order by t.a, u.b, n", "a,b,n"), ["a", "n"])

    def test_unions_have_the_names_of_the_first(self):
        self.assertEqual(order("select a x from t union all select b from u order by x", "x"), ["x"])
        self.assertEqual(order("(select a x from t) union (select b from u) order by x", "x"), ["x"])


class Rows(unittest.TestCase):
    def test_null_is_no_empty_text(self):
        self.assertEqual(rows_of(b'a,b\n,""\n"x,""y""\n",2\n'), (["a", "b"], [[None, ""], ['x,"y"\n', "2"]]))
        self.assertEqual(rows_of(b'a\r\n\r\n""\r\n'), (["a"], [[None], [""]]))
        self.assertEqual(rows_of(b"a\n"), (["a"], []))

    def test_what_is_written_is_read(self):
        both = ["a", "b"]
        for header, rows in [(["a"], [(None,), ("",), ("b",)]), (both, [(None, ""), ('"', "x,\ny")]), (both, [("1", None)])]:
            out = io.StringIO()
            write_rows(out, header, rows)
            self.assertEqual(rows_of(out.getvalue().encode()), (header, [list(row) for row in rows]))


class Answers(unittest.TestCase):
    def same(self, sql, types, ours, theirs):
        self.assertIsNone(compared(sql, types, ours, theirs))

    def differ(self, sql, types, ours, theirs):
        self.assertIsNotNone(compared(sql, types, ours, theirs))

    def test_integers_and_decimals_are_exact(self):
        for kind in ("INTEGER", "HUGEINT", "UBIGINT", "DECIMAL(15,2)"):
            self.same("select a from t", kind, "1000000 2", "2 1000000")
            self.differ("select a from t", kind, "1000000 2", "1000001 2")
        self.same("select a from t", "DECIMAL(15,2)", "1.5", "1.50")
        self.differ("select a from t", "DECIMAL(15,2)", "1000000.01", "1000000.02")

    def test_floats_have_a_tolerance(self):
        self.same("select a from t", "DOUBLE", "0.3333333333333333", "0.33333333333333337")
        self.same("select a from t", "DOUBLE", "1e30", "1.0000000001e+30")
        self.differ("select a from t", "DOUBLE", "0.3333333333333333", "0.3334")
        self.differ("select a from t", "DOUBLE", "0.5", "0.53")
        self.same("select a from t", "DOUBLE", "NaN inf", "nan inf")
        self.differ("select a from t", "DOUBLE", "NaN", "0.0")
        # Ours is a float where DuckDB has a decimal.
        self.same("select a from t", "DECIMAL(15,2)", "1000000.0100000001", "1000000.01")

    def test_quotients_of_ours_may_be_decimals_or_integers(self):
        self.same("select a from t", "DOUBLE", "0.366666 0.010000", "0.3666666666666667 0.01")
        self.differ("select a from t", "DOUBLE", "0.366666 0.010000", "0.3666866666666667 0.01")
        self.same("select a from t", "DOUBLE", "3 7", "3.6666666666666665 7.0")
        self.differ("select a from t", "DOUBLE", "3 7", "4.0 7.0")

    def test_texts_are_no_numbers(self):
        self.differ("select a from t", "VARCHAR", "007", "7")
        self.differ("select a from t", "VARCHAR", "t", "true")

    def test_nulls_are_no_empty_texts_and_no_zeros(self):
        self.same("select a from t", "VARCHAR INTEGER", ",1", ",1")
        self.differ("select a from t", "VARCHAR INTEGER", ",1", '"",1')
        self.differ("select a from t", "VARCHAR INTEGER", "a,", "a,0")

    def test_ways_of_writing(self):
        self.same("select a from t", "BOOLEAN BOOLEAN", "t,false", "True,False")
        self.differ("select a from t", "BOOLEAN", "t", "False")
        self.same("select a from t", "TIMESTAMP", "2013-07-15_10:00:00.500", "2013-07-15_10:00:00.5")
        self.same("select a from t", "TIMESTAMP", "2013-07-15_10:00:00", "2013-07-15_10:00:00.000000")
        self.same("select a from t", "TIMESTAMP", "2013-07-15", "2013-07-15_00:00:00")
        self.same("select a from t", "TIMESTAMP_WITH_TIME_ZONE", "2013-07-15_10:00:00+00", "2013-07-15_10:00:00+00:00")
        self.differ("select a from t", "TIMESTAMP", "2013-07-15_10:00:00", "2013-07-15_10:00:01")

    def test_without_order_any_order_is_right(self):
        self.same("select a, b from t", "INTEGER VARCHAR", "1,a 2,b 2,b", "2,b 1,a 2,b")
        self.differ("select a, b from t", "INTEGER VARCHAR", "1,a 2,b 2,b", "1,a 1,a 2,b")
        self.differ("select a from t", "INTEGER", "1 2", "1 2 2")

    def test_floats_that_sort_otherwise_within_the_tolerance_still_match(self):
        ours = "0.100000,1 0.100000,2 0.200000,3"
        self.same("select a, b from t", "DOUBLE DOUBLE", ours, "0.1000000001,2 0.1000000002,1 0.2,3")
        self.differ("select a, b from t", "DOUBLE INTEGER", ours, "0.1000000001,2 0.1000000002,2 0.2,3")

    def test_sequences_follow_the_order(self):
        sql = "select c0, c1 from t order by c0 desc"
        self.same(sql, "INTEGER VARCHAR", "3,a 2,b 2,c", "3,a 2,c 2,b")
        self.differ(sql, "INTEGER VARCHAR", "2,b 3,a 2,c", "3,a 2,c 2,b")
        self.differ(sql, "INTEGER VARCHAR", "3,a 2,b 2,c", "3,a 2,b 2,d")
        # NULLs at the other end.
        self.differ("select c0 from t order by 1", "INTEGER VARCHAR", "1,a ,b", ",b 1,a")

    def test_rows_tied_at_the_limit_may_differ(self):
        sql = "select c0, c1 from t order by c0 limit 3"
        self.same(sql, "INTEGER VARCHAR", "1,a 2,b 2,c", "1,a 2,d 2,e")
        self.differ(sql, "INTEGER VARCHAR", "1,a 2,b 3,c", "1,a 2,d 3,c")
        self.differ(sql, "INTEGER VARCHAR", "1,a 2,b 3,c", "1,a 2,b 4,c")
        # Fewer than the limit: all of them are there.
        self.differ(sql, "INTEGER VARCHAR", "1,a 2,b", "1,a 2,c")
        self.differ(sql, "INTEGER VARCHAR", "1,a 2,b 2,c", "1,a 2,b")
        self.same("select c0 from t order by c0 limit 0", "INTEGER", "", "")

    def test_rows_tied_at_the_offset_may_differ(self):
        sql = "select c0, c1 from t order by c0 limit 5 offset 2"
        self.same(sql, "INTEGER VARCHAR", "1,a 2,b 3,c", "1,z 2,b 3,c")
        self.differ(sql, "INTEGER VARCHAR", "1,a 2,b 3,c", "1,a 2,z 3,c")
        self.same(sql.replace("5", "3"), "INTEGER VARCHAR", "1,a 2,b 3,c", "1,z 2,b 3,y")

    def test_without_a_known_order_only_the_number_of_a_limits_rows_counts(self):
        for sql in ("select c0 from t limit 2", "select c0 from t order by lower(c0) limit 2"):
            self.same(sql, "INTEGER", "1 2", "3 4")
            self.differ(sql, "INTEGER", "1", "3")
            self.differ(sql, "INTEGER", "1 2", "3")

    def test_what_orders_further_counts_only_where_the_tolerance_does_not_decide(self):
        sql = "select c0, c1 from t order by c0, c1"
        # Ours is cut off, so that both averages are 3 and the second column decides.
        self.same(sql, "DOUBLE VARCHAR", "3,a 3,b 5,c", "3.2,b 3.4,a 5.1,c")
        self.differ(sql, "DOUBLE VARCHAR", "3,b 3,a 5,c", "3.0,a 3.0,b 5.1,c")

    def test_columns_are_counted(self):
        self.assertIsNotNone(difference(one("select 1"), ["INTEGER"], b"a\n1\n", b"a,b\n1,2\n"))


if __name__ == "__main__":
    unittest.main()
