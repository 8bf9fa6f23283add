//! What becomes of a version whose code does not initialise: it is tried again, less and less often.
//!
//! Whoever waits for it meanwhile gets the error that was seen last at once, so that a broken deploy under
//! load costs the node one start now and then rather than one for every event. The first success forgets it
//! all.

use mayfly_kernel::function::FunctionError;
use std::collections::HashMap;
use std::time::{Duration, Instant};

pub(super) struct Backoff {
    first: Duration,
    longest: Duration,
    /// By version id.
    failing: HashMap<String, Failing>,
}

struct Failing {
    failures: u32,
    until: Instant,
    error: FunctionError,
}

impl Backoff {
    pub(super) fn new(first: Duration, longest: Duration) -> Backoff {
        Backoff { first, longest, failing: HashMap::default() }
    }

    /// Why `version` is not to be tried now. When its time has come, the one who asks first may try, and the
    /// others go on waiting for what comes of that.
    pub(super) fn refuse(&mut self, version: &str, now: Instant) -> Option<FunctionError> {
        let pause = self.pause(self.failing.get(version)?.failures);
        let failing = self.failing.get_mut(version)?;
        if now < failing.until {
            return Some(failing.explain(now));
        }
        failing.until = now + pause;
        None
    }

    /// The version has not initialised. Returns what its other callers are told.
    pub(super) fn failed(&mut self, version: &str, error: &FunctionError, now: Instant) -> FunctionError {
        let failures = self.failing.get(version).map_or(0, |failing| failing.failures).saturating_add(1);
        let failing = Failing { failures, until: now + self.pause(failures), error: error.clone() };
        let told = failing.explain(now);
        self.failing.insert(version.to_owned(), failing);
        told
    }

    pub(super) fn succeeded(&mut self, version: &str) {
        self.failing.remove(version);
    }

    /// When `version` may be tried again, if it is failing.
    pub(super) fn until(&self, version: &str) -> Option<Instant> {
        self.failing.get(version).map(|failing| failing.until)
    }

    /// Forgets what nobody has asked for in a long while.
    pub(super) fn prune(&mut self, now: Instant) {
        let kept = self.longest * 4;
        self.failing.retain(|_, failing| now < failing.until + kept);
    }

    fn pause(&self, failures: u32) -> Duration {
        let doublings = failures.saturating_sub(1).min(20);
        (self.first * 2_u32.pow(doublings)).min(self.longest)
    }
}

impl Failing {
    /// The function's own error, with a word on why it was not run.
    fn explain(&self, now: Instant) -> FunctionError {
        let wait = self.until.saturating_duration_since(now).as_millis();
        let note = format!(
            " (initialisation failed {} times in a row and is tried again in {wait} ms)",
            self.failures
        );
        let mut error = self.error.clone();
        if let Ok(serde_json::Value::Object(mut payload)) = serde_json::from_slice(&error.payload) {
            let message = payload.get("errorMessage").and_then(|text| text.as_str()).unwrap_or_default();
            let message = format!("{message}{note}");
            payload.insert("errorMessage".into(), message.into());
            error.payload = serde_json::Value::Object(payload).to_string().into_bytes();
        }
        error
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failing_version_is_tried_ever_less_often_and_by_one_at_a_time() {
        let ms = Duration::from_millis;
        let mut backoff = Backoff::new(ms(100), ms(350));
        let mut now = Instant::now();
        let error = FunctionError {
            error_type: "Runtime.ImportModuleError".into(),
            payload: br#"{"errorMessage":"no module","errorType":"Runtime.ImportModuleError"}"#.to_vec(),
        };
        assert_eq!(backoff.refuse("v", now), None);
        for pause in [100, 200, 350, 350] {
            backoff.failed("v", &error, now);
            let told = backoff.refuse("v", now + ms(pause - 1)).unwrap();
            let text = String::from_utf8(told.payload).unwrap();
            assert!(text.contains("no module (initialisation failed"), "{text}");
            now += ms(pause);
            assert_eq!(backoff.refuse("v", now), None, "one may try after {pause} ms");
            assert!(backoff.refuse("v", now).is_some(), "and only one");
            assert_eq!(backoff.refuse("other", now), None);
        }
        backoff.succeeded("v");
        assert_eq!((backoff.refuse("v", now), backoff.refuse("v", now)), (None, None));
    }
}
