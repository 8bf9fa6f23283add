//! `mayfly invoke`: calls a function and prints what it answers.

use super::client::{Call, encode};
use super::output::{self, Color, paint};
use super::{connect, settings};
use anyhow::Context as _;
use base64::Engine as _;
use bytes::Bytes;
use http::Method;
use serde_json::json;
use std::io::Read as _;
use std::process::ExitCode;

/// Call a function; exits with 1 if the function fails
#[derive(clap::Args, Debug)]
pub(crate) struct Args {
    /// The function's name, with a version or alias as NAME:QUALIFIER, or its ARN
    function: String,
    /// The event: JSON, @FILE, or - for standard input
    #[arg(long, short, value_name = "JSON|@FILE|-", default_value = "{}")]
    payload: String,
    /// Whom the event is for, if the function keeps tenants apart
    #[arg(long, value_name = "ID")]
    tenant: Option<String>,
    /// Queue the event and do not wait for the function
    #[arg(long = "async")]
    queued: bool,
    /// Print the end of the invocation's log
    #[arg(long)]
    log: bool,
    /// Print JSON: the status, the answer and the log
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    server: settings::Server,
}

pub(crate) async fn run(args: Args) -> anyhow::Result<ExitCode> {
    let client = connect(&args.server)?;
    let (name, query) = match args.function.split_once(':') {
        Some((name, qualifier)) if name != "arn" => (name, format!("Qualifier={}", encode(qualifier))),
        _ => (args.function.as_str(), String::new()),
    };
    let kind = if args.queued { "Event" } else { "RequestResponse" };
    let mut headers =
        vec![("content-type", "application/json".to_owned()), ("x-amz-invocation-type", kind.to_owned())];
    if args.log && !args.queued {
        headers.push(("x-amz-log-type", "Tail".to_owned()));
    }
    headers.extend(args.tenant.map(|tenant| ("x-amz-tenant-id", tenant)));
    let reply = client
        .send(Call {
            service: "lambda",
            method: Method::POST,
            path: format!("/2015-03-31/functions/{}/invocations", encode(name)),
            query,
            headers,
            body: payload(&args.payload)?,
        })
        .await?;
    let log = reply.header("x-amz-log-result").unwrap_or_default();
    let log = base64::engine::general_purpose::STANDARD.decode(log).context("the log is not base64")?;
    let log = String::from_utf8_lossy(&log);
    let failed = reply.header("x-amz-function-error");
    if args.json {
        let answer = String::from_utf8_lossy(&reply.body);
        let answer = serde_json::from_slice(&reply.body).unwrap_or_else(|_| json!(answer));
        output::json(&json!({ "FunctionError": failed, "Payload": answer, "Log": log }));
    } else {
        log.lines().for_each(|line| output::note(paint(Color::Dim, line)));
        if args.queued {
            output::note("queued");
        } else {
            output::line(String::from_utf8_lossy(&reply.body));
        }
        if let Some(kind) = failed {
            output::note(format!("{} the function failed ({kind})", paint(Color::Red, "error:")));
        }
    }
    Ok(if failed.is_some() { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

fn payload(argument: &str) -> anyhow::Result<Bytes> {
    if argument == "-" {
        let mut input = Vec::new();
        std::io::stdin().lock().read_to_end(&mut input).context("read the event from standard input")?;
        return Ok(input.into());
    }
    match argument.strip_prefix('@') {
        Some(file) => Ok(std::fs::read(file).with_context(|| format!("read the event from {file}"))?.into()),
        None => Ok(argument.to_owned().into()),
    }
}
