//! The command line: one file per command.
//!
//! Every command but `up`, `env`, `doctor` and `dev`'s own server is a client of the public AWS APIs, signed
//! like any other, so it works on a remote server as on this machine.

mod client;
mod completions;
mod delete;
mod deliveries;
mod deploy;
mod dev;
mod doctor;
mod env;
mod events;
mod functions;
mod invoke;
mod logs;
mod operations;
mod output;
mod queues;
mod settings;
mod topics;
mod up;

pub(crate) use settings::default_data_dir;
pub(crate) use up::{UpArgs, complain, ready};

use client::Client;
use std::process::ExitCode;

/// A serverless cloud you can own: functions, gateway, objects and events in one binary.
#[derive(clap::Parser, Debug)]
#[command(name = "mayfly", version, about, max_term_width = 100)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(clap::Subcommand, Debug)]
pub(crate) enum Command {
    Up(UpArgs),
    Dev(dev::Args),
    Deploy(deploy::Args),
    Delete(delete::Args),
    Invoke(invoke::Args),
    Logs(logs::Args),
    Functions(functions::Args),
    Queues(queues::ListArgs),
    Send(queues::SendArgs),
    Publish(topics::PublishArgs),
    Redrive(queues::RedriveArgs),
    Deliveries(deliveries::Args),
    Events(events::Args),
    Env(env::Args),
    Doctor(doctor::Args),
    Completions(completions::Args),
    #[command(hide = true)]
    Operations,
}

/// Runs any command but `up`, which is the server's own.
pub(crate) fn run(command: Command) -> ExitCode {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let done = match runtime {
        Ok(runtime) => runtime.block_on(dispatch(command)),
        Err(error) => Err(anyhow::Error::new(error).context("start the client")),
    };
    done.unwrap_or_else(|error| {
        output::note(format!("{} {error:#}", output::paint(output::Color::Red, "error:")));
        ExitCode::FAILURE
    })
}

async fn dispatch(command: Command) -> anyhow::Result<ExitCode> {
    match command {
        Command::Up(_) => anyhow::bail!("`up` is not a client's command"),
        Command::Dev(args) => Box::pin(dev::run(args)).await,
        Command::Deploy(args) => Box::pin(deploy::run(args)).await,
        Command::Delete(args) => Box::pin(delete::run(args)).await,
        Command::Invoke(args) => invoke::run(args).await,
        Command::Logs(args) => logs::run(args).await,
        Command::Functions(args) => functions::run(args).await,
        Command::Queues(args) => queues::list(args).await,
        Command::Send(args) => queues::send(args).await,
        Command::Publish(args) => topics::publish(args).await,
        Command::Redrive(args) => queues::redrive(args).await,
        Command::Deliveries(args) => deliveries::run(args).await,
        Command::Events(args) => events::run(args).await,
        Command::Env(args) => env::run(&args),
        Command::Doctor(args) => Ok(doctor::run(&args)),
        Command::Completions(args) => Ok(completions::run(&args)),
        Command::Operations => Ok(operations::run()),
    }
}

fn connect(server: &settings::Server) -> anyhow::Result<Client> {
    Client::new(server.settings()?)
}

#[cfg(test)]
mod tests {
    use super::Cli;
    use clap::{CommandFactory as _, Parser as _};

    #[test]
    fn the_flags_fit_together() {
        Cli::command().debug_assert();
        let line = "mayfly deploy app -p A=1 -p B=x=y --stack shop --no-build --endpoint http://h:1";
        Cli::try_parse_from(line.split(' ')).unwrap();
        assert!(Cli::try_parse_from(["mayfly", "deploy", "--parameter", "A"]).is_err());
    }
}
