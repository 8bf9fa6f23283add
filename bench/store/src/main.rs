//! Measures the store's engine against what it could have been: plain redb, and fjall.
//!
//! `cargo run --release -- [--keys N] [--seconds S] [--only ENGINE]` prints a Markdown table. Every commit is durable.
//! Keys have 100 bytes and values 300, random; caches 64 MiB. Not here: judgement, which is in RESULTS.md.

mod engines;

use engines::{Engine, Key, NAMES, open};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

const LOAD_GROUP: usize = 5_000;

struct Settings {
    keys: u64,
    seconds: u64,
}

fn main() {
    let args: Vec<String> = std::env::args().collect();
    if let [_, command, engine, dir] = &args[..]
        && command == "write-until-killed"
    {
        write_until_killed(engine, dir.as_ref());
    }
    let flag = |name: &str, default| {
        let at = args.iter().position(|arg| arg == name);
        at.map_or(default, |at| args[at + 1].parse().expect("a number"))
    };
    let settings = Settings { keys: flag("--keys", 10_000_000), seconds: flag("--seconds", 3) };
    let only = args.iter().position(|arg| arg == "--only").map(|at| &args[at + 1][..]);
    let names: Vec<&str> = NAMES.into_iter().filter(|name| only.is_none_or(|only| only == *name)).collect();
    let columns: Vec<Vec<(String, String)>> = names.iter().map(|name| measure(name, &settings)).collect();
    println!("| | {} |\n|---|{}", names.join(" | "), "---|".repeat(names.len()));
    for row in 0..columns[0].len() {
        let cells: Vec<&str> = columns.iter().map(|column| &column[row].1[..]).collect();
        println!("| {} | {} |", columns[0][row].0, cells.join(" | "));
    }
}

fn measure(name: &str, settings: &Settings) -> Vec<(String, String)> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let mut figures = Vec::new();
    let mut add = |what: &str, figure: String| {
        eprintln!("{name}: {what}: {figure}");
        figures.push((what.to_owned(), figure));
    };
    for writers in [1, 64, 1_000] {
        let dir = tempfile::tempdir_in(".").unwrap();
        let engine = open(name, dir.path());
        let (rate, p50, p99) = runtime.block_on(commits(&engine, writers, settings.seconds));
        add(&format!("commits/s, {writers} writers; p50, p99 ms"), format!("{rate:.0}; {p50:.2}, {p99:.2}"));
    }
    for backlog in [0, 100_000] {
        let dir = tempfile::tempdir_in(".").unwrap();
        let engine = open(name, dir.path());
        let (rate, p99) = runtime.block_on(queue(&engine, backlog, settings.seconds));
        let what = format!("queue, {backlog} waiting: messages/s in and out; p99 ms of a receive of 10");
        add(&what, format!("{rate:.0}; {p99:.2}"));
    }
    let dir = tempfile::tempdir_in(".").unwrap();
    let engine = open(name, dir.path());
    let begin = Instant::now();
    runtime.block_on(load(&engine, settings.keys));
    engine.settle();
    let rate = settings.keys as f64 / begin.elapsed().as_secs_f64();
    add(&format!("load of {} keys in random order, keys/s", settings.keys), format!("{rate:.0}"));
    add("disk use after it, MB", format!("{}", disk_bytes(dir.path()) / 1_000_000));
    let mut random = Random(3);
    let gets = rate_of(settings.seconds, || assert!(engine.get(&key(random.next() % settings.keys))));
    add("gets/s, 1 thread", format!("{gets:.0}"));
    let scans = rate_of(settings.seconds, || drop(engine.scan(&key(random.next() % settings.keys), 100)));
    add("scans of 100 rows/s, 1 thread", format!("{scans:.0}"));
    drop(engine);
    add("open after kill -9 under load, ms: median, worst of 7", recovery(name));
    figures
}

async fn commits(engine: &Arc<dyn Engine>, writers: u64, seconds: u64) -> (f64, f64, f64) {
    let begin = Instant::now();
    let end = begin + Duration::from_secs(seconds);
    let tasks: Vec<_> = (0..writers)
        .map(|writer| {
            let engine = engine.clone();
            tokio::spawn(async move {
                let mut random = Random(writer);
                let mut times = Vec::new();
                while Instant::now() < end {
                    let begin = Instant::now();
                    engine.write(vec![(key(random.next()), Some(random.value()))]).await;
                    times.push(begin.elapsed());
                }
                times
            })
        })
        .collect();
    let mut times = Vec::new();
    for task in tasks {
        times.extend(task.await.unwrap());
    }
    times.sort();
    let ms = |part: usize| times[times.len() * part / 100].as_secs_f64() * 1e3;
    (times.len() as f64 / begin.elapsed().as_secs_f64(), ms(50), ms(99))
}

fn message(n: u64) -> Key {
    let mut key = vec![b'q'; 92];
    key.extend_from_slice(&n.to_be_bytes());
    key
}

/// One producer sends ten messages in a commit; one consumer reads the ten at the head and deletes them in another.
async fn queue(engine: &Arc<dyn Engine>, backlog: u64, seconds: u64) -> (f64, f64) {
    let mut random = Random(1);
    let mut tail = 0;
    while tail < backlog {
        let rows = (tail..tail + 1000).map(|n| (message(n), Some(random.value()))).collect();
        engine.write(rows).await;
        tail += 1000;
    }
    let begin = Instant::now();
    let end = begin + Duration::from_secs(seconds);
    let mut receives = Vec::new();
    while Instant::now() < end {
        let rows = (tail..tail + 10).map(|n| (message(n), Some(random.value()))).collect();
        engine.write(rows).await;
        tail += 10;
        let begin = Instant::now();
        let head = engine.scan(b"q", 10);
        receives.push(begin.elapsed());
        assert_eq!(head.len(), 10);
        engine.write(head.into_iter().map(|key| (key, None)).collect()).await;
    }
    let rate = receives.len() as f64 * 10.0 / begin.elapsed().as_secs_f64();
    receives.sort();
    (rate, receives[receives.len() * 99 / 100].as_secs_f64() * 1e3)
}

async fn load(engine: &Arc<dyn Engine>, keys: u64) {
    let mut random = Random(2);
    let mut n = 0;
    while n < keys {
        let rows = (n..keys.min(n + LOAD_GROUP as u64)).map(|n| (key(n), Some(random.value()))).collect();
        engine.write(rows).await;
        n += LOAD_GROUP as u64;
    }
}

fn rate_of(seconds: u64, mut work: impl FnMut()) -> f64 {
    let begin = Instant::now();
    let mut count = 0;
    while begin.elapsed() < Duration::from_secs(seconds) {
        work();
        count += 1;
    }
    f64::from(count) / begin.elapsed().as_secs_f64()
}

fn recovery(name: &str) -> String {
    let dir = tempfile::tempdir_in(".").unwrap();
    let mut times = Vec::new();
    for round in 0..7 {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["write-until-killed", name])
            .arg(dir.path())
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        std::thread::sleep(Duration::from_millis(1500 + round * 130));
        child.kill().unwrap();
        child.wait().unwrap();
        let begin = Instant::now();
        let engine = open(name, dir.path());
        assert_eq!(engine.scan(b"", 1).len(), 1);
        times.push(begin.elapsed().as_secs_f64() * 1e3);
        drop(engine);
        // Engines with threads of their own let go of the directory a little later.
        std::thread::sleep(Duration::from_millis(300));
    }
    times.sort_by(f64::total_cmp);
    format!("{:.0}, {:.0}", times[3], times[6])
}

fn write_until_killed(name: &str, dir: &Path) -> ! {
    let engine = open(name, dir);
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let seed = Instant::now();
    runtime.block_on(async {
        for writer in 0..64 {
            let engine = engine.clone();
            tokio::spawn(async move {
                let mut random = Random(writer + u64::from(std::process::id()) * 64);
                loop {
                    engine.write(vec![(key(random.next()), Some(random.value()))]).await;
                }
            });
        }
        tokio::time::sleep(Duration::from_secs(60)).await;
    });
    panic!("nobody has killed this since {:?}", seed.elapsed());
}

fn disk_bytes(dir: &Path) -> u64 {
    let entries = std::fs::read_dir(dir).unwrap().map(|entry| entry.unwrap());
    let size = |entry: std::fs::DirEntry| match entry.metadata() {
        Ok(meta) if meta.is_dir() => disk_bytes(&entry.path()),
        Ok(meta) => meta.len(),
        Err(_) => 0,
    };
    entries.map(size).sum()
}

/// 100 bytes, as good as random for different `n`, the same for the same `n`.
fn key(n: u64) -> Key {
    let mut random = Random(n);
    let mut key: Vec<u8> = (0..12).flat_map(|_| random.next().to_be_bytes()).collect();
    key.extend_from_slice(&[0; 4]);
    key
}

/// splitmix64.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    fn value(&mut self) -> Vec<u8> {
        (0..38).flat_map(|_| self.next().to_le_bytes()).take(300).collect()
    }
}
