//! `mayfly operations`: the operation table as JSON, for the coverage page and the test against AWS's models.

use super::output;
use mayfly_services::{Operation, Service};
use mayfly_wire::{Protocol, Route};
use serde_json::{Value, json};
use std::process::ExitCode;

pub(crate) fn run() -> ExitCode {
    let catalogue = mayfly_services::catalogue();
    let services: Vec<Value> = catalogue.services().iter().map(service).collect();
    output::json(&Value::Array(services));
    ExitCode::SUCCESS
}

fn service(service: &Service) -> Value {
    json!({
        "name": service.name,
        "scope": service.scope,
        "protocol": protocol(service.protocol),
        "target": service.target,
        "operations": service.operations.iter().map(operation).collect::<Vec<_>>(),
    })
}

/// As AWS's models call it.
fn protocol(protocol: Protocol) -> &'static str {
    match protocol {
        Protocol::Json10 | Protocol::Json11 => "json",
        Protocol::Query => "query",
        Protocol::RestJson => "rest-json",
        Protocol::RestXml => "rest-xml",
        Protocol::Cbor => "smithy-rpc-v2-cbor",
    }
}

fn operation(operation: &Operation) -> Value {
    json!({ "name": operation.name, "route": operation.route.as_ref().map(route) })
}

fn route(route: &Route) -> Value {
    json!({ "method": route.method, "path": route.path(), "query": route.query(), "status": route.status })
}
