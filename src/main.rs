//! Mayfly: flags → configuration → boot → serve → drain.

mod boot;
mod cli;
mod cloud;
mod collector;
mod config;
mod destinations;
mod fabric;
mod gateway;
mod images;
mod logs;
mod mappings;
mod meters;
mod outgoing;
mod outlets;
mod platform;
mod provision;
mod secrets;
mod signing;
mod turns;

use clap::Parser as _;
use std::process::ExitCode;
use tokio::signal::unix::{SignalKind, signal};

#[global_allocator]
static ALLOCATOR: mayfly_runtime::Allocator = mayfly_runtime::Allocator;

fn main() -> ExitCode {
    // The launcher is this same program, started by the server alone; it has no flags and no place in the
    // help.
    if std::env::args_os().nth(1).is_some_and(|command| command == "launcher") {
        mayfly_runtime::launcher_main();
    }
    match cli::Cli::parse().command {
        cli::Command::Up(args) => up(args),
        command => cli::run(command),
    }
}

fn up(args: cli::UpArgs) -> ExitCode {
    mayfly_runtime::hold_little_memory();
    let filter = tracing_subscriber::EnvFilter::try_from_env("MAYFLY_LOG")
        .unwrap_or_else(|_| tracing_subscriber::EnvFilter::new("info,wasmtime=warn,cranelift=warn"));
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).init();
    raise_descriptor_limit();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    let served = match runtime {
        Ok(runtime) => runtime.block_on(serve(args)),
        Err(error) => Err(error.into()),
    };
    match served {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            cli::complain(&error);
            ExitCode::FAILURE
        }
    }
}

/// Each connection and each instance is a descriptor, and the usual limit is for programs that know no
/// thousands.
fn raise_descriptor_limit() {
    use rustix::process::{Resource, getrlimit, setrlimit};
    let mut files = getrlimit(Resource::Nofile);
    files.current = files.maximum;
    if let Err(error) = setrlimit(Resource::Nofile, files) {
        tracing::warn!(%error, "the limit of open files cannot be raised");
    }
}

async fn serve(args: cli::UpArgs) -> anyhow::Result<()> {
    let mut config = config::Config::load(args.config.as_deref())?;
    config.data = args.data.unwrap_or(config.data);
    config.listen = args.listen.unwrap_or(config.listen);
    // Before anything runs, so that a stop during start-up is heard.
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let data = config.data.clone();
    let running = boot::start(config).await?;
    cli::ready(&running.endpoint, &data, running.first_start.then_some(running.root.access_key.as_str()));
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    running.drain().await;
    Ok(())
}
