//! `mayfly delete`: removes a stack and everything in it.

use super::output::{self, Color, paint};
use super::{connect, deploy, settings};
use anyhow::{Context as _, bail};
use serde_json::json;
use std::io::{BufRead as _, IsTerminal as _};
use std::process::ExitCode;

/// Delete a stack and everything in it
#[derive(clap::Args, Debug)]
pub(crate) struct Args {
    /// The stack's name
    #[arg(long, value_name = "NAME")]
    stack: String,
    /// Do not ask
    #[arg(long, short)]
    yes: bool,
    /// Delete buckets together with the objects in them
    #[arg(long)]
    force: bool,
    /// Print JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    server: settings::Server,
}

pub(crate) async fn run(args: Args) -> anyhow::Result<ExitCode> {
    let client = connect(&args.server)?;
    if !args.yes && std::io::stdin().is_terminal() {
        output::note(format!("Everything in the stack {} will be deleted. Go on? [y/N]", args.stack));
        let mut answer = String::new();
        std::io::stdin().lock().read_line(&mut answer).context("read the answer")?;
        if !matches!(answer.trim(), "y" | "Y" | "yes") {
            bail!("nothing was deleted");
        }
    }
    deploy::remove(&client, &args.stack, args.force).await?;
    if args.json {
        output::json(&json!({ "StackName": args.stack, "Deleted": true }));
    } else {
        output::note(format!("{} deleted", paint(Color::Green, &args.stack)));
    }
    Ok(ExitCode::SUCCESS)
}
