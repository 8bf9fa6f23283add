//! What the platform is told of each invocation, for its figures.

use crate::platform::{Meter, Platform};
use mayfly_kernel::function::{Outcome, Refusal, Report, Version};

/// An invocation that is counted, until this is dropped.
pub(super) struct Metering(Option<Box<dyn Meter>>);

impl Metering {
    pub(super) fn begin(platform: &dyn Platform, version: &Version, invoked_arn: &str) -> Metering {
        Metering(platform.meter(version, invoked_arn))
    }

    /// Passes on whether there is room for it, which is counted if there is none.
    pub(super) fn admitted<T>(&mut self, admitted: Result<T, Refusal>) -> Result<T, Refusal> {
        admitted.inspect_err(|refusal| self.refused(refusal))
    }

    fn refused(&mut self, refusal: &Refusal) {
        let throttled = match refusal {
            Refusal::ReservedConcurrency | Refusal::AccountConcurrency | Refusal::NodeFull => true,
            Refusal::Unrunnable(_) | Refusal::RestoreFailed | Refusal::RestoreTimeout | Refusal::Draining => {
                false
            }
        };
        if let (Some(meter), true) = (&mut self.0, throttled) {
            meter.throttled();
        }
    }

    pub(super) fn ended(&mut self, failed: bool, report: &Report) {
        if let Some(meter) = &mut self.0 {
            meter.ended(failed, report.duration_us);
        }
    }

    /// Counts what an event came to.
    pub(super) async fn around(
        mut self,
        run: impl Future<Output = Result<Outcome, Refusal>>,
    ) -> Result<Outcome, Refusal> {
        let outcome = run.await;
        match &outcome {
            Ok(outcome) => self.ended(outcome.result.is_err(), &outcome.report),
            Err(refusal) => self.refused(refusal),
        }
        outcome
    }
}
