//! The pool with instances that are nothing but a name and whether they live.

use super::*;
use mayfly_kernel::Arn;
use mayfly_kernel::function::{Concurrency, PackageDigest, Runtime};
use shelf::Shelf;
use std::sync::atomic::{AtomicBool, Ordering};

mod admission;

const MIB: u64 = 1024 * 1024;

struct Toy {
    ended: Arc<AtomicBool>,
}

impl Pooled for Toy {
    fn is_alive(&self) -> bool {
        true
    }

    fn freezer(&self) -> Option<Arc<Freezer>> {
        None
    }
}

impl Drop for Toy {
    fn drop(&mut self) {
        self.ended.store(true, Ordering::Relaxed);
    }
}

fn pool(limits: Limits, starts: u32) -> Arc<Pool<Toy>> {
    Pool::with(&limits, starts, Box::new(|| false))
}

/// Room for so many instances of 128 MiB.
fn room_for(count: u64) -> Limits {
    Limits { node_memory_bytes: count * 128 * MIB, ..Limits::default() }
}

fn version(name: &str) -> Arc<Version> {
    Arc::new(Version {
        id: format!("{name}-1"),
        function: Arn::new("lambda", "us-east-1", "000000000000", format!("function:{name}")),
        name: name.into(),
        label: "$LATEST".into(),
        runtime: Runtime::Python("3.11".into()),
        handler: "app.handler".into(),
        package: PackageDigest("package".into()),
        image: None,
        layers: Vec::new(),
        environment: std::collections::BTreeMap::default(),
        timeout_ms: 1000,
        memory_mib: 128,
        ephemeral_mib: 512,
        log_group: String::new(),
        concurrency: Concurrency::Shared(1000),
        per_tenant: false,
        snap_start: false,
        log_format: mayfly_kernel::function::LogFormat::Text,
    })
}

fn wait(pool: &Arc<Pool<Toy>>, version: &Version) -> Ticket<Toy> {
    wait_for(pool, version, None)
}

fn wait_for(pool: &Arc<Pool<Toy>>, version: &Version, tenant: Option<&str>) -> Ticket<Toy> {
    match pool.ask(version, tenant) {
        Ok(Asked::Wait(ticket)) => ticket,
        Ok(Asked::Warm(_)) => panic!("a warm instance"),
        Err(Denied::Refused(refusal)) => panic!("{refusal:?}"),
        Err(Denied::Failing(error)) => panic!("{error:?}"),
    }
}

fn turn(ticket: &mut Ticket<Toy>) -> Option<Turn<Toy>> {
    ticket.turns.try_recv().ok()
}

fn place(ticket: &mut Ticket<Toy>) -> Place<Toy> {
    match turn(ticket) {
        Some(Turn::Cold(place)) => place,
        Some(Turn::Warm(_)) => panic!("a warm instance"),
        Some(Turn::Failing(error)) => panic!("{error:?}"),
        None => panic!("no turn yet"),
    }
}

fn made(place: Place<Toy>) -> Held<Toy> {
    let mut held = Held::new(Toy { ended: Arc::default() }, place.slot);
    held.initialised();
    held
}

fn start(pool: &Arc<Pool<Toy>>, version: &Version) -> Held<Toy> {
    made(place(&mut wait(pool, version)))
}

fn start_for(pool: &Arc<Pool<Toy>>, version: &Version, tenant: &str) -> Held<Toy> {
    made(place(&mut wait_for(pool, version, Some(tenant))))
}

#[test]
fn a_burst_starts_no_more_at_once_than_the_processors_can_do() {
    let pool = pool(Limits::default(), 3);
    let v = version("burst");
    let mut tickets: Vec<_> = (0..10).map(|_| wait(&pool, &v)).collect();
    let mut placed: Vec<_> = tickets.iter_mut().filter_map(turn).collect();
    assert_eq!(placed.len(), 3);
    // A start that only waits gives its processor to the next.
    let Some(Turn::Cold(Place { slot, starting })) = placed.pop() else { panic!("a place") };
    drop(starting);
    let next: Vec<_> = tickets.iter_mut().filter_map(turn).collect();
    assert_eq!(next.len(), 1);
    drop(slot);
}

#[test]
fn a_waiting_event_takes_what_comes_first_and_the_start_goes_to_the_pool() {
    let pool = pool(Limits::default(), 2);
    let v = version("first");
    let busy = start(&pool, &v);
    let mut ticket = wait(&pool, &v);
    let place = place(&mut ticket);
    pool.put(busy);
    let Some(Turn::Warm(_freed)) = turn(&mut ticket) else {
        panic!("the freed one comes before the own start")
    };
    pool.put(made(place));
    assert_eq!(
        (pool.counts().instances, pool.counts().idle),
        (2, 1),
        "the one in use, and the overtaken one"
    );
}

#[test]
fn an_instance_that_comes_too_late_is_not_lost() {
    let pool = pool(Limits::default(), 1);
    let v = version("late");
    let busy = start(&pool, &v);
    let ticket = wait(&pool, &v);
    pool.put(busy);
    assert_eq!(pool.counts().idle, 0, "it is on its way");
    drop(ticket);
    assert_eq!((pool.counts().idle, pool.counts().waiting), (1, 0));
    assert!(matches!(pool.ask(&v, None), Ok(Asked::Warm(_))));
}

#[test]
fn a_full_node_gives_places_in_turns_between_functions() {
    let pool = pool(room_for(1), 4);
    let (many, one) = (version("many"), version("one"));
    let running = start(&pool, &many);
    let mut crowd: Vec<_> = (0..5).map(|_| wait(&pool, &many)).collect();
    let mut other = wait(&pool, &one);
    // The oldest of the crowd was there before the other function, so it goes first; then it is the other's
    // turn.
    pool.put(running);
    let Some(Turn::Warm(again)) = turn(&mut crowd[0]) else { panic!("the freed instance") };
    assert!(turn(&mut other).is_none());
    drop(crowd.remove(0));
    drop(again);
    let _second = place(&mut crowd[0]);
    assert!(turn(&mut other).is_none());
    drop(_second);
    assert!(turn(&mut other).is_some(), "the next place is the other function's, though four wait before it");
}

#[test]
fn a_function_without_any_instance_gets_one_of_a_busy_function_s() {
    let pool = pool(room_for(2), 4);
    let (busy, poor) = (version("busy"), version("poor"));
    let (first, second) = (start(&pool, &busy), start(&pool, &busy));
    let mut poor_ticket = wait(&pool, &poor);
    let mut crowd: Vec<_> = (0..3).map(|_| wait(&pool, &busy)).collect();
    pool.put(first);
    assert!(crowd.iter_mut().all(|ticket| turn(ticket).is_none()));
    let poor_one = made(place(&mut poor_ticket));
    drop(poor_ticket);
    // From now on each has one, and each keeps it: no start is wasted on taking turns.
    let mut poor_ticket = wait(&pool, &poor);
    pool.put(second);
    assert!(matches!(turn(&mut crowd[0]), Some(Turn::Warm(_))));
    pool.put(poor_one);
    assert!(matches!(turn(&mut poor_ticket), Some(Turn::Warm(_))));
}

#[test]
fn idle_instances_of_the_least_use_make_room() {
    let pool = pool(room_for(3), 4);
    let (often, seldom) = (version("often"), version("seldom"));
    for _ in 0..20 {
        match pool.ask(&often, None) {
            Ok(Asked::Warm(held)) => pool.put(held),
            Ok(Asked::Wait(mut ticket)) => pool.put(made(place(&mut ticket))),
            Err(_) => panic!("refused"),
        }
    }
    let old = start(&pool, &seldom);
    let ended = old.instance.ended.clone();
    let Ok(Asked::Warm(busy)) = pool.ask(&often, None) else { panic!("a warm instance") };
    // At one time: how long each is idle does not tell them apart.
    let now = Instant::now();
    for held in [busy, old] {
        let mut trash = Vec::new();
        pool.state.lock().offer(held, &pool, now, &mut trash);
    }
    let third = start(&pool, &version("third"));
    assert!(!ended.load(Ordering::Relaxed));
    let _fourth = start(&pool, &version("fourth"));
    assert!(ended.load(Ordering::Relaxed), "the seldom used one went, not the one that is used often");
    assert!(matches!(pool.ask(&often, None), Ok(Asked::Warm(_))));
    drop(third);
}

#[test]
fn tenants_never_share_an_instance() {
    let pool = pool(Limits::default(), 8);
    let v = version("shared");
    let first = start_for(&pool, &v, "a");
    pool.put(first);
    assert!(matches!(pool.ask(&v, Some("b")), Ok(Asked::Wait(_))));
    assert!(matches!(pool.ask(&v, None), Ok(Asked::Wait(_))));
    // Nor does one that becomes free go to another's event that waits.
    let Ok(Asked::Warm(busy)) = pool.ask(&v, Some("a")) else { panic!("a's own") };
    let (mut own, mut other) = (wait_for(&pool, &v, Some("a")), wait_for(&pool, &v, Some("b")));
    let (_own_place, _other_place) = (place(&mut own), place(&mut other));
    pool.put(busy);
    assert!(matches!(turn(&mut own), Some(Turn::Warm(_))));
    assert!(turn(&mut other).is_none());
    // Whatever they are called.
    let spaced = start_for(&pool, &v, "a b");
    pool.put(spaced);
    assert!(matches!(pool.ask(&v, Some("a  b")), Ok(Asked::Wait(_))));
    assert!(matches!(pool.ask(&v, Some("a b")), Ok(Asked::Warm(_))));
}

#[test]
fn many_tenants_make_room_for_themselves() {
    let pool = pool(room_for(8), 4);
    let (tenants, other) = (version("tenants"), version("other"));
    for number in 0..50 {
        pool.put(start_for(&pool, &tenants, &format!("tenant-{number}")));
    }
    assert_eq!(pool.counts().instances, 8, "the node is full");
    // Of a full shelf the longest idle of the many goes, and not another's one that has been idle longer.
    let node = self::pool(Limits::default(), 20);
    let began = Instant::now();
    let mut shelf = Shelf::default();
    shelf.put(start(&node, &other), began);
    for number in 1..10 {
        shelf.put(start_for(&node, &tenants, &number.to_string()), began + Duration::from_secs(number));
    }
    let share = |function: &Arn| if *function == tenants.function { 9 * 128 * MIB } else { 128 * MIB };
    for number in 1..8 {
        let gone = shelf.least_useful(began + Duration::from_secs(20), share, |_| true).unwrap();
        assert!(gone.key().ends_with(&format!(" {number}")), "{}", gone.key());
    }
}

#[test]
fn a_function_has_no_more_instances_than_its_concurrency_allows_for_tenants() {
    let pool = pool(Limits::default(), 4);
    let mut few = (*version("few")).clone();
    few.concurrency = Concurrency::Reserved(2);
    for number in 0..20 {
        pool.put(start_for(&pool, &few, &number.to_string()));
        assert!(pool.counts().instances <= 5, "two and a half for each that may run at once");
    }
}

#[test]
fn what_can_never_fit_and_what_is_too_many_is_refused() {
    let pool = pool(Limits { node_queue: 1, ..room_for(1) }, 1);
    let v = version("fits");
    let mut large = (*v).clone();
    large.memory_mib = 129;
    assert!(matches!(pool.ask(&large, None), Err(Denied::Refused(Refusal::NodeFull))));
    let _running = start(&pool, &v);
    let _waiting = wait(&pool, &v);
    assert!(matches!(pool.ask(&v, None), Err(Denied::Refused(Refusal::NodeFull))));
}

#[test]
fn a_version_that_does_not_initialise_is_told_to_all_who_wait_and_then_rests() {
    let pool = pool(Limits { init_backoff_ms: 60_000, ..Limits::default() }, 1);
    let v = version("broken");
    let mut tickets: Vec<_> = (0..5).map(|_| wait(&pool, &v)).collect();
    let place = place(&mut tickets[0]);
    let error = FunctionError { error_type: "Runtime.ImportModuleError".into(), payload: b"{}".to_vec() };
    pool.failed(&v, &error);
    drop(place);
    for ticket in &mut tickets[1..] {
        let told = turn(ticket);
        assert!(matches!(told, Some(Turn::Failing(told)) if told.error_type == error.error_type));
    }
    assert!(matches!(pool.ask(&v, None), Err(Denied::Failing(_))));
    pool.succeeded(&v);
    let _allowed = wait(&pool, &v);
}

#[test]
fn a_retired_version_s_instances_end_when_they_are_done() {
    let pool = pool(Limits::default(), 2);
    let v = version("old");
    let (idle, busy) = (start(&pool, &v), start(&pool, &v));
    let (idle_ended, busy_ended) = (idle.instance.ended.clone(), busy.instance.ended.clone());
    pool.put(idle);
    pool.retire(&v.id);
    assert!(idle_ended.load(Ordering::Relaxed) && !busy_ended.load(Ordering::Relaxed));
    pool.put(busy);
    assert!(busy_ended.load(Ordering::Relaxed));
    assert_eq!(pool.counts().instances, 0, "and their places are free");
}

#[test]
fn a_provisioned_instance_is_available_when_it_can_be_had() {
    let (pool, v) = (pool(Limits::default(), 4), version("ahead"));
    pool.want(vec![(v.clone(), 1)]);
    let Ok(mut ticket) = pool.ask_ahead(&v) else { panic!("refused") };
    let held = Held::new(Toy { ended: Arc::default() }, place(&mut ticket).slot);
    assert_eq!(pool.standing()[0].available, 0, "it is made, and nobody finds it yet");
    pool.put(held);
    assert_eq!(pool.standing()[0].available, 1);
    assert!(matches!(pool.ask(&v, None), Ok(Asked::Warm(_))));
}

#[test]
fn provisioned_instances_are_asked_for_kept_and_replaced() {
    let limits = Limits { idle_instance_seconds: 0, ..room_for(3) };
    let pool = pool(limits, 4);
    let v = version("ready");
    pool.want(vec![(v.clone(), 2)]);
    let missing = pool.missing();
    assert_eq!(missing.len(), 2);
    assert!(pool.missing().is_empty(), "each is asked for once");
    let mut held = Vec::new();
    for version in missing {
        let mut ticket = pool.ask_ahead(&version).ok().unwrap();
        let place = place(&mut ticket);
        pool.answered(&version, None);
        held.push(made(place));
    }
    let standing = pool.standing().pop().unwrap();
    assert_eq!((standing.wanted, standing.allocated, standing.available), (2, 2, 2));
    held.into_iter().for_each(|held| pool.put(held));
    pool.put(start(&pool, &version("other")));
    pool.tend_once(Instant::now());
    assert_eq!(pool.counts().idle, 2, "the reaper takes the other one alone");
    let _busy = start(&pool, &version("third"));
    let _waiting = wait(&pool, &version("fourth"));
    assert_eq!(pool.counts().idle, 2, "nor do they make room");
    let Ok(Asked::Warm(dies)) = pool.ask(&v, None) else { panic!("a warm instance") };
    drop(dies);
    assert_eq!(pool.missing().len(), 1, "one that dies is asked for again");
    assert_eq!(pool.standing().pop().unwrap().available, 1);
}

#[test]
fn pressure_ends_idle_instances_and_holds_starts_back() {
    let pressed = Arc::new(AtomicBool::new(false));
    let gauge = pressed.clone();
    let pool = Pool::with(&Limits::default(), 8, Box::new(move || gauge.load(Ordering::Relaxed)));
    let v = version("v");
    let held: Vec<_> = (0..8).map(|_| start(&pool, &v)).collect();
    held.into_iter().for_each(|held| pool.put(held));
    pressed.store(true, Ordering::Relaxed);
    pool.tend_once(Instant::now());
    assert_eq!(pool.counts().idle, 6, "a quarter at a time");
    let all = (0..6).map(|_| match pool.ask(&v, None) {
        Ok(Asked::Warm(held)) => held,
        _ => panic!("a warm instance"),
    });
    let all: Vec<_> = all.collect();
    let mut ticket = wait(&pool, &v);
    assert!(turn(&mut ticket).is_none(), "nothing idle is left to make room");
    pressed.store(false, Ordering::Relaxed);
    drop(all);
    assert!(turn(&mut ticket).is_some());
}

#[tokio::test]
async fn whoever_waits_for_memory_goes_on_when_there_is_some_although_nothing_else_happens() {
    let pressed = Arc::new(AtomicBool::new(false));
    let gauge = pressed.clone();
    let pool = Pool::with(&Limits::default(), 8, Box::new(move || gauge.load(Ordering::Relaxed)));
    let _busy = start(&pool, &version("busy"));
    pressed.store(true, Ordering::Relaxed);
    let mut ticket = wait(&pool, &version("waits"));
    assert!(turn(&mut ticket).is_none());
    pressed.store(false, Ordering::Relaxed);
    assert!(matches!(pool.turn(&mut ticket).await, Turn::Cold(_)));
}

#[tokio::test]
async fn a_drain_waits_for_the_last_and_refuses_the_next() {
    let pool = pool(Limits::default(), 1);
    let v = version("last");
    let permit = pool.admit(&v).unwrap();
    let draining = tokio::spawn({
        let pool = pool.clone();
        async move { pool.drain().await }
    });
    while pool.admit(&v).is_ok() {
        tokio::task::yield_now().await;
    }
    assert!(!draining.is_finished());
    // The last one was admitted before, so it still gets its instance.
    let held = start(&pool, &v);
    assert!(pool.ask_ahead(&v).is_err(), "nothing is made ahead any more");
    pool.put(held);
    assert_eq!(pool.counts().instances, 0);
    drop(permit);
    draining.await.unwrap();
}
