use super::{Delivery, Target, Verdict, claim, dead, lanes, next_due, recover, settle};
use crate::testing::Bench;
use mayfly_kernel::{Arn, Time};
use std::time::Duration;

fn to(function: &str) -> Delivery {
    Delivery {
        target: Target::Function(Arn::new(
            "lambda",
            "us-east-1",
            "000000000000",
            format!("function:{function}"),
        )),
        event_type: "test".into(),
        payload: b"{}".to_vec(),
        source: "test".into(),
        id: None,
        due: None,
        depth: 0,
        tenant: None,
    }
}

#[test]
fn a_delivery_survives_the_process_that_was_performing_it() {
    let bench = Bench::seed(1);
    bench.run(|cx| cx.deliver(to("thumb")));
    let [(lane, _)] = &lanes(bench.store()).unwrap()[..] else { panic!("one lane") };

    let first = bench.run(|cx| claim(cx, bench.store(), lane, 10));
    assert_eq!(first.len(), 1);
    assert!(bench.run(|cx| claim(cx, bench.store(), lane, 10)).is_empty(), "claimed only once");

    assert_eq!(bench.run(|cx| recover(cx, 100)), 1);
    let again = bench.run(|cx| claim(cx, bench.store(), lane, 10));
    assert_eq!((again[0].id.as_str(), again[0].attempt), (first[0].id.as_str(), 2));

    bench.run(|cx| settle(cx, again[0].clone(), Verdict::Done));
    assert_eq!(bench.run(|cx| recover(cx, 100)), 0);
    assert!(lanes(bench.store()).unwrap().is_empty());
}

#[test]
fn nothing_is_claimed_before_it_is_due_and_lanes_do_not_mix() {
    let bench = Bench::seed(2);
    let later = bench.now() + Duration::from_secs(60);
    bench.run(|cx| {
        cx.deliver(Delivery { due: Some(later), ..to("slow") })?;
        cx.deliver(to("quick"))?;
        cx.deliver(to("quick2"))
    });
    let found = lanes(bench.store()).unwrap();
    assert_eq!(found.len(), 3);
    let slow = &found.iter().find(|(lane, _)| lane.ends_with("slow")).unwrap().0;
    assert!(bench.run(|cx| claim(cx, bench.store(), slow, 10)).is_empty());
    bench.advance(Duration::from_secs(60));
    assert_eq!(bench.run(|cx| claim(cx, bench.store(), slow, 10)).len(), 1);
}

#[test]
fn a_verdict_decides_what_becomes_of_a_delivery() {
    let bench = Bench::seed(3);
    bench.run(|cx| cx.deliver(to("f")));
    let lane = lanes(bench.store()).unwrap()[0].0.clone();
    let take = || bench.run(|cx| claim(cx, bench.store(), &lane, 1)).pop().unwrap();

    let later = bench.now() + Duration::from_secs(5);
    bench.run(|cx| settle(cx, take(), Verdict::Postpone { at: later }));
    assert_eq!(next_due(bench.store(), &lane).unwrap(), Some(later));
    bench.advance(Duration::from_secs(5));
    let record = take();
    assert_eq!(record.attempt, 1, "a postponed start is not an attempt");

    bench.run(|cx| settle(cx, record.clone(), Verdict::Retry { at: Time::EPOCH }));
    let record = take();
    assert_eq!(record.attempt, 2);
    bench.run(|cx| settle(cx, record.clone(), Verdict::Dead { reason: "why".into() }));
    assert_eq!(dead(bench.store(), 10).unwrap()[0].last_error, "why");
    assert_eq!(next_due(bench.store(), &lane).unwrap(), None);
}
