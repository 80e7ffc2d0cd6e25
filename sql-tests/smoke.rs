//! A first walk through the whole.
use blueshift::engine::Warehouse;

async fn show(s: &blueshift::engine::Session, q: &str) {
    println!("> {q}");
    match s.sql(q).await {
        Ok(o) => {
            println!("{} {:?}", o.tag, o.notices);
            match o.collect().await {
                Ok(b) => println!("{}", datafusion::arrow::util::pretty::pretty_format_batches(&b).unwrap()),
                Err(e) => println!("ERROR {e:?}"),
            }
        }
        Err(e) => println!("ERROR {e:?}"),
    }
}

#[tokio::test]
async fn walk() {
    let w = Warehouse::builder()
        .geometry(blueshift::format::Geometry::TINY)
        .slices(3)
        .threads(2)
        .open("memory://")
        .await
        .unwrap();
    let s = w.session();
    for q in [
        "create table t(a int not null distkey sortkey, b varchar(10), c decimal(12,2) default 1.5, d date, e boolean, f double precision, g timestamp)",
        "insert into t values (1,'x',1.25,'2020-01-01',true,1.5,'2020-01-01 00:00:01'),(2,null,default,null,false,null,null)",
        "insert into t(a,b) select v, 'row' || v from generate_series(10, 60) s(v)",
        "select * from t order by a limit 5",
        "select count(*), sum(c), min(d), max(b) from t where a > 20 and b like 'row%'",
        "explain select * from t where a = 30",
        "explain analyze select b from t where a = 30",
        "explain analyze select t1.b, t2.c from t t1 join t t2 on t1.a = t2.a where t1.a < 15",
        "create table u as select a, count(*) n from t group by a",
        "select count(*) from u join t using (a)",
        "insert into t values (null)",
        "select * from nope",
        "selec 1",
        "drop table t",
    ] {
        show(&s, q).await;
    }
}
