//! Calls of API destinations: when one is tried again, and what becomes of it at last.
//!
//! Which answers mean what is told in the user guide's "API destinations": 401, 407, 409, 429 and the 5xx are
//! tried again, and so is what was not answered in time; other answers that are no success are not. A
//! `Retry-After` counts if it is later than the next attempt would be. Attempts are as far apart as they
//! would have to be for the 185 of a day that a retry policy allows by default: twice as far each time, up to
//! eight and a half minutes, give or take a quarter.

use super::letter::{self, Exhausted, Tried};
use super::{Parcel, Undelivered};
use crate::Cx;
use crate::events::endpoints::{self, Letter, Request, Unusable};
use crate::fabric::{self, Record, Target, Verdict};
use mayfly_kernel::{Arn, Fault, Time};
use prost::Message as _;
use std::time::Duration;

const RETRIES: u32 = 185;
const MAX_AGE_S: u32 = 86_400;
const DOUBLINGS_MAX: u32 = 9;

/// What a call has come to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Called {
    Answered {
        status: u16,
        /// The header, as it came.
        retry_after: Option<String>,
    },
    /// Nobody answered, or not in time.
    Unanswered(String),
    /// There is no token to show.
    NoToken(String),
}

/// Why a call has failed, and whether it is worth another one.
struct Failed {
    why: Undelivered,
    again: Again,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Again {
    Never,
    /// Not before this time, if the endpoint named one.
    NotBefore(Option<Time>),
}

impl Called {
    pub fn succeeded(&self) -> bool {
        matches!(self, Called::Answered { status: 200..=299, .. })
    }

    fn failed(&self, now: Time) -> Option<Failed> {
        let failed =
            |code, message: String, again| Some(Failed { why: Undelivered { code, message }, again });
        let soon = Again::NotBefore(None);
        match self {
            Called::Answered { status: 200..=299, .. } => None,
            Called::Answered { status, retry_after } => {
                let text = format!("The API destination answered with status {status}.");
                let again = match status {
                    401 | 407 | 409 | 429 | 500..=599 => after(retry_after.as_deref(), now),
                    _ => Again::Never,
                };
                let code = if again == Again::Never { "SDK_CLIENT_ERROR" } else { "API_DESTINATION_ERROR" };
                failed(code, text, again)
            }
            Called::Unanswered(why) => failed("API_DESTINATION_UNREACHABLE", why.clone(), soon),
            Called::NoToken(why) => failed("CONNECTION_AUTHORIZATION_ERROR", why.clone(), soon),
        }
    }
}

/// What a `Retry-After` asks for: seconds or a date; a time that lies behind asks not to be asked again.
fn after(header: Option<&str>, now: Time) -> Again {
    let Some(header) = header.map(str::trim) else { return Again::NotBefore(None) };
    if header.starts_with('-') {
        return Again::Never;
    }
    match header.parse::<u32>() {
        Ok(seconds) => Again::NotBefore(Some(now + Duration::from_secs(seconds.into()))),
        Err(_) => Again::NotBefore(mayfly_wire::time::parse_http_date(header)),
    }
}

/// How long after so many attempts the next one is.
fn pause(cx: &Cx<'_>, attempts: u32) -> Duration {
    let doublings = attempts.saturating_sub(1).min(DOUBLINGS_MAX);
    let middle = 1000_u64 << doublings;
    Duration::from_millis(middle * 3 / 4 + cx.ids.number() % (middle / 2))
}

/// The request that a call sends, or why it cannot be made.
pub(crate) fn request_for(
    cx: &Cx<'_>,
    destination: &Arn,
    letter: Letter,
) -> Result<Result<Request, Undelivered>, Fault> {
    Ok(match endpoints::endpoint(cx, destination)? {
        Ok(endpoint) => Ok(endpoints::request(&endpoint, letter)),
        Err(Unusable::NoDestination) => {
            Err(Undelivered::missing(format!("API destination not found: {destination}")))
        }
        Err(Unusable::NoConnection) => {
            Err(Undelivered::missing(format!("The connection of {destination} does not exist")))
        }
        Err(Unusable::Deauthorized) => {
            let text = format!("The connection of {destination} is not authorized");
            Err(Undelivered::new("CONNECTION_AUTHORIZATION_ERROR", text))
        }
    })
}

fn parcel_of(record: &Record) -> Result<(Arn, Parcel), Fault> {
    let Target::Call(arn) = record.target()? else {
        return Err(Fault::internal("call an API destination", "the delivery goes elsewhere"));
    };
    let parcel = Parcel::decode(&record.payload[..]).map_err(|e| Fault::internal("read a parcel", e))?;
    Ok((arn, parcel))
}

/// The request of a delivery; `None` if there is nobody to send it to, which [`called`] notes.
pub fn request(cx: &mut Cx<'_>, record: &Record) -> Result<Option<Request>, Fault> {
    cx.allowed_by_policy();
    let (arn, parcel) = parcel_of(record)?;
    Ok(request_for(cx, &arn, parcel.into_letter())?.ok())
}

/// Ends a flight to an API destination: done, tried again as the retry policy says, or given up.
pub fn called(cx: &mut Cx<'_>, record: &Record, called: Option<&Called>) -> Result<(), Fault> {
    cx.allowed_by_policy();
    let (arn, parcel) = parcel_of(record)?;
    let failed = match called {
        Some(called) => called.failed(cx.now),
        None => {
            request_for(cx, &arn, Letter::default())?.err().map(|why| Failed { why, again: Again::Never })
        }
    };
    let Some(Failed { why, again }) = failed else {
        // One that could not be made and now could has not been sent: it is tried again.
        let verdict = if called.is_some() { Verdict::Done } else { Verdict::Postpone { at: cx.now } };
        return fabric::settle(cx, record.clone(), verdict);
    };
    let exhausted = match again {
        Again::Never => None,
        Again::NotBefore(asked) => {
            let at = cx.now + pause(cx, record.attempt);
            let at = asked.map_or(at, |asked| at.max(asked));
            let max_age = Duration::from_secs(parcel.max_age_s.unwrap_or(MAX_AGE_S).into());
            if record.attempt > parcel.retries.unwrap_or(RETRIES) {
                Some(Exhausted::RetryAttempts)
            } else if at.since(record.enqueued()) > max_age {
                Some(Exhausted::EventAge)
            } else {
                return fabric::settle(cx, record.clone(), Verdict::Retry { at });
            }
        }
    };
    let tried = Tried { retries: record.attempt.saturating_sub(1), exhausted };
    letter::give_up(cx, parcel, &why, tried)?;
    fabric::settle(cx, record.clone(), Verdict::Done)
}
