//! Sends messages to web endpoints that have asked for them.
//!
//! A request is bounded: in time, in how many go to one endpoint at once (its lane's places), and in what is read of the
//! answer, which is its status alone. Redirects are not followed.

use crate::outgoing::{Client, Trust};
use bytes::Bytes;
use http_body_util::Full;
use mayfly_services::sns::{Refused, Webhook};
use std::time::Duration;

/// How long an endpoint may take to answer.
const ANSWER_WITHIN: Duration = Duration::from_secs(15);
const IDLE_CONNECTIONS_PER_HOST: usize = 4;

pub(crate) struct Webhooks(Client<Full<Bytes>>);

impl Webhooks {
    pub(crate) fn new(trust: &Trust) -> Webhooks {
        Webhooks(trust.client(IDLE_CONNECTIONS_PER_HOST))
    }

    /// A status of 2xx says that the message was taken; one of 4xx, but for 429, that asking again is no use.
    pub(crate) async fn send(&self, webhook: Webhook) -> Result<(), Refused> {
        let broken = |why: String| Refused { for_good: true, why };
        let mut request = http::Request::post(&webhook.url);
        for (name, value) in &webhook.headers {
            request = request.header(*name, value);
        }
        let request = request.body(Full::from(webhook.body)).map_err(|error| broken(error.to_string()))?;
        let unanswered = |why: String| Refused { for_good: false, why };
        let answer = tokio::time::timeout(ANSWER_WITHIN, self.0.request(request)).await;
        let answer =
            answer.map_err(|_| unanswered(format!("no answer within {} s", ANSWER_WITHIN.as_secs())))?;
        let status = answer.map_err(|error| unanswered(error.to_string()))?.status();
        match status.as_u16() {
            200..=299 => Ok(()),
            429 => Err(unanswered(status.to_string())),
            400..=499 => Err(broken(status.to_string())),
            _ => Err(unanswered(status.to_string())),
        }
    }
}
