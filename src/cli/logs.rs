//! `mayfly logs`: a function's log lines, and those to come.
//!
//! Following is polling, as in AWS's own tool: each poll asks from the newest line on and drops what it has
//! seen.

use super::client::{Client, is_absent};
use super::output::{self, Color, paint};
use super::{connect, settings};
use anyhow::{Context as _, bail};
use mayfly_kernel::time::SystemClock;
use mayfly_kernel::{Clock as _, Time};
use serde_json::{Value as Json, json};
use std::collections::BTreeSet;
use std::process::ExitCode;
use std::time::Duration;

/// How often a followed log is asked for more.
pub(crate) const POLL: Duration = Duration::from_millis(500);

/// Print a function's log
#[derive(clap::Args, Debug)]
pub(crate) struct Args {
    /// The function's name
    function: String,
    /// Go on printing lines as they come
    #[arg(long, short)]
    follow: bool,
    /// How far back to begin, such as 30s, 10m, 2h or 1d
    #[arg(long, value_name = "TIME", default_value = "10m", value_parser = span)]
    since: Duration,
    /// Print each line as a JSON document
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    server: settings::Server,
}

/// A place in a log group: everything before it has been read.
pub(crate) struct Tail {
    group: String,
    from: Time,
    /// The ids of the newest events, which share the last instant that was read.
    seen: BTreeSet<String>,
}

#[derive(Clone, Debug)]
pub(crate) struct Event {
    pub(crate) time: Time,
    pub(crate) stream: String,
    pub(crate) message: String,
}

impl Tail {
    pub(crate) fn of(function: &str, from: Time) -> Tail {
        let name = function.split(':').next().unwrap_or(function);
        Tail { group: format!("/aws/lambda/{name}"), from, seen: BTreeSet::new() }
    }

    /// What has come since. A group that does not exist yet is one where nothing has come.
    pub(crate) async fn read(&mut self, client: &Client) -> anyhow::Result<Vec<Event>> {
        let mut events = Vec::new();
        let mut token = Json::Null;
        loop {
            let mut request = json!({ "logGroupName": self.group, "startTime": self.from.ms() });
            if token.is_string() {
                request["nextToken"] = token;
            }
            let page = client.json("logs", "Logs_20140328.FilterLogEvents", &request).await;
            let mut page = match page {
                Ok(page) => page,
                Err(error) if is_absent(&error) => return Ok(Vec::new()),
                Err(error) => return Err(error),
            };
            for event in page["events"].as_array().into_iter().flatten() {
                let id = event["eventId"].as_str().unwrap_or_default();
                let time = Time::from_ms(event["timestamp"].as_u64().unwrap_or_default());
                if self.seen.contains(id) {
                    continue;
                }
                events.push((id.to_owned(), event_of(event, time)));
            }
            token = page["nextToken"].take();
            if !token.is_string() {
                break;
            }
        }
        self.advance(&events);
        Ok(events.into_iter().map(|(_, event)| event).collect())
    }

    fn advance(&mut self, events: &[(String, Event)]) {
        let Some(newest) = events.iter().map(|(_, event)| event.time).max() else { return };
        if newest > self.from {
            self.from = newest;
            self.seen.clear();
        }
        let last = events.iter().filter(|(_, event)| event.time == newest);
        self.seen.extend(last.map(|(id, _)| id.clone()));
    }
}

fn event_of(event: &Json, time: Time) -> Event {
    let text = |name: &str| event[name].as_str().unwrap_or_default().trim_end().to_owned();
    Event { time, stream: text("logStreamName"), message: text("message") }
}

pub(crate) async fn run(args: Args) -> anyhow::Result<ExitCode> {
    let client = connect(&args.server)?;
    let mut tail = Tail::of(&args.function, SystemClock.now() - args.since);
    loop {
        for event in tail.read(&client).await? {
            print(&event, args.json);
        }
        if !args.follow {
            return Ok(ExitCode::SUCCESS);
        }
        tokio::time::sleep(POLL).await;
    }
}

fn print(event: &Event, as_json: bool) {
    let time = mayfly_wire::time::iso8601(event.time);
    if as_json {
        let document = json!({ "timestamp": time, "stream": event.stream, "message": event.message });
        return output::line(document.to_string());
    }
    output::line(format!("{} {}", paint(Color::Dim, &time), event.message));
}

fn span(text: &str) -> anyhow::Result<Duration> {
    let unit = text.trim_start_matches(|c: char| c.is_ascii_digit());
    let count: u64 = text[..text.len() - unit.len()].parse().context("a time is a number and a unit: 10m")?;
    let seconds = match unit {
        "s" => 1,
        "m" => 60,
        "h" => 3600,
        "d" => 86400,
        _ => bail!("the unit is one of s, m, h, d"),
    };
    Ok(Duration::from_secs(count.saturating_mul(seconds)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_read_as_people_write_them() {
        assert_eq!(span("10m").unwrap(), Duration::from_secs(600));
        assert_eq!(span("2h").unwrap(), Duration::from_secs(7200));
        for wrong in ["", "10", "m", "1y", "-5m"] {
            assert!(span(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn lines_of_one_instant_are_each_read_once() {
        let event = |id: &str, ms: u64| {
            let event = Event { time: Time::from_ms(ms), stream: String::new(), message: String::new() };
            (id.to_owned(), event)
        };
        let mut tail = Tail::of("f:live", Time::from_ms(5));
        assert_eq!(tail.group, "/aws/lambda/f");
        tail.advance(&[event("a", 7), event("b", 9), event("c", 9)]);
        assert_eq!((tail.from, tail.seen.len()), (Time::from_ms(9), 2));
        tail.advance(&[event("d", 9)]);
        assert!(["b", "c", "d"].iter().all(|id| tail.seen.contains(*id)));
        tail.advance(&[event("e", 10)]);
        assert_eq!(tail.seen.len(), 1);
    }
}
