//! HTTP: one request through a function in a sandbox that speaks it. Bodies stream.

use super::report::{Course, Subject, Told, say_end, say_start};
use super::{Asked, FetchError, Held, Inner, Permit};
use crate::body::{Body, Cut};
use crate::instance::{Broken, error, explain, untaken};
use crate::pool::Denied;
use crate::web::{self, Fed, NoAnswer};
use http::{Request, Response};
use mayfly_kernel::function::Version;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Who is to answer a request.
struct Found {
    held: Held,
    course: Course,
    reached: Result<web::Reached, NoAnswer>,
}

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
        let Found { mut held, course, reached } = self.reach(&subject, asked).await?;
        let timeout = Duration::from_millis(version.timeout_ms);
        let sent = match reached {
            Err(none) => Err(none),
            Ok(reached) => web::send(&mut held.instance, reached, request, timeout).await,
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

    /// An instance, and the way into it. One that has served before and serves no more is left for another:
    /// nothing of the request has gone to it.
    async fn reach(self: &Arc<Inner>, subject: &Subject, asked: Instant) -> Result<Found, FetchError> {
        loop {
            let made = self.instance(&subject.version, subject.tenant.as_deref(), &subject.id).await;
            let made = made.map_err(|denied| match denied {
                Denied::Refused(refusal) => FetchError::Refused(refusal),
                Denied::Failing(error) => FetchError::Crashed(error),
            })?;
            let (held, warm) = (made.held, made.cold.is_none());
            let course = Course::begin(asked, made.cold, self.clock.now());
            let instance = &held.instance;
            instance.catch_up();
            instance.log.begin_tail();
            say_start(&instance.log, subject);
            let reached = match made.initialised {
                Err(broken) => Err(NoAnswer::Broken(broken)),
                Ok(()) => web::reach(instance).await,
            };
            if warm && reached.is_err() {
                instance.catch_up();
                instance.log.say(untaken(&subject.id, self.clock.now()));
                continue;
            }
            return Ok(Found { held, course, reached });
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
