//! One suite for all engines: what the store promises, checked through its public face.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use mayfly_store::{CommitError, Durability, LocalOptions, Map, Order, Raw, Scan, Space, Store, Tally};
use std::collections::BTreeMap;
use std::future::Future;
use std::ops::Bound;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::task::{Context, Poll, Waker};
use support::{PATIENCE, Random, commit, delete, engines, get, keys, put, small_tables};

#[test]
fn a_transaction_reads_its_own_writes_over_its_snapshot() {
    for (engine, store, _dir) in engines() {
        put(&store, &[("a", "1"), ("b", "2"), ("d", "4")]);
        let mut tx = store.begin();
        tx.put("c", "3");
        tx.delete("b");
        tx.put("a", "9");
        put(&store, &[("e", "5")]);
        assert_eq!(get(&tx, "a").as_deref(), Some("9"), "{engine}");
        assert_eq!(get(&tx, "b"), None, "{engine}");
        assert_eq!(keys(&tx, "a", "z", Order::Forward, 9), ["a", "c", "d"], "{engine}");
        assert_eq!(keys(&tx, "a", "z", Order::Reverse, 2), ["d", "c"], "{engine}");
        assert_eq!(keys(&store.view(), "a", "z", Order::Forward, 9), ["a", "b", "d", "e"], "{engine}");
    }
}

#[test]
fn ranges_honour_their_bounds_order_and_limit() {
    for (engine, store, _dir) in engines() {
        put(&store, &[("a", ""), ("b", ""), ("c", ""), ("d", "")]);
        let tx = store.view();
        let read = |start, end, order, limit| -> Vec<String> {
            let rows = tx.range(start, end, order, limit).unwrap();
            rows.into_iter().map(|(key, _)| String::from_utf8(key.to_vec()).unwrap()).collect()
        };
        let (b, d): (&[u8], &[u8]) = (b"b", b"d");
        let forward = Order::Forward;
        assert_eq!(read(Bound::Included(b), Bound::Included(d), forward, 9), ["b", "c", "d"], "{engine}");
        assert_eq!(read(Bound::Excluded(b), Bound::Excluded(d), forward, 9), ["c"], "{engine}");
        assert_eq!(read(Bound::Unbounded, Bound::Unbounded, Order::Reverse, 3), ["d", "c", "b"], "{engine}");
        assert_eq!(read(Bound::Unbounded, Bound::Excluded(d), Order::Reverse, 1), ["c"], "{engine}");
        assert!(read(Bound::Included(d), Bound::Included(b), forward, 9).is_empty(), "{engine}");
        assert!(read(Bound::Excluded(b), Bound::Excluded(b), forward, 9).is_empty(), "{engine}");
        assert!(read(Bound::Unbounded, Bound::Unbounded, forward, 0).is_empty(), "{engine}");
    }
}

#[test]
fn of_two_that_read_and_write_a_row_one_runs_again() {
    for (engine, store, _dir) in engines() {
        put(&store, &[("n", "1")]);
        let (mut first, mut second) = (store.begin(), store.begin());
        get(&first, "n");
        get(&second, "n");
        first.put("n", "2");
        second.put("n", "3");
        assert!(commit(first).is_ok(), "{engine}");
        assert!(matches!(commit(second), Err(CommitError::Conflict(_))), "{engine}");
        assert_eq!(get(&store.view(), "n").as_deref(), Some("2"), "{engine}");
    }
}

#[test]
fn write_skew_is_refused() {
    for (engine, store, _dir) in engines() {
        put(&store, &[("on-call/ann", "yes"), ("on-call/bob", "yes")]);
        let (mut ann, mut bob) = (store.begin(), store.begin());
        for tx in [&ann, &bob] {
            get(tx, "on-call/ann");
            get(tx, "on-call/bob");
        }
        ann.put("on-call/ann", "no");
        bob.put("on-call/bob", "no");
        assert!(commit(ann).is_ok(), "{engine}");
        assert!(matches!(commit(bob), Err(CommitError::Conflict(_))), "{engine}");
    }
}

#[test]
fn phantoms_are_refused_but_only_where_the_range_was_read() {
    for (engine, store, _dir) in engines() {
        put(&store, &[("q/1", ""), ("q/3", ""), ("q/5", "")]);
        let reader = |order, limit| {
            let mut tx = store.begin();
            keys(&tx, "q/", "q0", order, limit);
            tx.put("seen", "");
            tx
        };
        let (all, head, tail) =
            (reader(Order::Forward, 9), reader(Order::Forward, 2), reader(Order::Reverse, 1));
        put(&store, &[("q/4", "")]);
        assert!(matches!(commit(all), Err(CommitError::Conflict(_))), "{engine}");
        assert!(commit(head).is_ok(), "{engine}: q/4 is beyond what it read");
        assert!(commit(tail).is_ok(), "{engine}: q/4 is below what it read");
        let head = reader(Order::Forward, 2);
        delete(&store, "q/3");
        assert!(matches!(commit(head), Err(CommitError::Conflict(_))), "{engine}");
        let absent = store.begin();
        assert_eq!(get(&absent, "new"), None);
        let mut absent = absent;
        absent.put("other", "");
        put(&store, &[("new", "")]);
        assert!(matches!(commit(absent), Err(CommitError::Conflict(_))), "{engine}: absence was read");
    }
}

#[test]
fn blind_writes_and_views_never_conflict() {
    for (engine, store, _dir) in engines() {
        let mut blind = store.begin();
        blind.put("k", "mine");
        let view = store.view();
        put(&store, &[("k", "theirs")]);
        assert_eq!(get(&view, "k"), None, "{engine}");
        assert_eq!(commit(view), Ok(0), "{engine}");
        assert!(commit(blind).is_ok(), "{engine}");
        assert_eq!(get(&store.view(), "k").as_deref(), Some("mine"), "{engine}");
    }
}

#[test]
fn a_snapshot_stays_as_it_was_whatever_happens() {
    for (engine, store, _dir) in engines() {
        for n in 0..200 {
            put(&store, &[(&format!("k/{n:03}"), "old")]);
        }
        let view = store.view();
        for n in 0..200 {
            match n % 3 {
                0 => drop(delete(&store, &format!("k/{n:03}")).to_string()),
                _ => drop(put(&store, &[(&format!("k/{n:03}"), &"new".repeat(40))]).to_string()),
            }
        }
        assert_eq!(keys(&view, "k/", "k0", Order::Forward, 999).len(), 200, "{engine}");
        for n in 0..200 {
            assert_eq!(get(&view, &format!("k/{n:03}")).as_deref(), Some("old"), "{engine}");
        }
        drop(view);
        put(&store, &[("after", "")]);
        assert_eq!(keys(&store.view(), "k/", "k0", Order::Reverse, 999).len(), 133, "{engine}");
    }
}

/// Many threads move units between accounts and sum them up; a ledger row orders them. Replaying the commits one
/// at a time in the order of their versions must give what every one of them saw.
#[test]
fn concurrent_histories_are_those_of_one_order() {
    const ACCOUNTS: usize = 8;
    for seed in 0..3 {
        for (engine, store, _dir) in engines() {
            let opening: Vec<(String, String)> =
                (0..ACCOUNTS).map(|n| (format!("acc/{n}"), "100".into())).collect();
            put(&store, &opening.iter().map(|(k, v)| (&k[..], &v[..])).collect::<Vec<_>>());
            let threads: Vec<_> = (0..6)
                .map(|thread| {
                    let store = store.clone();
                    std::thread::spawn(move || run_random(&store, Random(seed * 100 + thread), ACCOUNTS))
                })
                .collect();
            let mut done: Vec<Done> = threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect();
            done.sort_by_key(|done| done.version);
            assert!(done.windows(2).all(|pair| pair[0].version < pair[1].version), "{engine}");
            let mut model: BTreeMap<String, String> = opening.into_iter().collect();
            for done in &done {
                for (key, seen) in &done.points {
                    assert_eq!(model.get(key), seen.as_ref(), "{engine}: {key} at {}", done.version);
                }
                for (start, seen) in &done.scans {
                    let now: Vec<String> =
                        model.range(start.clone()..).take(3).map(|(k, _)| k.clone()).collect();
                    assert_eq!(&now, seen, "{engine}: scan from {start} at {}", done.version);
                }
                for (key, value) in &done.writes {
                    match value {
                        Some(value) => model.insert(key.clone(), value.clone()),
                        None => model.remove(key),
                    };
                }
            }
            let left: Vec<String> = model.into_keys().collect();
            assert_eq!(keys(&store.view(), "", "~", Order::Forward, 999), left, "{engine}");
            assert!(done.len() > 100, "{engine}: {} commits are too few to tell", done.len());
        }
    }
}

/// What one committed transaction saw and did.
struct Done {
    version: u64,
    points: Vec<(String, Option<String>)>,
    scans: Vec<(String, Vec<String>)>,
    writes: Vec<(String, Option<String>)>,
}

fn run_random(store: &Store, mut random: Random, accounts: usize) -> Vec<Done> {
    let mut all = Vec::new();
    for round in 0..80 {
        let mut tx = store.begin();
        let mut done = Done { version: 0, points: vec![], scans: vec![], writes: vec![] };
        let any_key = |random: &mut Random| format!("acc/{}", random.below(accounts * 2));
        for _ in 0..1 + random.below(2) {
            let key = any_key(&mut random);
            done.points.push((key.clone(), get(&tx, &key)));
        }
        if random.below(3) == 0 {
            let start = any_key(&mut random);
            done.scans.push((start.clone(), keys(&tx, &start, "~", Order::Forward, 3)));
        }
        for _ in 0..1 + random.below(2) {
            let key = any_key(&mut random);
            let value = (random.below(3) > 0).then(|| format!("{round}/{}", random.next()));
            match &value {
                Some(value) => tx.put(key.clone(), value.clone()),
                None => tx.delete(key.clone()),
            }
            done.writes.push((key, value));
        }
        match commit(tx) {
            Ok(version) => all.push(Done { version, ..done }),
            Err(error) => assert!(matches!(error, CommitError::Conflict(_))),
        }
    }
    all
}

fn is_ready(future: &mut (impl Future<Output = ()> + Unpin)) -> bool {
    let mut cx = Context::from_waker(Waker::noop());
    matches!(std::pin::Pin::new(future).poll(&mut cx), Poll::Ready(()))
}

#[test]
fn a_watch_notices_commits_under_its_prefix_and_misses_none() {
    for (engine, store, _dir) in engines() {
        put(&store, &[("q/1", "before")]);
        let mut watch = store.watch(b"q/");
        assert!(!is_ready(&mut Box::pin(watch.changed())), "{engine}: registered after that commit");
        put(&store, &[("r/1", "elsewhere")]);
        assert!(!is_ready(&mut Box::pin(watch.changed())), "{engine}");
        put(&store, &[("q/2", "")]);
        delete(&store, "q/1");
        assert!(is_ready(&mut Box::pin(watch.changed())), "{engine}: it came between the calls");
        assert!(!is_ready(&mut Box::pin(watch.changed())), "{engine}: two commits are one edge");
        let mut loser = store.begin();
        get(&loser, "q/2");
        loser.put("q/2", "x");
        put(&store, &[("q/2", "y")]);
        assert!(is_ready(&mut Box::pin(watch.changed())), "{engine}");
        assert!(matches!(commit(loser), Err(CommitError::Conflict(_))));
        assert!(!is_ready(&mut Box::pin(watch.changed())), "{engine}: a refused commit is no change");
    }
}

#[test]
fn a_counted_change_is_counted_before_it_is_acknowledged() {
    for (engine, store, _dir) in engines() {
        let changes = store.changes(&[Space(7), Space(9)]);
        let put = |space: u16, number: u64| {
            let mut tx = store.begin();
            Map::<(u64,), Raw>::new(Space(space)).put(&mut tx, &(number,), &Raw::default());
            tx.commit(Durability::Relaxed).wait().unwrap();
            changes.count()
        };
        assert_eq!(put(8, 1), 0, "{engine}: another map");
        assert_eq!(put(7, 1), 1, "{engine}");
        assert_eq!(put(9, 1), 2, "{engine}");
        assert_eq!(put(8, 2), 2, "{engine}");
    }
}

#[test]
fn a_watcher_wakes_to_what_it_waited_for() {
    for (engine, store, _dir) in engines() {
        let mut watch = store.watch(b"q/");
        let writer = store.clone();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        let seen = runtime.block_on(async {
            let thread = std::thread::spawn(move || put(&writer, &[("q/9", "go")]));
            tokio::time::timeout(PATIENCE, watch.changed()).await.unwrap();
            thread.join().unwrap();
            get(&store.view(), "q/9")
        });
        assert_eq!(seen.as_deref(), Some("go"), "{engine}");
    }
}

#[test]
fn commits_of_many_tasks_are_all_decided() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path(), LocalOptions::default()).unwrap();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).build().unwrap();
    runtime.block_on(async {
        let tasks: Vec<_> = (0..64)
            .map(|task| {
                let store = store.clone();
                tokio::spawn(async move {
                    for n in 0..20 {
                        let mut tx = store.begin();
                        tx.put(format!("{task}/{n}"), "v");
                        tx.commit(Durability::Durable).await.unwrap();
                    }
                })
            })
            .collect();
        for task in tasks {
            task.await.unwrap();
        }
    });
    assert_eq!(store.stats().commits, 64 * 20);
    assert_eq!(keys(&store.view(), "", "~", Order::Forward, 9999).len(), 64 * 20);
}

#[test]
fn a_closed_store_refuses_commits() {
    for (engine, store, _dir) in engines() {
        put(&store, &[("k", "v")]);
        let mut late = store.begin();
        late.put("k", "w");
        store.close();
        assert_eq!(commit(late), Err(CommitError::Closed), "{engine}");
    }
}

#[test]
fn one_process_at_a_time_and_everything_is_there_after_reopening() {
    for options in [LocalOptions::default(), small_tables()] {
        let dir = tempfile::tempdir().unwrap();
        let mut model = BTreeMap::new();
        let mut random = Random(5);
        for _ in 0..4 {
            let store = Store::open(dir.path(), options.clone()).unwrap();
            if model.is_empty() {
                let second = Store::open(dir.path(), options.clone());
                assert!(matches!(second, Err(mayfly_store::OpenError::Locked)));
            }
            let found = keys(&store.view(), "", "~", Order::Forward, 9999);
            assert_eq!(found, model.keys().cloned().collect::<Vec<String>>());
            for (key, value) in &model {
                assert_eq!(get(&store.view(), key).as_ref(), Some(value));
            }
            let before = store.begin().version();
            for n in 0..300 {
                let key = format!("k{:03}", random.below(400));
                let durability = if n % 2 == 0 { Durability::Durable } else { Durability::Relaxed };
                let mut tx = store.begin();
                if random.below(3) == 0 {
                    tx.delete(key.clone());
                    model.remove(&key);
                } else {
                    let value = format!("{}", random.next()).repeat(5);
                    tx.put(key.clone(), value.clone());
                    model.insert(key, value);
                }
                assert!(tx.commit(durability).wait().unwrap() > before);
            }
            store.close();
        }
    }
}

#[test]
fn rows_that_come_and_go_never_reach_the_tree() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path(), small_tables()).unwrap();
    let filler = "x".repeat(100);
    for n in 0..400 {
        let key = format!("msg/{n:06}");
        put(&store, &[(&key, &filler)]);
        delete(&store, &key);
    }
    let stats = store.stats();
    assert_eq!((stats.flushes, stats.flushed_rows), (0, 0), "{stats:?}");
    assert!(stats.memory_table_bytes < 4096, "{stats:?}");
    assert!(keys(&store.view(), "", "~", Order::Forward, 9).is_empty());
}

#[test]
fn readers_go_on_while_others_write_and_tables_are_flushed() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path(), small_tables()).unwrap();
    put(&store, &[("sum/a", "500"), ("sum/b", "500")]);
    let stop = Arc::new(AtomicBool::new(false));
    let readers: Vec<_> = (0..2)
        .map(|_| {
            let (store, stop, reads) = (store.clone(), stop.clone(), Arc::new(AtomicU64::new(0)));
            let count = reads.clone();
            let reader = std::thread::spawn(move || {
                while !stop.load(Ordering::Relaxed) {
                    let view = store.view();
                    let number = |key| get(&view, key).unwrap().trim().parse::<i64>().unwrap();
                    assert_eq!(number("sum/a") + number("sum/b"), 1000);
                    count.fetch_add(1, Ordering::Relaxed);
                }
            });
            (reader, reads)
        })
        .collect();
    let mut n = 0_i64;
    // As long as it takes for each of them to read on and on beside.
    while n < 600
        || readers.iter().any(|(one, reads)| !one.is_finished() && reads.load(Ordering::Relaxed) <= 100)
    {
        let pad = " ".repeat(60);
        put(&store, &[("sum/a", &format!("{n}{pad}")), ("sum/b", &format!("{}{pad}", 1000 - n))]);
        put(&store, &[(&format!("other/{n}"), &"y".repeat(100))]);
        n += 1;
    }
    stop.store(true, Ordering::Relaxed);
    for (reader, _) in readers {
        reader.join().unwrap();
    }
    assert!(store.stats().flushes > 0);
}

#[test]
fn counters_are_added_to_by_many_and_none_loses() {
    const HITS: Tally<(u64,)> = Tally::new(Space(9));
    for (engine, store, _dir) in engines() {
        // All begun before any commits: reading and writing, all but one would lose.
        let mut open: Vec<_> = (0..20).map(|_| store.begin()).collect();
        for (tx, delta) in open.iter_mut().zip(1..) {
            HITS.add(tx, &(1u64,), delta);
            HITS.add(tx, &(1u64,), 1);
        }
        for tx in open {
            assert!(commit(tx).is_ok(), "{engine}");
        }
        assert_eq!(HITS.look(&store.view(), &(1u64,)).unwrap(), 230, "{engine}");
        let mut tx = store.begin();
        HITS.add(&mut tx, &(1u64,), -230);
        HITS.add(&mut tx, &(2u64,), 0);
        commit(tx).unwrap();
        assert!(HITS.look_over(&store.view(), Scan::all(9)).unwrap().is_empty(), "{engine}: zero is no row");
    }
}

#[test]
fn peeking_holds_to_nothing() {
    for (engine, store, _dir) in engines() {
        put(&store, &[("n", "1")]);
        let mut tx = store.begin();
        assert!(tx.peek(b"n").unwrap().is_some(), "{engine}");
        let all = tx.peek_range(Bound::Unbounded, Bound::Unbounded, Order::Forward, 9).unwrap();
        assert_eq!(all.len(), 1, "{engine}");
        tx.put("m", "1");
        put(&store, &[("n", "2"), ("o", "3")]);
        assert!(commit(tx).is_ok(), "{engine}");
    }
}
