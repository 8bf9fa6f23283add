//! Queues: rows that are deleted at their head again and again, while a backlog of them lies in the tree.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use mayfly_store::{Durability, LocalOptions, Order, Store, Tx};
use std::collections::BTreeMap;
use std::ops::Bound;
use std::time::Instant;
use support::{PATIENCE, Random, small_tables, until};

type Model = BTreeMap<Vec<u8>, Vec<u8>>;

fn key(number: usize) -> Vec<u8> {
    format!("q/{number:05}").into_bytes()
}

fn commit(tx: Tx) {
    tx.commit(Durability::Relaxed).wait().unwrap();
}

/// Random queues and scans, whatever lies in which layer, and old views beside new ones: all as a plain map has it.
#[test]
fn scans_over_deleted_heads_see_what_a_map_sees() {
    for seed in 0..4 {
        let dir = tempfile::tempdir().unwrap();
        let options = LocalOptions { memory_table_bytes: 64 * 1024, ..small_tables() };
        let store = Store::open(dir.path(), options).unwrap();
        let mut random = Random(seed);
        let mut model = Model::new();
        let mut views: Vec<(Tx, Model)> = Vec::new();
        let give_up = Instant::now() + PATIENCE;
        let (mut steps, mut after) = (0, 0);
        // A flush takes as long as the disk does, and some steps are to come after one.
        while steps < 500 || after < 50 {
            assert!(Instant::now() < give_up, "tables are flushed on the way");
            steps += 1;
            after += u32::from(store.stats().flushes > 0);
            step(&store, &mut random, &mut model);
            if random.below(8) == 0 {
                views.push((store.view(), model.clone()));
            }
            if views.len() > 4 {
                views.remove(random.below(4));
            }
            check(&store.view(), &model, &mut random);
            for (view, then) in &views {
                check(view, then, &mut random);
            }
        }
    }
}

/// Puts some rows anywhere, or takes some at the head.
fn step(store: &Store, random: &mut Random, model: &mut Model) {
    let mut tx = store.begin();
    if random.below(2) == 0 {
        for _ in 0..random.below(24) {
            let (key, value) = (key(random.below(400)), vec![7; random.below(60)]);
            tx.put(key.clone(), value.clone());
            model.insert(key, value);
        }
    } else {
        let from = key(random.below(2) * random.below(400));
        let limit = random.below(24);
        let head = tx.range(Bound::Included(&from), Bound::Unbounded, Order::Forward, limit).unwrap();
        for (key, _) in head {
            model.remove(&key[..]);
            tx.delete(key);
        }
    }
    commit(tx);
}

fn check(view: &Tx, model: &Model, random: &mut Random) {
    let first = random.below(3) * random.below(200);
    let (start, end) = (key(first), key(first + 1 + random.below(300)));
    let limit = 1 + random.below(30);
    let start = match random.below(3) {
        0 => Bound::Unbounded,
        1 => Bound::Excluded(&start[..]),
        _ => Bound::Included(&start[..]),
    };
    let order = if random.below(4) == 0 { Order::Reverse } else { Order::Forward };
    let found = view.range(start, Bound::Excluded(&end), order, limit).unwrap();
    let found: Vec<_> = found.into_iter().map(|(key, value)| (key.to_vec(), value.to_vec())).collect();
    let within = model.range::<[u8], _>((start, Bound::Excluded(&end[..])));
    let rows = |(key, value): (&Vec<u8>, &Vec<u8>)| (key.clone(), value.clone());
    let expected: Vec<_> = match order {
        Order::Forward => within.take(limit).map(rows).collect(),
        Order::Reverse => within.rev().take(limit).map(rows).collect(),
    };
    assert_eq!(found, expected);
    let one = key(random.below(400));
    assert_eq!(view.get(&one).unwrap().map(|value| value.to_vec()), model.get(&one).cloned());
}

/// A receive at the head of a long queue that lies in the tree does not pay for the receives before it.
#[test]
fn a_head_is_found_without_stepping_over_what_was_deleted() {
    const ROWS: usize = 6000;
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path(), small_tables()).unwrap();
    let mut tx = store.begin();
    (0..ROWS).for_each(|number| tx.put(key(number), vec![7; 50]));
    commit(tx);
    until("the rows are in the tree", || store.stats().flushes > 0);
    store.close();
    drop(store);
    // Reopened with room for all marks in one table, so that no flush takes them away.
    let store = Store::open(dir.path(), LocalOptions::default()).unwrap();
    for received in 0..ROWS / 10 {
        let mut tx = store.begin();
        let head = tx.range(Bound::Included(b"q/"), Bound::Unbounded, Order::Forward, 10).unwrap();
        assert_eq!(head[0].0, key(received * 10));
        head.into_iter().for_each(|(key, _)| tx.delete(key));
        commit(tx);
    }
    assert!(store.stats().stepped_over < 4 * ROWS as u64, "{:?}", store.stats());
}
