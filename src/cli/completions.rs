//! `mayfly completions`: what a shell needs to complete our commands.

use super::{Cli, output};
use clap::CommandFactory as _;
use std::process::ExitCode;

/// Print the completions for a shell
#[derive(clap::Args, Debug)]
pub(crate) struct Args {
    shell: clap_complete::Shell,
}

pub(crate) fn run(args: &Args) -> ExitCode {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "mayfly", &mut script);
    output::bytes(&script);
    ExitCode::SUCCESS
}
