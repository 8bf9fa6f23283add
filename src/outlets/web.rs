//! Requests to web endpoints.
//!
//! A request is bounded: in time, in how many go to one endpoint at once (its lane's places), in how many a
//! second if its subscription says so, and in what is read of the answer, which is its status alone.
//! Redirects are not followed.

use crate::outgoing::{Client, Trust};
use bytes::Bytes;
use http::{HeaderName, HeaderValue};
use http_body_util::Full;
use mayfly_services::sns::{Pace, Refused, Webhook};
use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;
use tokio::time::Instant;

/// How long an endpoint may take to answer.
const ANSWER_WITHIN: Duration = Duration::from_secs(15);
const IDLE_CONNECTIONS_PER_HOST: usize = 4;

pub(super) struct Web {
    client: Client<Full<Bytes>>,
    paces: Paces,
}

impl Web {
    pub(super) fn new(trust: &Trust) -> Web {
        Web { client: trust.client(IDLE_CONNECTIONS_PER_HOST), paces: Paces::default() }
    }

    /// A status of 2xx says that the message was taken; one of 4xx, but for 429, that asking again is no use.
    pub(super) async fn send(
        &self,
        webhook: Webhook,
        secret: Option<(HeaderName, HeaderValue)>,
    ) -> Result<(), Refused> {
        if let Some(pace) = &webhook.pace {
            tokio::time::sleep_until(self.paces.place(pace, Instant::now())).await;
        }
        let mut request = http::Request::post(&webhook.url);
        for (name, value) in &webhook.headers {
            request = request.header(*name, value);
        }
        if let Some((name, value)) = secret {
            request = request.header(name, value);
        }
        let body = Full::from(webhook.body);
        let request = request.body(body).map_err(|error| Refused::ForGood(error.to_string()))?;
        let answer = tokio::time::timeout(ANSWER_WITHIN, self.client.request(request)).await;
        let late = |_| Refused::Later(format!("no answer within {} s", ANSWER_WITHIN.as_secs()));
        let status = answer.map_err(late)?.map_err(|error| Refused::Later(whole(&error)))?.status();
        match status.as_u16() {
            200..=299 => Ok(()),
            410 => Err(Refused::Gone(status.to_string())),
            429 => Err(Refused::Later(status.to_string())),
            400..=499 => Err(Refused::ForGood(status.to_string())),
            _ => Err(Refused::Later(status.to_string())),
        }
    }
}

/// An error with its causes, of which the first alone says too little: that a certificate is not believed
/// stands last.
fn whole(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(Some(error), |error| error.source());
    causes.map(ToString::to_string).collect::<Vec<_>>().join(": ")
}

/// When the next request of those subscriptions may go that take only so many a second.
#[derive(Default)]
struct Paces(Mutex<HashMap<String, Instant>>);

impl Paces {
    /// When this request may go. Who asks has that place.
    fn place(&self, pace: &Pace, now: Instant) -> Instant {
        let gap = Duration::from_secs(1) / pace.per_second.max(1);
        let mut next = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        // Whoever has not sent for a while may send at once, and needs not be known.
        next.retain(|_, at| *at > now);
        let place = next.get(&pace.subscription).copied().unwrap_or(now);
        next.insert(pace.subscription.clone(), place + gap);
        place
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_subscription_takes_its_turns_and_no_other_one_s() {
        let (paces, now) = (Paces::default(), Instant::now());
        let pace = |name: &str| Pace { subscription: name.into(), per_second: 4 };
        let places: Vec<_> = (0..3).map(|_| paces.place(&pace("a"), now) - now).collect();
        assert_eq!(places, [0, 250, 500].map(Duration::from_millis));
        assert_eq!(paces.place(&pace("b"), now), now);
        let later = now + Duration::from_secs(2);
        assert_eq!(paces.place(&pace("a"), later), later);
        assert_eq!(paces.0.lock().unwrap().len(), 1);
    }
}
