//! `mayfly logs`: a function's log lines, and those to come.
//!
//! Following is polling, as in AWS's own tool: each poll asks from a little before the newest line and drops
//! what it has seen.

use super::client::{Client, encode, is_absent};
use super::output::{self, Color, paint};
use super::{connect, settings};
use anyhow::{Context as _, bail};
use http::Method;
use mayfly_kernel::time::SystemClock;
use mayfly_kernel::{Clock as _, Time};
use serde_json::{Value as Json, json};
use std::collections::BTreeMap;
use std::process::ExitCode;
use std::time::Duration;

/// How often a followed log is asked for more.
pub(crate) const POLL: Duration = Duration::from_millis(500);
/// How much later than a newer line of another instance a line may be written.
const LATE: Duration = Duration::from_secs(5);

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

/// A place in a log group.
pub(crate) struct Tail {
    group: String,
    /// All that was read before is as late as a line may be.
    from: Time,
    /// The events since then that have been read, by their ids.
    seen: BTreeMap<String, Time>,
}

#[derive(Clone, Debug)]
pub(crate) struct Event {
    pub(crate) time: Time,
    pub(crate) stream: String,
    pub(crate) message: String,
}

impl Tail {
    pub(crate) fn new(group: String, from: Time) -> Tail {
        Tail { group, from, seen: BTreeMap::new() }
    }

    pub(crate) fn group(&self) -> &str {
        &self.group
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
                if self.seen.contains_key(id) {
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
        self.seen.extend(events.iter().map(|(id, event)| (id.clone(), event.time)));
        self.from = self.from.max(newest - LATE);
        self.seen.retain(|_, time| *time >= self.from);
    }
}

/// Where a function's lines are written. One that is gone may have left some in the usual place.
pub(crate) async fn group(client: &Client, function: &str) -> anyhow::Result<String> {
    let name = function.split(':').next().unwrap_or(function);
    let usual = format!("/aws/lambda/{name}");
    let path = format!("/2015-03-31/functions/{}/configuration", encode(name));
    match client.rest("lambda", Method::GET, path, None).await {
        Ok(config) => Ok(config["LoggingConfig"]["LogGroup"].as_str().map_or(usual, str::to_owned)),
        Err(error) if is_absent(&error) => Ok(usual),
        Err(error) => Err(error),
    }
}

fn event_of(event: &Json, time: Time) -> Event {
    let text = |name: &str| event[name].as_str().unwrap_or_default().trim_end().to_owned();
    Event { time, stream: text("logStreamName"), message: text("message") }
}

pub(crate) async fn run(args: Args) -> anyhow::Result<ExitCode> {
    let client = connect(&args.server)?;
    let group = group(&client, &args.function).await?;
    let mut tail = Tail::new(group, SystemClock.now() - args.since);
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
    fn lines_are_each_read_once_though_some_come_late() {
        let event = |id: &str, ms: u64| {
            let event = Event { time: Time::from_ms(ms), stream: String::new(), message: String::new() };
            (id.to_owned(), event)
        };
        let mut tail = Tail::new("/aws/lambda/f".into(), Time::from_ms(5000));
        tail.advance(&[event("a", 7000), event("b", 9000)]);
        assert_eq!((tail.from, tail.seen.len()), (Time::from_ms(5000), 2), "not before what was asked for");
        tail.advance(&[event("c", 13_000), event("late", 8500)]);
        assert_eq!(tail.from, Time::from_ms(8000));
        assert_eq!(tail.seen.keys().collect::<Vec<_>>(), ["b", "c", "late"]);
        tail.advance(&[event("older", 8200)]);
        assert_eq!((tail.from, tail.seen.len()), (Time::from_ms(8000), 4));
    }
}
