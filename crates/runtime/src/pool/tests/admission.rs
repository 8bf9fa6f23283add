//! Admission against a model that keeps every permit as a line of its own.

use super::*;
use proptest::prelude::*;

/// Functions of one account, each with two versions that may be provisioned.
const FUNCTIONS: usize = 3;
const VERSIONS: usize = 2;
const ACCOUNT: u32 = 12;

#[derive(Clone, Debug)]
enum Step {
    Enter(usize, usize),
    /// Ends one of those that run.
    Leave(usize),
    Reserve(usize, Option<u32>),
    Provision(usize, usize, u32),
}

fn step() -> impl Strategy<Value = Step> {
    let (function, version) = (0..FUNCTIONS, 0..VERSIONS);
    prop_oneof![
        6 => (function.clone(), version.clone()).prop_map(|(f, v)| Step::Enter(f, v)),
        4 => any::<usize>().prop_map(Step::Leave),
        1 => (function.clone(), prop::option::of(0_u32..5)).prop_map(|(f, count)| Step::Reserve(f, count)),
        1 => (function, version, 0_u32..4).prop_map(|(f, v, count)| Step::Provision(f, v, count)),
    ]
}

/// What is configured.
#[derive(Clone, Default)]
struct Config {
    reserved: [Option<u32>; FUNCTIONS],
    provisioned: [[u32; VERSIONS]; FUNCTIONS],
}

impl Config {
    fn of_function(&self, f: usize) -> u32 {
        self.provisioned[f].iter().sum()
    }

    /// What the services refuse never reaches the pool.
    fn is_sound(&self) -> bool {
        let within = |f: usize| self.reserved[f].is_none_or(|reserved| self.of_function(f) <= reserved);
        (0..FUNCTIONS).all(within) && self.held() <= ACCOUNT
    }

    /// What is somebody's own.
    fn held(&self) -> u32 {
        (0..FUNCTIONS).map(|f| self.reserved[f].unwrap_or_else(|| self.of_function(f))).sum()
    }

    fn version(&self, f: usize, v: usize) -> Arc<Version> {
        let mut version = (*version(&format!("f{f}"))).clone();
        version.id = format!("f{f}-{v}");
        let reserved: u32 = self.reserved.iter().flatten().sum();
        version.concurrency = match self.reserved[f] {
            Some(reserved) => Concurrency::Reserved(reserved),
            None => Concurrency::Shared(ACCOUNT - reserved),
        };
        Arc::new(version)
    }

    fn tell(&self, pool: &Arc<Pool<Toy>>) {
        let pairs = (0..FUNCTIONS).flat_map(|f| (0..VERSIONS).map(move |v| (f, v)));
        let wanted = pairs.map(|(f, v)| (self.version(f, v), self.provisioned[f][v]));
        pool.want(wanted.filter(|(_, count)| *count > 0).collect());
    }
}

/// A permit, and what it was given for.
struct Line {
    function: usize,
    version: usize,
    source: Source,
    permit: Permit<Toy>,
}

/// Whether the model lets one more in, and out of what.
fn admits(config: &Config, lines: &[Line], f: usize, v: usize) -> Result<Source, Refusal> {
    let count = |wanted: &dyn Fn(&&Line) -> bool| u32::try_from(lines.iter().filter(wanted).count()).unwrap();
    let ahead = |line: &&Line| line.source == Source::Provisioned;
    let own_ahead = count(&|line| ahead(line) && (line.function, line.version) == (f, v));
    let takes_ahead = own_ahead < config.provisioned[f][v];
    match config.reserved[f] {
        Some(reserved) => {
            let all = count(&|line| line.function == f);
            let on_demand = count(&|line| line.function == f && !ahead(line));
            if all >= reserved {
                Err(Refusal::ReservedConcurrency)
            } else if takes_ahead {
                Ok(Source::Provisioned)
            } else if on_demand < reserved - config.of_function(f) {
                Ok(Source::Reserved)
            } else {
                Err(Refusal::ReservedConcurrency)
            }
        }
        None if takes_ahead => Ok(Source::Provisioned),
        None => match count(&|line| line.source == Source::Shared) < ACCOUNT - config.held() {
            true => Ok(Source::Shared),
            false => Err(Refusal::AccountConcurrency),
        },
    }
}

proptest! {
    /// Whatever is configured, entered and left in whatever order: what is one's own is always given, nothing
    /// is given beyond what the configuration leaves, and at the end nothing is counted any more.
    #[test]
    fn admission_keeps_to_its_model(steps in prop::collection::vec(step(), 1..200)) {
        let pool = pool(Limits::default(), 1);
        let (mut config, mut lines) = (Config::default(), Vec::<Line>::new());
        // Whether what runs was let in under what is configured now: what came before runs to its end.
        let mut steady = true;
        for step in steps {
            match step {
                Step::Enter(function, version) => {
                    let told = admits(&config, &lines, function, version);
                    match pool.admit(&config.version(function, version)) {
                        Ok(permit) => {
                            prop_assert_eq!(told, Ok(permit.source));
                            lines.push(Line { function, version, source: permit.source, permit });
                        }
                        Err(refusal) => prop_assert_eq!(told, Err(refusal)),
                    }
                    if steady {
                        prop_assert!(lines.len() <= ACCOUNT as usize, "never over the account's limit");
                    }
                }
                Step::Leave(which) if !lines.is_empty() => {
                    let line = lines.swap_remove(which % lines.len());
                    drop(line.permit);
                    steady |= lines.is_empty();
                }
                Step::Leave(_) => {}
                Step::Reserve(..) | Step::Provision(..) => {
                    let mut next = config.clone();
                    match step {
                        Step::Reserve(f, count) => next.reserved[f] = count,
                        Step::Provision(f, v, count) => next.provisioned[f][v] = count,
                        Step::Enter(..) | Step::Leave(_) => {}
                    }
                    if next.is_sound() {
                        config = next;
                        config.tell(&pool);
                        steady = lines.is_empty();
                    }
                }
            }
            prop_assert_eq!(pool.counts().in_flight as usize, lines.len());
        }
        lines.clear();
        prop_assert!(pool.state.lock().admits_nothing(), "every permit came back");
    }
}

#[test]
fn what_is_reserved_is_there_however_many_others_run() {
    let pool = pool(Limits::default(), 1);
    let (mut noisy, mut own) = ((*version("noisy")).clone(), (*version("own")).clone());
    (noisy.concurrency, own.concurrency) = (Concurrency::Shared(3), Concurrency::Reserved(2));
    let (noisy, own) = (Arc::new(noisy), Arc::new(own));
    let crowd: Vec<_> = (0..3).map(|_| pool.admit(&noisy).unwrap()).collect();
    assert!(matches!(pool.admit(&noisy), Err(Refusal::AccountConcurrency)));
    let both = [pool.admit(&own).unwrap(), pool.admit(&own).unwrap()];
    assert!(matches!(pool.admit(&own), Err(Refusal::ReservedConcurrency)));
    drop(both);
    assert!(pool.admit(&noisy).is_err(), "what one function leaves free is not another's");
    drop(crowd);
}

#[test]
fn provisioned_instances_come_out_of_what_is_shared() {
    let pool = pool(Limits::default(), 8);
    let (mut ready, mut other) = ((*version("ready")).clone(), (*version("other")).clone());
    (ready.concurrency, other.concurrency) = (Concurrency::Shared(3), Concurrency::Shared(3));
    let (ready, other) = (Arc::new(ready), Arc::new(other));
    pool.want(vec![(ready.clone(), 2)]);
    let crowd = pool.admit(&other).unwrap();
    assert!(matches!(pool.admit(&other), Err(Refusal::AccountConcurrency)), "two are spoken for");
    let own = [pool.admit(&ready).unwrap(), pool.admit(&ready).unwrap()];
    assert!(
        matches!(pool.admit(&ready), Err(Refusal::AccountConcurrency)),
        "and no more is left to spill into"
    );
    drop(crowd);
    let spilled = pool.admit(&ready).unwrap();
    pool.want(Vec::new());
    drop((own, spilled));
    let all: Vec<_> = (0..3).map(|_| pool.admit(&other).unwrap()).collect();
    assert!(pool.admit(&ready).is_err());
    drop(all);
}
