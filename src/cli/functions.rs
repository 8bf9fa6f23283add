//! `mayfly functions`: the functions of the account.

use super::client::encode;
use super::{connect, output, settings};
use http::Method;
use serde_json::{Value as Json, json};
use std::process::ExitCode;

/// List the functions
#[derive(clap::Args, Debug)]
pub(crate) struct Args {
    /// Print JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    server: settings::Server,
}

pub(crate) async fn run(args: Args) -> anyhow::Result<ExitCode> {
    let client = connect(&args.server)?;
    let mut functions = Vec::new();
    let mut marker = String::new();
    loop {
        let path = match marker.is_empty() {
            true => "/2015-03-31/functions".to_owned(),
            false => format!("/2015-03-31/functions?Marker={}", encode(&marker)),
        };
        let mut page = client.rest("lambda", Method::GET, path, None).await?;
        if let Json::Array(items) = page["Functions"].take() {
            functions.extend(items);
        }
        match page["NextMarker"].as_str() {
            Some(next) if !next.is_empty() => next.clone_into(&mut marker),
            _ => break,
        }
    }
    if args.json {
        output::json(&json!({ "Functions": functions }));
        return Ok(ExitCode::SUCCESS);
    }
    let rows: Vec<Vec<String>> = functions.iter().map(row).collect();
    output::table(&["NAME", "RUNTIME", "HANDLER", "MEMORY", "TIMEOUT", "CODE", "STATE"], &rows);
    Ok(ExitCode::SUCCESS)
}

fn row(function: &Json) -> Vec<String> {
    let text = |name: &str| function[name].as_str().unwrap_or_default().to_owned();
    let number = |name: &str| function[name].as_u64().unwrap_or_default();
    vec![
        text("FunctionName"),
        text("Runtime"),
        text("Handler"),
        format!("{} MiB", number("MemorySize")),
        format!("{} s", number("Timeout")),
        size(number("CodeSize")),
        text("State"),
    ]
}

fn size(bytes: u64) -> String {
    match bytes {
        0..1024 => format!("{bytes} B"),
        1024..1_048_576 => format!("{} KiB", bytes.div_ceil(1024)),
        _ => format!("{} MiB", bytes.div_ceil(1_048_576)),
    }
}
