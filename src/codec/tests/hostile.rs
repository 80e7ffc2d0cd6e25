//! Bytes that no writer made.

use super::super::message::{self, FORMAT, Node, PlanKind};
use super::*;
use crate::common::ErrorKind;
use crate::testing::rng::Rng;

async fn plans(session: &Session) -> (Vec<u8>, Vec<u8>) {
    run(
        session,
        &[
            "create table t (k bigint, g int, v varchar(20)) distkey(k) sortkey(k)",
            "insert into t select v, v % 7, 'text ' || v from generate_series(1, 200) n(v)",
            "create table u (k bigint, g int) distkey(k)",
            "insert into u select v, v % 7 from generate_series(1, 100) n(v)",
            "analyze",
        ],
    )
    .await;
    let sql = "select t.g, count(*) n, max(v::char(5)) m from t join u on t.k = u.k and t.g = u.g \
               where t.k > 3 and v like '%1%' group by t.g order by n limit 3";
    let codec = BlueshiftCodec::new(session.warehouse());
    let logical = codec.encode(&logical(session, sql).await).unwrap();
    (logical.to_vec(), codec.encode_physical(&physical(session, sql).await).unwrap().to_vec())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn damage_is_noticed() {
    let directory = tempfile::tempdir().unwrap();
    let session = open(directory.path()).await.session();
    let (logical, physical) = plans(&session).await;
    let codec = BlueshiftCodec::new(session.warehouse());
    let context = session.context().task_ctx();
    for length in (0..physical.len()).step_by(7) {
        let e = codec.decode_physical(&physical[..length], &context).unwrap_err();
        assert_eq!(e.kind(), ErrorKind::Corrupt, "{length}: {e:?}");
    }
    for at in 0..logical.len() {
        let mut bytes = logical.clone();
        bytes[at] ^= 1 << (at % 8);
        let e = codec.decode(&bytes, &context).unwrap_err();
        let expected = match at {
            4 => ErrorKind::Unsupported,
            5 => ErrorKind::Invalid,
            _ => ErrorKind::Corrupt,
        };
        assert_eq!(e.kind(), expected, "{at}: {e:?}");
    }
    assert_eq!(codec.decode(&physical, &context).unwrap_err().kind(), ErrorKind::Invalid);
    let mut newer = physical.clone();
    newer[4] = FORMAT + 1;
    let e = codec.decode_physical(&newer, &context).unwrap_err();
    assert_eq!(e.kind(), ErrorKind::Unsupported);
    assert!(e.message().contains(&format!("format {}", FORMAT + 1)), "{e:?}");
    let e = message::read::<Node>(&[FORMAT + 1, 0], "operator").unwrap_err();
    assert_eq!(e.kind(), ErrorKind::Unsupported, "{e:?}");
}

/// Bytes whose checksum is right: each gives a plan, whatever it is, or an error that says so.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn forged_plans_do_no_harm() {
    let directory = tempfile::tempdir().unwrap();
    let session = open(directory.path()).await.session();
    let (logical, physical) = plans(&session).await;
    let codec = BlueshiftCodec::new(session.warehouse());
    let context = session.context().task_ctx();
    let mut rng = Rng::new(0xC0DEC);
    let (mut read, mut refused) = (0, 0);
    for round in 0..10_000 {
        let kind = if round % 3 == 0 { PlanKind::Logical } else { PlanKind::Physical };
        let mut plan = message::open(kind, if kind == PlanKind::Logical { &logical } else { &physical }).unwrap();
        for _ in 0..1 + rng.below(3) {
            let at = rng.below(plan.plan.len());
            match rng.below(4) {
                0 => plan.plan[at] = rng.next_u64() as u8,
                1 => plan.plan[at] ^= 1 << rng.below(8),
                2 => plan.plan.truncate(at.max(1)),
                _ => plan.plan.insert(at, rng.next_u64() as u8),
            }
        }
        let bytes = message::seal(kind, &plan);
        let outcome = match kind {
            PlanKind::Logical => codec.decode(&bytes, &context).map(|_| ()),
            PlanKind::Physical => codec.decode_physical(&bytes, &context).map(|_| ()),
        };
        match outcome {
            Ok(()) => read += 1,
            Err(e) => {
                refused += 1;
                assert_ne!(e.kind(), ErrorKind::Internal, "{e:?}");
            }
        }
    }
    assert!(read > 0 && refused > read, "{read} {refused}");
}

#[test]
fn headers_of_any_bytes_are_read() {
    let mut rng = Rng::new(7);
    for _ in 0..2_000 {
        let length = rng.below(40);
        let bytes: Vec<u8> = (0..length).map(|_| rng.next_u64() as u8).collect();
        assert!(message::open(PlanKind::Physical, &bytes).is_err());
        let _ = message::read::<Node>(&bytes, "operator");
    }
}
