//! Kill -9 in mid-load, again and again: nothing acknowledged is lost, and transactions are whole or absent.
//!
//! The process that dies is this test's own binary, run again with a directory in its environment. Its 32 writers
//! report every acknowledged commit on a pipe that the parent drains at once, so that at each kill
//! acknowledgements were flowing.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use mayfly_store::{Durability, LocalOptions, Store};
use std::collections::HashMap;
use std::io::{BufRead, BufReader, Write};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::time::Duration;

const ROUNDS: usize = 50;
const WRITERS: usize = 32;
const ROWS_PER_COMMIT: usize = 3;
/// Ends a failing test.
const PATIENCE: Duration = Duration::from_secs(300);
/// Acknowledgements to wait for before a kill; varied, so that kills meet different moments.
const ACKNOWLEDGED_MIN: usize = 200;
const DIRECTORY: &str = "MAYFLY_CRASH_TEST_DIRECTORY";
const ROUND: &str = "MAYFLY_CRASH_TEST_ROUND";

/// Tables so small that kills also meet flushes and the reuse of segments.
fn options() -> LocalOptions {
    LocalOptions {
        memory_table_bytes: 256 * 1024,
        log_segment_bytes: 256 * 1024,
        cache_bytes: 8 * 1024 * 1024,
        ..LocalOptions::default()
    }
}

fn row(round: usize, writer: usize, n: usize, part: usize) -> Vec<u8> {
    format!("{part}/{writer:02}/{round:03}/{n:06}").into_bytes()
}

/// The writing process. As an ordinary test, without the directory, it has nothing to do.
#[test]
#[expect(clippy::disallowed_methods, reason = "the child learns its directory through its environment")]
fn child() {
    let (Ok(dir), Ok(round)) = (std::env::var(DIRECTORY), std::env::var(ROUND)) else { return };
    let round: usize = round.parse().unwrap();
    let store = Store::open(dir.as_ref(), options()).unwrap();
    let mut writers = Vec::new();
    for writer in 0..WRITERS {
        let store = store.clone();
        writers.push(std::thread::spawn(move || {
            for n in 0.. {
                let mut tx = store.begin();
                for part in 0..ROWS_PER_COMMIT {
                    tx.put(row(round, writer, n, part), format!("{round} {writer} {n}").repeat(4));
                }
                // A moving head: what was written a little earlier goes, acknowledged like everything else.
                if n >= 20 {
                    for part in 0..ROWS_PER_COMMIT {
                        tx.delete(row(round, writer, n - 20, part));
                    }
                }
                tx.commit(Durability::Durable).wait().unwrap();
                // Reported before the next one begins: the store is never more than one commit ahead of the report.
                writeln!(std::io::stdout().lock(), "ack {writer} {n}").unwrap();
            }
        }));
    }
    for writer in writers {
        writer.join().unwrap();
    }
}

/// Runs the child until enough was acknowledged, kills it, and tells each writer's last acknowledged number.
fn run_and_kill(dir: &std::path::Path, round: usize) -> HashMap<usize, usize> {
    let mut child: Child = Command::new(std::env::current_exe().unwrap())
        .args(["child", "--exact", "--nocapture", "--test-threads=1"])
        .env(DIRECTORY, dir)
        .env(ROUND, round.to_string())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let out = BufReader::new(child.stdout.take().unwrap());
    let (enough, wait) = mpsc::channel();
    let wanted = ACKNOWLEDGED_MIN + round * 37 % 400;
    let drain = std::thread::spawn(move || {
        let mut last = HashMap::new();
        let mut count = 0;
        for line in out.lines() {
            // The last line may be cut by the kill: it is no acknowledgement then.
            let Ok(line) = line else { break };
            let Some(ack) = line.strip_prefix("ack ") else { continue };
            let Some((writer, n)) = ack.split_once(' ') else { continue };
            let (Ok(writer), Ok(n)) = (writer.parse::<usize>(), n.parse::<usize>()) else { continue };
            let newest = last.entry(writer).or_insert(n);
            *newest = n.max(*newest);
            count += 1;
            if count == wanted {
                enough.send(()).unwrap();
            }
        }
        last
    });
    let flowed = wait.recv_timeout(PATIENCE);
    child.kill().unwrap();
    child.wait().unwrap();
    flowed.expect("acknowledgements flow");
    drain.join().unwrap()
}

fn check(store: &Store, round: usize, acknowledged: &HashMap<usize, usize>) -> usize {
    let view = store.view();
    let mut checked = 0;
    for (writer, last) in acknowledged {
        for n in 0..last + 3 {
            let there: Vec<bool> = (0..ROWS_PER_COMMIT)
                .map(|part| view.get(&row(round, *writer, n, part)).unwrap().is_some())
                .collect();
            assert!(
                there.iter().all(|part| *part == there[0]),
                "round {round}: commit {n} of writer {writer} is torn: {there:?}"
            );
            // A commit that was under way at the kill may be there too, and have deleted one row more.
            if n <= *last && n + 20 > last + 1 {
                assert!(there[0], "round {round}: acknowledged commit {n} of writer {writer} is lost");
                checked += 1;
            }
            if n + 20 <= *last {
                assert!(!there[0], "round {round}: acknowledged deletion of {n} of writer {writer} is lost");
                checked += 1;
            }
        }
    }
    checked
}

#[test]
fn nothing_acknowledged_is_lost_by_kill_9() {
    let dir = tempfile::tempdir().unwrap();
    let mut rounds: Vec<HashMap<usize, usize>> = Vec::new();
    let mut checked = 0;
    for round in 0..ROUNDS {
        let acknowledged = run_and_kill(dir.path(), round);
        let total: usize = acknowledged.values().map(|last| last + 1).sum();
        assert!(total >= ACKNOWLEDGED_MIN);
        rounds.push(acknowledged);
        let store = Store::open(dir.path(), options()).unwrap();
        checked += check(&store, round, &rounds[round]);
        // What earlier kills left must still be there too, by turns.
        let earlier = round / 2;
        check(&store, earlier, &rounds[earlier]);
        store.close();
    }
    let store = Store::open(dir.path(), options()).unwrap();
    for (round, acknowledged) in rounds.iter().enumerate() {
        check(&store, round, acknowledged);
    }
    assert!(checked > ROUNDS * ACKNOWLEDGED_MIN / 2, "{checked} checks are too few to tell");
}

/// A start reads the log, and each process begins a segment of it: what was read is moved into the tree.
#[test]
fn restarts_do_not_make_the_next_start_longer() {
    let dir = tempfile::tempdir().unwrap();
    let most = 8 * options().log_segment_bytes;
    for round in 0..20_u32 {
        let store = Store::open(dir.path(), options()).unwrap();
        let mut tx = store.begin();
        assert!((0..round).all(|before| tx.get(&before.to_be_bytes()).unwrap().is_some()));
        tx.put(round.to_be_bytes().to_vec(), "little");
        tx.commit(Durability::Durable).wait().unwrap();
        let patience = std::time::Instant::now() + PATIENCE;
        while store.stats().log_bytes > most {
            assert!(std::time::Instant::now() < patience, "the log has {} bytes", store.stats().log_bytes);
            std::thread::sleep(Duration::from_millis(5));
        }
        store.close();
    }
}
