//! Figures of this node for whoever watches it, in the text form that Prometheus reads.
//!
//! They tell nothing of a single function, and are for clients of the gateway alone: a function has no business
//! with what runs beside it.

use super::{Peer, Response};
use crate::cloud::Cloud;
use mayfly_runtime::{HostStats, body};
use std::fmt::Write as _;

pub(super) fn answer(cloud: &Cloud, peer: &Peer) -> Response {
    let (status, text) = match peer {
        Peer::Client(_) => (http::StatusCode::OK, text(&cloud.host().stats())),
        Peer::Function { .. } => (http::StatusCode::FORBIDDEN, String::new()),
    };
    let mut response = http::Response::new(body::full(text));
    *response.status_mut() = status;
    let form = http::HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8");
    response.headers_mut().insert(http::header::CONTENT_TYPE, form);
    response
}

fn text(stats: &HostStats) -> String {
    let mut page = String::new();
    let fresh = stats.cold_starts - stats.prewarmed_starts - stats.forked_starts;
    let starts = [
        ("kind=\"fresh\"", fresh),
        ("kind=\"prewarmed\"", stats.prewarmed_starts),
        ("kind=\"forked\"", stats.forked_starts),
    ];
    say(&mut page, "cold_starts_total", "counter", "Instances started, by how.", &starts);
    let invocations = [("", stats.invocations)];
    say(&mut page, "invocations_total", "counter", "Invocations begun.", &invocations);
    let frozen = u64::from(stats.frozen);
    let idle = u64::from(stats.idle).saturating_sub(frozen);
    let busy = u64::from(stats.instances).saturating_sub(stats.idle.into());
    let instances = [("state=\"busy\"", busy), ("state=\"idle\"", idle), ("state=\"frozen\"", frozen)];
    say(&mut page, "instances", "gauge", "Instances, those that are being made included.", &instances);
    let prewarmed = [("", stats.prewarmed.into())];
    say(&mut page, "prewarmed_interpreters", "gauge", "Booted interpreters that wait.", &prewarmed);
    let templates = [("", stats.templates.into())];
    say(&mut page, "templates", "gauge", "Processes that instances are forked from.", &templates);
    let forks = [("", stats.waiting_forks.into())];
    say(&mut page, "waiting_forks", "gauge", "Forks of those that wait to be instances.", &forks);
    let in_flight = [("", stats.in_flight.into())];
    say(&mut page, "invocations_in_flight", "gauge", "Invocations under way.", &in_flight);
    let waiting = [("", stats.waiting.into())];
    say(&mut page, "invocations_waiting", "gauge", "Of those, the ones without an instance.", &waiting);
    page
}

/// One figure, or the same with several labels.
fn say(page: &mut String, name: &str, kind: &str, help: &str, values: &[(&str, u64)]) {
    // Writing to a string cannot fail.
    let _ = writeln!(page, "# HELP mayfly_{name} {help}\n# TYPE mayfly_{name} {kind}");
    for (label, value) in values {
        let label = if label.is_empty() { String::new() } else { format!("{{{label}}}") };
        let _ = writeln!(page, "mayfly_{name}{label} {value}");
    }
}
