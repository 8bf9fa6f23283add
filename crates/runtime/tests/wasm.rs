//! The Wasm family through its own door: packages of hand-written guests (tests/wasm), compiled and run.

#![expect(clippy::unwrap_used, reason = "the helpers of tests fail as tests do")]

use bytes::Bytes;
use http_body_util::BodyExt as _;
use mayfly_kernel::Arn;
use mayfly_kernel::function::{Concurrency, PackageDigest, Runtime, Version};
use mayfly_runtime::body::{self, Body};
use mayfly_runtime::wasm::{Call, CompileError, Engine, Error, Finished, Reply, World};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

#[path = "wasm/outgoing.rs"]
mod outgoing;
#[path = "wasm/world.rs"]
mod world;

use world::nothing;

const LONG: Duration = Duration::from_secs(300);

/// One package, and an engine for it.
struct Bench {
    dir: tempfile::TempDir,
    engine: Engine,
    log: Arc<Mutex<Vec<String>>>,
}

impl Bench {
    fn new(instances: u32, files: &[(&str, &[u8])]) -> Bench {
        let dir = tempfile::tempdir().unwrap();
        for (name, bytes) in files {
            let path = dir.path().join("code").join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, bytes).unwrap();
        }
        let engine = Engine::new(&dir.path().join("cache"), instances, nothing()).unwrap();
        Bench { dir, engine, log: Arc::default() }
    }

    /// The same package in another engine: nothing of it is in memory.
    fn reborn(self, world: World) -> Bench {
        Bench { engine: Engine::new(&self.dir.path().join("cache"), 8, world).unwrap(), ..self }
    }

    fn handler() -> Bench {
        Bench::new(8, &[("handler.wasm", &handler_component())])
    }

    fn code(&self) -> PathBuf {
        self.dir.path().join("code")
    }

    fn compile(&self, handler: &str) -> Result<(), CompileError> {
        let version = Version { handler: handler.into(), ..(*version()).clone() };
        self.engine.load(&version, &self.code()).map(drop)
    }

    async fn fetch(
        &self,
        version: &Arc<Version>,
        request: http::Request<Body>,
        timeout: Duration,
    ) -> Result<Reply, Error> {
        let log = Arc::clone(&self.log);
        let call = Call {
            log: Arc::new(move |line| log.lock().unwrap().push(String::from_utf8_lossy(line).into_owned())),
            timeout,
            depth: 1,
        };
        let program = self.engine.load(version, &self.code());
        let program = program.map_err(|error| Error::NotCompiled(error.to_string()))?;
        self.engine.run(program, version, request, call).await
    }

    async fn get(&self, path: &str) -> Result<(u16, String), Error> {
        let reply = self.fetch(&version(), get(path), LONG).await?;
        Ok((reply.response.status().as_u16(), text(reply.response).await))
    }

    fn log(&self) -> Vec<String> {
        self.log.lock().unwrap().clone()
    }

    fn cache_file(&self) -> PathBuf {
        let mut files = std::fs::read_dir(self.dir.path().join("cache")).unwrap();
        let file = files.next().expect("a compiled file").unwrap().path();
        assert!(files.next().is_none(), "one file for one program");
        file
    }
}

fn version() -> Arc<Version> {
    version_with(128, &[])
}

fn version_with(memory_mib: u32, environment: &[(&str, &str)]) -> Arc<Version> {
    let environment: BTreeMap<String, String> =
        environment.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
    Arc::new(Version {
        id: "v".into(),
        function: Arn::new("lambda", "us-east-1", "000000000000", "function:guest"),
        name: "guest".into(),
        label: "$LATEST".into(),
        runtime: Runtime::Wasm,
        handler: String::new(),
        package: digest(),
        image: None,
        layers: Vec::new(),
        environment,
        timeout_ms: 3000,
        memory_mib,
        ephemeral_mib: 512,
        log_group: "/aws/lambda/guest".into(),
        concurrency: Concurrency::Shared(1000),
        per_tenant: false,
        snap_start: false,
        log_format: mayfly_kernel::function::LogFormat::Text,
    })
}

fn digest() -> PackageDigest {
    PackageDigest("0".repeat(64))
}

fn get(path: &str) -> http::Request<Body> {
    http::Request::get(path).body(body::empty()).unwrap()
}

async fn text(response: http::Response<Body>) -> String {
    let bytes = response.into_body().collect().await.unwrap().to_bytes();
    String::from_utf8_lossy(&bytes).into_owned()
}

/// As `wit-bindgen` leaves it to a linker: a core module that carries the description of its world.
fn handler_module() -> Vec<u8> {
    let mut module = wat::parse_str(include_str!("wasm/handler.wat")).unwrap();
    let mut resolve = wit_parser::Resolve::default();
    let package = resolve.push_str("handler.wit", include_str!("wasm/handler.wit")).unwrap();
    let world = resolve.select_world(&[package], Some("handler")).unwrap();
    wit_component::embed_component_metadata(
        &mut module,
        &resolve,
        world,
        wit_component::StringEncoding::UTF8,
    )
    .unwrap();
    module
}

fn handler_component() -> Vec<u8> {
    let mut encoder = wit_component::ComponentEncoder::default().module(&handler_module()).unwrap();
    encoder.encode().unwrap()
}

#[tokio::test]
async fn a_component_answers_each_request_with_a_fresh_instance() {
    let bench = Bench::handler();
    bench.compile("").unwrap();
    for _ in 0..20 {
        assert_eq!(bench.get("/hello").await.unwrap(), (200, "hello 11\n".into()));
    }
}

/// What is copied back of a memory is bounded in runs of pages and in bytes, and the rest is given up: writers on
/// either side of both bounds follow each other in one place.
#[tokio::test]
async fn nothing_that_a_guest_wrote_is_left_for_the_next_however_much_it_was() {
    let writer = |until: &str, skipped: &str| {
        include_str!("wasm/writer.wat")
            .replace("UNTIL)", &format!("{until})"))
            .replace("SKIPPED)", &format!("{skipped})"))
    };
    let writers = [
        ("few.wat", writer("20", "0")),
        ("many.wat", writer("1024", "0")),
        ("scattered.wat", writer("1024", "5")),
    ];
    let files: Vec<(&str, &[u8])> = writers.iter().map(|(name, text)| (*name, text.as_bytes())).collect();
    let bench = Bench::new(1, &files);
    for handler in
        ["few.wat", "few.wat", "scattered.wat", "scattered.wat", "few.wat", "many.wat", "scattered.wat"]
    {
        let version = Arc::new(Version { handler: handler.into(), ..(*version()).clone() });
        let reply = bench.fetch(&version, get("/"), LONG).await.unwrap();
        assert_eq!(text(reply.response).await, "fresh", "{handler}");
        assert_eq!(reply.finished.await.unwrap().trap, None);
    }
}

#[tokio::test]
async fn a_core_module_with_the_handler_is_made_a_component() {
    let bench = Bench::new(1, &[("lib/handler.wasm", &handler_module()), ("README", b"text")]);
    bench.compile("index.handler").unwrap();
    assert_eq!(bench.get("/hello").await.unwrap(), (200, "hello 11\n".into()));
}

#[tokio::test]
async fn a_command_gets_the_request_as_cgi_says() {
    let bench = Bench::new(1, &[("variables.wat", include_bytes!("wasm/variables.wat"))]);
    let request = http::Request::post("/a%20b/c?x=1&y=%20")
        .header("host", "photos.example:8080")
        .header("content-type", "application/json")
        .header("x-thing", "one")
        .header("x-thing", "two")
        .header("proxy", "evil.example")
        .body(body::full("{}"))
        .unwrap();
    let version = version_with(128, &[("TABLE", "photos"), ("HTTP_X_SECRET", "the function's own")]);
    let reply = bench.fetch(&version, request, LONG).await.unwrap();
    assert_eq!(reply.response.status(), 201);
    assert_eq!(reply.response.headers()["content-type"], "text/plain");
    assert_eq!(reply.response.headers()["x-guest"], "command");

    let body = text(reply.response).await;
    let variables: Vec<&str> = body.split_terminator('\0').collect();
    for expected in [
        "GATEWAY_INTERFACE=CGI/1.1",
        "REQUEST_METHOD=POST",
        "REQUEST_URI=/a%20b/c?x=1&y=%20",
        "PATH_INFO=/a b/c",
        "QUERY_STRING=x=1&y=%20",
        "SERVER_NAME=photos.example",
        "SERVER_PORT=8080",
        "CONTENT_TYPE=application/json",
        "HTTP_X_THING=one, two",
        "HTTP_X_SECRET=the function's own",
        "TABLE=photos",
    ] {
        assert!(variables.contains(&expected), "{expected} is not in {variables:?}");
    }
    assert!(!body.contains("evil.example"), "{body}");
    let finished = reply.finished.await.unwrap();
    assert_eq!(finished.trap, None);
    assert!(finished.memory_bytes >= 128 * 1024, "{finished:?}");
    assert_eq!(bench.log(), ["first", "second"]);
}

#[tokio::test]
async fn what_a_command_prints_is_its_answer_and_each_run_is_fresh() {
    let bench = Bench::new(1, &[("echo.wat", include_bytes!("wasm/echo.wat"))]);
    for event in [r#"{"key":"value"}"#, "Stat", "", "status of things: fine"] {
        let request = http::Request::post("/").body(body::full(event)).unwrap();
        let reply = bench.fetch(&version(), request, LONG).await;
        match event {
            "" => assert_eq!(reply.err(), Some(Error::NoResponse)),
            event => assert_eq!(text(reply.unwrap().response).await, event),
        }
    }
    let request = http::Request::post("/").body(body::full("Status: 200\nno end")).unwrap();
    let error = bench.fetch(&version(), request, LONG).await.err();
    assert_eq!(error, Some(Error::BadResponse("the header block has no end".into())));
}

#[tokio::test]
async fn the_example_says_hello() {
    let module = include_bytes!("../../../examples/wasm-hello/hello.wat");
    let bench = Bench::new(1, &[("hello.wat", module), ("template.yaml", b"Resources: {}")]);
    for (path, answer) in [
        ("/hello", "Hello, world!\n"),
        ("/hello?name=you&more=1", "Hello, you!\n"),
        ("/hello?name=", "Hello, !\n"),
    ] {
        assert_eq!(bench.get(path).await.unwrap(), (200, answer.into()));
    }
}

/// What a command prints of its memory after it has made these calls. The memory begins with `data`, and at
/// `TOLD` is a byte for each call: what it was told.
async fn printed(data: &str, calls: &[(&str, &str)], shown: &[(u32, usize)]) -> Vec<u8> {
    let (mut imports, mut body) = (String::new(), String::new());
    let import = |name: &str, number: usize, kinds: &str| {
        let function = format!("(func $f{number} (param {kinds}) (result i32))");
        format!("(import \"wasi_snapshot_preview1\" \"{name}\" {function})\n")
    };
    for (number, (name, arguments)) in calls.iter().enumerate() {
        let arguments: Vec<(&str, &str)> = arguments.split(' ').filter_map(|a| a.split_once(':')).collect();
        let kinds: String = arguments.iter().map(|(kind, _)| format!("{kind} ")).collect();
        let values: String =
            arguments.iter().map(|(kind, value)| format!("({kind}.const {value}) ")).collect();
        imports += &import(name, number, &kinds);
        body +=
            &format!("(i32.store8 (i32.const {TOLD}) (call $f{number} {values}))\n", TOLD = TOLD + number);
    }
    let write = calls.len();
    imports += &import("fd_write", write, "i32 i32 i32 i32");
    for (at, len) in shown {
        body += &format!(
            "(i32.store (i32.const 0xe000) (i32.const {at})) (i32.store (i32.const 0xe004) (i32.const {len}))
             (drop (call $f{write} (i32.const 1) (i32.const 0xe000) (i32.const 1) (i32.const 0xe008)))\n"
        );
    }
    let module = format!(
        "(module {imports} (memory (export \"memory\") 1) (data (i32.const 0) \"{data}\")
           (func (export \"_start\") {body}))"
    );
    let bench = Bench::new(1, &[("calls.wat", module.as_bytes())]);
    let reply = bench.fetch(&version(), get("/"), LONG).await.unwrap();
    reply.response.into_body().collect().await.unwrap().to_bytes().to_vec()
}

const TOLD: usize = 0xf000;
const BADF: u8 = 8;
const FAULT: u8 = 21;
const INVAL: u8 = 28;
const SPIPE: u8 = 70;

#[tokio::test]
async fn system_calls_answer_as_the_interface_says() {
    let cases = [
        ("args_sizes_get", "i32:0 i32:4", 0),
        ("args_get", "i32:0 i32:4", 0),
        ("environ_sizes_get", "i32:0 i32:65533", FAULT),
        ("environ_get", "i32:0x1000 i32:0xfff0", FAULT),
        ("environ_get", "i32:0xffff i32:0x1000", FAULT),
        ("clock_res_get", "i32:1 i32:0", 0),
        ("clock_res_get", "i32:9 i32:0", INVAL),
        ("clock_time_get", "i32:0 i64:1 i32:8", 0),
        ("clock_time_get", "i32:2 i64:1 i32:8", INVAL),
        ("clock_time_get", "i32:0 i64:1 i32:-1", FAULT),
        ("fd_fdstat_get", "i32:0 i32:8", 0),
        ("fd_fdstat_get", "i32:3 i32:8", BADF),
        ("fd_filestat_get", "i32:2 i32:8", 0),
        ("fd_prestat_get", "i32:3 i32:8", BADF),
        ("fd_seek", "i32:1 i64:0 i32:0 i32:8", SPIPE),
        ("fd_tell", "i32:4 i32:8", BADF),
        ("fd_read", "i32:1 i32:0 i32:1 i32:8", BADF),
        ("fd_write", "i32:0 i32:0 i32:1 i32:8", BADF),
        ("fd_write", "i32:1 i32:0xfffc i32:1 i32:8", FAULT),
        ("fd_write", "i32:1 i32:0 i32:5000 i32:8", INVAL),
        ("path_open", "i32:3 i32:0 i32:0 i32:0 i32:0 i64:0 i64:0 i32:0 i32:8", BADF),
        ("random_get", "i32:0x100 i32:0x8000", 0),
        ("random_get", "i32:0x100 i32:0x10000", FAULT),
        ("sched_yield", "", 0),
        ("poll_oneoff", "i32:0 i32:0x100 i32:0 i32:8", INVAL),
        ("sock_accept", "i32:3 i32:0 i32:8", BADF),
        ("fd_renumber", "i32:2 i32:9", BADF),
        ("fd_close", "i32:0", 0),
        ("fd_close", "i32:0", BADF),
    ];
    let calls = cases.map(|(name, arguments, _)| (name, arguments));
    let answers = printed("", &calls, &[(0xf000, calls.len())]).await;
    for ((name, arguments, expected), answer) in cases.into_iter().zip(answers) {
        assert_eq!(answer, expected, "{name} {arguments}");
    }
}

/// A subscription to what `kind` says of `subject`; `time` is a clock's, from now on.
fn wanted(userdata: u8, kind: u8, subject: u8, time: u64) -> String {
    let mut bytes = [0; 48];
    (bytes[0], bytes[8], bytes[16]) = (userdata, kind, subject);
    bytes[24..32].copy_from_slice(&time.to_le_bytes());
    bytes.iter().map(|byte| format!("\\{byte:02x}")).collect()
}

#[tokio::test]
async fn a_command_waits_for_whatever_comes_first() {
    // Of each event: who asked, with what fault, and its kind.
    let happened = async |wants: &[String]| {
        let poll = format!("i32:0 i32:0x3000 i32:{} i32:0x4000", wants.len());
        let shown = [(0x3000, 128), (0x4000, 1)];
        let bytes = printed(&wants.concat(), &[("poll_oneoff", &poll)], &shown).await;
        let events = bytes[..32 * usize::from(bytes[128])].chunks(32);
        events.map(|event| (event[0], event[8], event[10])).collect::<Vec<_>>()
    };
    let (soon, late) = (20_000_000, 3_600_000_000_000);
    assert_eq!(happened(&[wanted(1, 0, 1, late), wanted(2, 0, 1, soon)]).await, [(2, 0, 0)]);
    assert_eq!(happened(&[wanted(3, 0, 0, u64::MAX), wanted(4, 2, 1, 0)]).await, [(4, 0, 2)]);
    // The request has no body, so there is its end to be read.
    assert_eq!(happened(&[wanted(5, 1, 0, 0), wanted(6, 0, 1, late)]).await, [(5, 0, 1)]);
    assert_eq!(happened(&[wanted(7, 1, 7, 0), wanted(8, 0, 1, late)]).await, [(7, BADF, 1)]);
}

/// A body of `total` bytes in frames of 64 KiB that counts what has been taken of it.
fn counted(total: usize, taken: &Arc<AtomicUsize>) -> Body {
    let taken = Arc::clone(taken);
    let frames = futures_util::stream::iter((0..total / 65536).map(move |_| {
        taken.fetch_add(65536, Ordering::SeqCst);
        Ok(http_body::Frame::data(Bytes::from_static(&[7; 65536])))
    }));
    http_body_util::StreamBody::new(frames).boxed_unsync()
}

#[tokio::test]
async fn bodies_stream_both_ways_with_flat_memory() {
    const TOTAL: usize = 64 * 1024 * 1024;
    const IN_FLIGHT_MAX: usize = 512 * 1024;
    let handler = Bench::handler();
    let command = Bench::new(1, &[("echo.wat", include_bytes!("wasm/echo.wat"))]);
    for bench in [handler, command] {
        let taken = Arc::new(AtomicUsize::new(0));
        let request = http::Request::post("/echo").body(counted(TOTAL, &taken)).unwrap();
        let reply = bench.fetch(&version(), request, LONG).await.unwrap();
        let mut body = reply.response.into_body();
        let mut received = 0;
        while let Some(frame) = body.frame().await {
            let data = frame.unwrap().into_data().unwrap();
            assert!(data.iter().all(|&b| b == 7));
            received += data.len();
            let waiting = taken.load(Ordering::SeqCst) - received;
            assert!(waiting <= IN_FLIGHT_MAX, "{waiting} bytes wait inside");
        }
        assert_eq!(received, TOTAL);
        let finished = reply.finished.await.unwrap();
        assert!(finished.memory_bytes < 4 * 1024 * 1024, "{finished:?}");
    }
}

#[tokio::test]
async fn an_answer_without_a_request_body_streams() {
    let bench = Bench::handler();
    let (status, body) = bench.get("/big").await.unwrap();
    assert_eq!((status, body.len()), (200, 64 * 1024 * 1024));
}

/// On the one thread of this test's runtime.
#[tokio::test]
async fn an_endless_loop_ends_at_its_deadline_and_others_run_meanwhile() {
    let bench = Arc::new(Bench::handler());
    bench.compile("").unwrap();
    let endless = tokio::spawn({
        let bench = Arc::clone(&bench);
        async move { bench.fetch(&version(), get("/loop"), LONG).await.err() }
    });
    // It is in its loop when it leaves the thread to others for the first time.
    tokio::task::yield_now().await;
    for _ in 0..10 {
        assert_eq!(bench.get("/hello").await.unwrap().0, 200);
    }
    assert!(!endless.is_finished(), "the loop ran beside the others");
    endless.abort();
    let endless = bench.fetch(&version(), get("/loop"), Duration::from_secs(1)).await;
    assert_eq!(endless.err(), Some(Error::Timeout));
}

#[tokio::test]
async fn a_dropped_request_frees_its_instance() {
    let bench = Bench::new(1, &[("handler.wasm", &handler_component())]);
    bench.compile("").unwrap();
    let version = version();
    let endless = bench.fetch(&version, get("/loop"), LONG);
    assert!(tokio::time::timeout(Duration::from_millis(50), endless).await.is_err());
    assert_eq!(bench.get("/hello").await.unwrap().0, 200);
}

#[tokio::test]
async fn more_guests_than_instances_are_turned_away() {
    let bench = Bench::new(2, &[("handler.wasm", &handler_component())]);
    bench.compile("").unwrap();
    let waiting = || bench.get("/wait");
    let (first, second, third) = tokio::join!(waiting(), waiting(), bench.get("/hello"));
    assert_eq!((first.unwrap().0, second.unwrap().0), (200, 200));
    assert_eq!(third, Err(Error::Busy));
}

#[tokio::test]
async fn a_thousand_guests_wait_at_once() {
    let bench = Arc::new(Bench::new(1000, &[("handler.wasm", &handler_component())]));
    bench.compile("").unwrap();
    let mut waiting = tokio::task::JoinSet::new();
    for _ in 0..1000 {
        let bench = Arc::clone(&bench);
        waiting.spawn(async move { bench.get("/wait").await });
    }
    for answer in waiting.join_all().await {
        assert_eq!(answer.unwrap(), (200, "hello 11\n".into()));
    }
}

#[tokio::test]
async fn memory_ends_at_the_version_s_size() {
    let bench = Bench::handler();
    for memory_mib in [1, 2, 64] {
        let reply = bench.fetch(&version_with(memory_mib, &[]), get("/memory"), LONG).await;
        assert_eq!(reply.err(), Some(Error::OutOfMemory), "{memory_mib} MiB");
    }
    let reply = bench.fetch(&version_with(2, &[]), get("/hello"), LONG).await.unwrap();
    let finished = reply.finished.await.unwrap();
    assert_eq!(finished, Finished { memory_bytes: 18 * 65536, trap: None });
}

#[tokio::test]
async fn a_trap_tells_what_and_where() {
    let bench = Bench::handler();
    let Err(Error::Trap(text)) = bench.get("/trap").await else { panic!("no trap") };
    assert!(text.starts_with("wasm trap: wasm `unreachable` instruction executed\n"), "{text}");
    assert!(text.ends_with("!handle"), "{text}");
    assert_eq!(bench.get("/nothing").await, Err(Error::NoResponse));
}

#[tokio::test]
async fn a_failure_within_an_answer_does_not_pass_for_its_end() {
    let bench = Bench::handler();
    let reply = bench.fetch(&version(), get("/fail"), LONG).await.unwrap();
    let mut body = reply.response.into_body();
    assert_eq!(body.frame().await.unwrap().unwrap().into_data().unwrap(), "hello");
    assert!(body.frame().await.unwrap().unwrap_err().to_string().contains("unreachable"));
    assert!(reply.finished.await.unwrap().trap.unwrap().contains("unreachable"));
}

#[tokio::test]
async fn printed_lines_go_to_the_log() {
    let bench = Bench::handler();
    assert_eq!(bench.get("/print").await.unwrap(), (200, "hello 11\n".into()));
    assert_eq!(bench.log(), ["one line", "and the rest"]);
}

#[tokio::test]
async fn damaged_or_lost_code_is_compiled_again() {
    let bench = Bench::handler();
    bench.compile("").unwrap();
    let file = bench.cache_file();
    let whole = std::fs::read(&file).unwrap();
    let with = |change: &dyn Fn(&mut Vec<u8>)| {
        let mut bytes = whole.clone();
        change(&mut bytes);
        bytes
    };
    for damaged in [
        with(&|bytes| bytes[4096] ^= 1),
        with(&|bytes| bytes.truncate(bytes.len() / 2)),
        with(&|bytes| bytes.clear()),
    ] {
        std::fs::write(&file, damaged).unwrap();
        let engine = Engine::new(&bench.dir.path().join("cache"), 1, nothing()).unwrap();
        engine.load(&version(), &bench.code()).unwrap();
        assert_eq!(std::fs::read(&file).unwrap(), whole);
    }
    std::fs::remove_file(&file).unwrap();
    let fresh = bench.reborn(nothing());
    assert_eq!(fresh.get("/hello").await.unwrap().0, 200);
    assert!(file.exists());
}

#[tokio::test]
async fn compiled_code_is_enough_to_run() {
    let bench = Bench::handler();
    bench.compile("").unwrap();
    std::fs::remove_file(bench.code().join("handler.wasm")).unwrap();
    let again = bench.reborn(nothing());
    assert_eq!(again.get("/hello").await.unwrap().0, 200);
}

#[test]
fn packages_that_are_no_function_are_told_why() {
    let module = |text: &str| wat::parse_str(text).unwrap();
    let start = module(r#"(module (memory (export "memory") 1) (func (export "_start")))"#);
    let foreign =
        module(r#"(module (import "env" "f" (func)) (memory (export "memory") 1) (func (export "_start")))"#);
    type Case<'a> = (&'a [(&'a str, &'a [u8])], &'a str, &'a str);
    let cases: [Case<'_>; 7] = [
        (&[("a.txt", b"")], "", "the package holds no .wasm or .wat file"),
        (&[("a.wasm", &start), ("b/c.wat", b"")], "", "several modules (a.wasm, b/c.wat)"),
        (&[("a.wasm", b"\0asm\x01\0\0\0\x01\x05")], "", "a.wasm is not valid WebAssembly"),
        (&[("a.wat", b"(module\n  (fun))")], "", "a.wat:2:4"),
        (&[("a.wasm", &module("(module)"))], "", "a.wasm exports neither"),
        (&[("a.wasm", &foreign)], "", "env"),
        (&[("a.wasm", &start), ("code.wasm", &start)], "../code/a.wasm", "leads out of the package"),
    ];
    for (files, handler, expected) in cases {
        let error = Bench::new(1, files).compile(handler).expect_err(expected).to_string();
        assert!(error.contains(expected), "{error}");
    }
    Bench::new(1, &[("a.wasm", &start), ("b.wasm", b"")]).compile("a.wasm").unwrap();
}

#[tokio::test]
async fn a_lost_package_is_an_error_of_its_own() {
    let bench = Bench::new(1, &[]);
    assert!(bench.engine.loaded(&version()).is_none());
    assert!(bench.engine.load(&version(), Path::new("/nonexistent")).is_err());
}

fn quiet_call() -> Call {
    Call { log: Arc::new(|_| {}), timeout: LONG, depth: 1 }
}

/// `cargo test -p mayfly-runtime --test wasm -- --ignored --nocapture` prints what a request costs.
#[tokio::test]
#[ignore = "a measurement"]
async fn costs() {
    let command = Bench::new(8, &[("echo.wat", include_bytes!("wasm/echo.wat"))]);
    for (name, bench) in [("handler", Bench::handler()), ("command", command)] {
        let begun = Instant::now();
        bench.compile("").unwrap();
        eprintln!("{name}: engine and compile {:?}", begun.elapsed());
        let again = bench.reborn(nothing());
        let begun = Instant::now();
        again.compile("").unwrap();
        eprintln!("{name}: engine and load {:?}", begun.elapsed());
        let version = version();
        let mut times: Vec<Duration> = Vec::new();
        for _ in 0..20_000 {
            let request = http::Request::post("/hello").body(body::full("{}")).unwrap();
            let begun = Instant::now();
            let program = again.engine.loaded(&version).unwrap();
            let reply = again.engine.run(program, &version, request, quiet_call()).await.unwrap();
            reply.response.into_body().collect().await.unwrap();
            times.push(begun.elapsed());
        }
        times.sort();
        eprintln!("{name}: request p50 {:?}, p99 {:?}", times[10_000], times[19_800]);
    }
}
