//! Calls API destinations: at the pace that each allows, with the tokens that their connections need.
//!
//! A call is bounded: in time, in how many wait for one endpoint (the places of its lane), and in what is
//! read of the answer. Tokens are kept in memory until they expire; one that an endpoint does not take is got
//! anew, once for a call. Redirects are not followed.

use crate::outgoing::{Client, Trust};
use bytes::{Bytes, BytesMut};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use mayfly_services::events::{Request, TokenRequest};
use mayfly_services::targets::Called;
use serde::Deserialize;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::time::Instant;

/// How long an endpoint may take to answer, its body included.
const ANSWER_WITHIN: Duration = Duration::from_secs(5);
/// How much of an answer is read: AWS asks for this range.
const ANSWER_BYTES: usize = 1024 * 1024;
const IDLE_CONNECTIONS_PER_HOST: usize = 4;
/// A token that names no time is good for this long.
const TOKEN_LIFE: Duration = Duration::from_secs(300);
/// No token is used this shortly before its end.
const TOKEN_MARGIN: Duration = Duration::from_secs(10);
/// When so many endpoints or tokens are remembered, those that are of no use any more are forgotten.
const REMEMBERED: usize = 1024;

pub(crate) struct Destinations {
    client: Client<Full<Bytes>>,
    /// When each endpoint may be called next.
    paces: Mutex<HashMap<String, Instant>>,
    /// By the credentials that they are for. Whoever gets a token holds its lock, so that nobody else does.
    tokens: Mutex<HashMap<String, Arc<tokio::sync::Mutex<Known>>>>,
}

/// What is known of the tokens for some credentials.
#[derive(Default)]
struct Known {
    token: Option<Token>,
    /// When there was none to be had, and why.
    refused: Option<(Instant, String)>,
}

#[derive(Clone)]
struct Token {
    /// What the header says: its type and itself.
    shown: String,
    until: Instant,
}

/// What a call has come to, and the body of its answer.
pub(crate) struct Answer {
    pub(crate) called: Called,
    pub(crate) body: Bytes,
}

impl Answer {
    fn without(called: Called) -> Answer {
        Answer { called, body: Bytes::new() }
    }
}

#[derive(Deserialize)]
struct Granted {
    access_token: String,
    token_type: Option<String>,
    expires_in: Option<serde_json::Number>,
}

impl Destinations {
    pub(crate) fn new(trust: &Trust) -> Destinations {
        Destinations {
            client: trust.client(IDLE_CONNECTIONS_PER_HOST),
            paces: Mutex::default(),
            tokens: Mutex::default(),
        }
    }

    pub(crate) async fn call(&self, request: &Request) -> Answer {
        let Some(wanted) = &request.token else { return self.call_with(request, None).await };
        let shown = match self.token(wanted).await {
            Ok(shown) => shown,
            Err(why) => return Answer::without(Called::NoToken(why)),
        };
        let answer = self.call_with(request, Some(&shown)).await;
        if !matches!(answer.called, Called::Answered { status: 401 | 407, .. }) {
            return answer;
        }
        self.forget(wanted, &shown).await;
        match self.token(wanted).await {
            Ok(shown) => self.call_with(request, Some(&shown)).await,
            Err(why) => Answer::without(Called::NoToken(why)),
        }
    }

    async fn call_with(&self, request: &Request, token: Option<&str>) -> Answer {
        let mut headers = request.headers.clone();
        if let Some(shown) = token {
            headers.retain(|(name, _)| name != "authorization");
            headers.push(("authorization".to_owned(), shown.to_owned()));
        }
        self.wait_for_turn(request).await;
        match self.send(&request.method, &request.url, &headers, &request.body).await {
            Ok((head, body)) => {
                let retry_after = head.headers.get(http::header::RETRY_AFTER);
                let retry_after = retry_after.and_then(|value| value.to_str().ok()).map(str::to_owned);
                Answer { called: Called::Answered { status: head.status.as_u16(), retry_after }, body }
            }
            Err(why) => Answer::without(Called::Unanswered(why)),
        }
    }

    /// Waits until the endpoint may be called: calls are as far apart as their rate says.
    async fn wait_for_turn(&self, request: &Request) {
        let apart = Duration::from_secs(1) / request.rate.max(1);
        let turn = {
            let mut paces = self.paces.lock().unwrap_or_else(PoisonError::into_inner);
            let now = Instant::now();
            if paces.len() >= REMEMBERED {
                paces.retain(|_, next| *next > now);
            }
            let next = paces.entry(request.destination.clone()).or_insert(now);
            let turn = (*next).max(now);
            *next = turn + apart;
            turn
        };
        tokio::time::sleep_until(turn).await;
    }

    async fn send(
        &self,
        method: &str,
        url: &str,
        headers: &[(String, String)],
        body: &[u8],
    ) -> Result<(http::response::Parts, Bytes), String> {
        let mut request = http::Request::builder().method(method).uri(url);
        for (name, value) in headers {
            request = request.header(name, value);
        }
        let request = request.body(Full::from(body.to_vec())).map_err(|error| error.to_string())?;
        let exchange = async {
            let answer = self.client.request(request).await.map_err(|error| said(&error))?;
            let (head, body) = answer.into_parts();
            Ok((head, read(body).await))
        };
        match tokio::time::timeout(ANSWER_WITHIN, exchange).await {
            Ok(answer) => answer,
            Err(_) => Err(format!("no answer within {} s", ANSWER_WITHIN.as_secs())),
        }
    }

    /// A token for these credentials, the one that is known or a new one. Whoever has waited while another
    /// asked in vain is told the same.
    pub(crate) async fn token(&self, wanted: &TokenRequest) -> Result<String, String> {
        let place = self.place(&wanted.key);
        let began = Instant::now();
        let mut known = place.lock().await;
        if let Some(token) = known.token.as_ref().filter(|token| token.until > Instant::now()) {
            return Ok(token.shown.clone());
        }
        if let Some((_, why)) = known.refused.as_ref().filter(|(at, _)| *at >= began) {
            return Err(why.clone());
        }
        match self.get_token(wanted).await {
            Ok(token) => {
                known.token = Some(token.clone());
                Ok(token.shown)
            }
            Err(why) => {
                known.refused = Some((Instant::now(), why.clone()));
                Err(why)
            }
        }
    }

    fn place(&self, key: &str) -> Arc<tokio::sync::Mutex<Known>> {
        let mut tokens = self.tokens.lock().unwrap_or_else(PoisonError::into_inner);
        if tokens.len() >= REMEMBERED {
            tokens.retain(|_, place| Arc::strong_count(place) > 1);
        }
        tokens.entry(key.to_owned()).or_default().clone()
    }

    /// Forgets a token that was refused, unless there is a newer one.
    async fn forget(&self, wanted: &TokenRequest, shown: &str) {
        let place = self.place(&wanted.key);
        let mut known = place.lock().await;
        known.token = known.token.take().filter(|token| token.shown != shown);
    }

    async fn get_token(&self, wanted: &TokenRequest) -> Result<Token, String> {
        let asked = Instant::now();
        let answer = self.send(&wanted.method, &wanted.url, &wanted.headers, &wanted.body).await;
        let (head, body) = answer.map_err(|why| format!("The authorization endpoint: {why}"))?;
        if !head.status.is_success() {
            return Err(format!("The authorization endpoint answered with status {}.", head.status.as_u16()));
        }
        let granted: Granted = serde_json::from_slice(&body)
            .map_err(|_| "The authorization endpoint's answer has no access_token.".to_owned())?;
        let life = granted.expires_in.and_then(|seconds| seconds.as_u64()).map(Duration::from_secs);
        let life = life.unwrap_or(TOKEN_LIFE);
        // A type is named in whatever case, and servers look for this one.
        let kind = granted.token_type.filter(|kind| !kind.eq_ignore_ascii_case("bearer"));
        Ok(Token {
            shown: format!("{} {}", kind.as_deref().unwrap_or("Bearer"), granted.access_token),
            until: asked + life.saturating_sub(TOKEN_MARGIN.min(life / 2)),
        })
    }
}

/// The causes of an error too: the client's own text says only that it could not.
fn said(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(error.source(), |cause| cause.source());
    causes.fold(error.to_string(), |text, cause| format!("{text}: {cause}"))
}

/// What there is of an answer, up to the most that is read.
async fn read(mut body: Incoming) -> Bytes {
    let mut read = BytesMut::new();
    while read.len() < ANSWER_BYTES {
        let Some(Ok(frame)) = body.frame().await else { break };
        if let Ok(data) = frame.into_data() {
            let room = ANSWER_BYTES - read.len();
            read.extend_from_slice(&data[..data.len().min(room)]);
        }
    }
    read.freeze()
}
