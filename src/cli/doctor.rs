//! `mayfly doctor`: what this machine allows, and what each lack costs.

use super::output::{self, Color, paint};
use serde_json::json;
use std::process::ExitCode;

/// Tell what this machine allows, and what each lack costs
#[derive(clap::Args, Debug)]
pub(crate) struct Args {
    /// Print JSON
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(args: &Args) -> ExitCode {
    let checks = mayfly_runtime::doctor();
    if args.json {
        let checks = checks.iter().map(
            |check| json!({ "name": check.name, "ok": check.ok, "found": check.found, "costs": check.costs }),
        );
        output::json(&json!({ "checks": checks.collect::<Vec<_>>() }));
        return ExitCode::SUCCESS;
    }
    let width = checks.iter().map(|check| check.name.len()).max().unwrap_or_default();
    for check in &checks {
        let mark = if check.ok { paint(Color::Green, "yes") } else { paint(Color::Yellow, "no ") };
        output::line(format!("{mark}  {:width$}  {}", check.name, check.found));
        if !check.ok && !check.costs.is_empty() {
            output::line(format!("     {:width$}  {}", "", paint(Color::Dim, &check.costs)));
        }
    }
    ExitCode::SUCCESS
}
