//! HTTP: one request through a function in a sandbox that speaks it. Bodies stream.

use super::report::{Course, Subject, Told, say_end, say_start};
use super::{Asked, FetchError, Held, Inner, Permit};
use crate::body::{Body, Cut};
use crate::instance::{Broken, error, explain};
use crate::pool::Denied;
use crate::web::{self, Fed, NoAnswer};
use http::{Request, Response};
use mayfly_kernel::function::Version;
use std::sync::Arc;
use std::time::{Duration, Instant};

impl Inner {
    pub(super) async fn fetch_web(
        self: Arc<Inner>,
        version: Arc<Version>,
        request: Request<Body>,
        Asked { id, tenant, mut told, depth: _, invoked_arn: _ }: Asked,
        permit: Permit,
    ) -> Result<Response<Body>, FetchError> {
        let asked = Instant::now();
        let subject = Subject { id, version: version.clone(), tenant };
        let made = self.instance(&version, subject.tenant.as_deref(), &subject.id).await;
        let made = made.map_err(|denied| match denied {
            Denied::Refused(refusal) => FetchError::Refused(refusal),
            Denied::Failing(error) => FetchError::Crashed(error),
        })?;
        let mut held = made.held;
        let course = Course::begin(asked, made.cold, self.clock.now());
        held.instance.catch_up();
        held.instance.log.begin_tail();
        say_start(&held.instance.log, &subject);
        let timeout = Duration::from_millis(version.timeout_ms);
        let sent = match made.initialised {
            Err(broken) => Err(NoAnswer::Broken(broken)),
            Ok(()) => web::send(&mut held.instance, request, timeout).await,
        };
        match sent {
            Ok(answer) => {
                let (response, mut feed) = web::relay(answer);
                told.answered(response.status());
                let left = timeout.saturating_sub(course.elapsed());
                // The instance is free again when the whole body has been passed on.
                tokio::spawn(async move {
                    let fed = feed.run(&mut held.instance, left).await;
                    let whole = match &fed {
                        Ok(_) => Ok(()),
                        Err(Broken::Timeout) => Err(Cut::Timeout),
                        Err(_) => Err(Cut::Failed),
                    };
                    self.finish_web((held, told), &subject, &course, fed);
                    drop(permit);
                    feed.end(whole).await;
                });
                Ok(response)
            }
            Err(NoAnswer::Broken(broken)) => {
                let (error, _) = explain(&broken, &subject.id, &version, self.clock.now());
                let timed_out = matches!(broken, Broken::Timeout);
                self.finish_web((held, told), &subject, &course, Err(broken));
                Err(if timed_out { FetchError::Timeout } else { FetchError::Crashed(error) })
            }
            Err(NoAnswer::NotHttp(text)) => {
                let crash = Broken::InitError(error("Runtime.InvalidResponse", &text));
                self.finish_web((held, told), &subject, &course, Err(crash));
                Err(FetchError::BadGateway(text))
            }
        }
    }

    fn finish_web(
        &self,
        (mut held, mut told): (Held, Told),
        subject: &Subject,
        course: &Course,
        ended: Result<Fed, Broken>,
    ) {
        let ran = course.elapsed();
        held.instance.catch_up();
        if let Err(broken) = &ended {
            told.failed();
            held.instance.end(broken);
            let line = explain(broken, &subject.id, &subject.version, self.clock.now()).1;
            held.instance.log.say(line);
        }
        let report = course.report(ran, held.instance.memory_peak());
        say_end(&held.instance.log, subject, &report);
        told.end(|| held.instance.log.tail(), report);
        if matches!(ended, Ok(Fed::Whole)) {
            self.pool.put(held);
        }
    }
}
