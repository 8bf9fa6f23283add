//! `mayfly dev`: a server, the stack on it, and both kept up with the sources while they are edited.
//!
//! The server is a process of its own, started only if none answers, so that what is developed against is
//! what runs in production. A change of a file is deployed like any other deployment: only what differs is
//! sent.

use super::client::Client;
use super::logs::{self, POLL, Tail};
use super::output::{self, Color, paint};
use super::{deploy, settings};
use anyhow::{Context as _, bail};
use mayfly_kernel::time::SystemClock;
use mayfly_kernel::{Clock as _, Time};
use notify::RecursiveMode;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};
use tokio::process::{Child, Command};
use tokio::sync::mpsc;

/// An editor's several writes of one save come within this time.
const SETTLE: Duration = Duration::from_millis(60);
const SERVER_START: Duration = Duration::from_secs(60);
const SERVER_STOP: Duration = Duration::from_secs(35);
const COLORS: [Color; 5] = [Color::Cyan, Color::Magenta, Color::Blue, Color::Yellow, Color::Green];

/// Start a server, deploy, and redeploy as the sources change; Ctrl-C stops
#[derive(clap::Args, Debug)]
pub(crate) struct Args {
    #[command(flatten)]
    source: deploy::Source,
    /// The address of the server, if one has to be started [default: 127.0.0.1:4566]
    #[arg(long, value_name = "ADDR")]
    listen: Option<SocketAddr>,
    #[command(flatten)]
    server: settings::Server,
}

pub(crate) async fn run(args: Args) -> anyhow::Result<ExitCode> {
    let (client, mut server) = server(&args).await?;
    let worked = tokio::select! {
        worked = work(&client, &args) => worked,
        signal = stopped() => signal,
        ended = ended(server.as_mut()) => ended,
    };
    if let Some(server) = server {
        stop(server).await;
    }
    worked.map(|()| ExitCode::SUCCESS)
}

/// The server that answers already, or one of our own.
async fn server(args: &Args) -> anyhow::Result<(Client, Option<Child>)> {
    if let Ok(settings) = args.server.settings()
        && let Ok(client) = Client::new(settings)
        && healthy(&client).await
    {
        output::note(format!("using the server at {}", client.settings().endpoint));
        return Ok((client, None));
    }
    let data = args.server.data_dir();
    let mut command = Command::new(std::env::current_exe().context("find this program's own file")?);
    command.arg("up").arg("--data").arg(&data).kill_on_drop(true);
    if let Some(listen) = args.listen {
        command.arg("--listen").arg(listen.to_string());
    }
    let mut child = command.spawn().context("start the server")?;
    let ready = async {
        loop {
            if let Some(status) = child.try_wait()? {
                bail!("the server did not start ({status})");
            }
            // The file may be of an earlier run on another port, so only an answer counts.
            if let Ok(settings) = settings::root_key(&data, None)
                && let Ok(client) = Client::new(settings)
                && healthy(&client).await
            {
                return Ok(client);
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    match tokio::time::timeout(SERVER_START, ready).await {
        Ok(client) => Ok((client?, Some(child))),
        Err(_) => bail!("the server was not ready within {} s", SERVER_START.as_secs()),
    }
}

async fn healthy(client: &Client) -> bool {
    client
        .fetch(&format!("{}/_mayfly/health", client.settings().endpoint.trim_end_matches('/')))
        .await
        .is_ok()
}

async fn work(client: &Client, args: &Args) -> anyhow::Result<()> {
    let (changed, mut changes) = mpsc::unbounded_channel();
    // It may lie among the sources, and what the server writes there is no change of theirs.
    let data = args.server.data_dir();
    let data = data.canonicalize().unwrap_or(data);
    let mut watch = notify::recommended_watcher(move |event: notify::Result<notify::Event>| {
        if let Ok(event) = event
            && matters(&event, &data)
        {
            // The receiver is gone only when the program ends.
            let _ = changed.send(());
        }
    })
    .context("watch the sources")?;
    let mut watched: Vec<PathBuf> = Vec::new();
    let mut tails: BTreeMap<String, Tail> = BTreeMap::new();
    let mut wanted = vec![args.source.folder()];
    loop {
        // Before they are read, so that no change is missed.
        watch_all(&mut watch, &mut wanted, &mut watched);
        let (started, from) = (Instant::now(), SystemClock.now());
        match deploy::deploy(client, &args.source, false, deploy::Pace::AtOnce).await {
            Ok(done) => {
                follow(client, &mut tails, &done, from).await;
                wanted.extend(done.watched.iter().cloned());
                watch_all(&mut watch, &mut wanted, &mut watched);
                output::note(format!(
                    "{} {} ms",
                    paint(Color::Green, "ready"),
                    started.elapsed().as_millis()
                ));
                done.record
                    .outputs
                    .iter()
                    .for_each(|(name, value)| output::note(format!("  {name}  {value}")));
            }
            Err(error) => output::note(format!("{} {error:#}", paint(Color::Red, "error:"))),
        }
        print_until_changed(client, &mut tails, &mut changes).await;
    }
}

fn watch_all(watch: &mut impl notify::Watcher, wanted: &mut Vec<PathBuf>, watched: &mut Vec<PathBuf>) {
    for path in wanted.drain(..).map(|path| path.canonicalize().unwrap_or(path)) {
        if !watched.contains(&path) && watch.watch(&path, RecursiveMode::Recursive).is_ok() {
            watched.push(path);
        }
    }
}

/// Prints log lines until a source changes, and waits until it has settled.
async fn print_until_changed(
    client: &Client,
    tails: &mut BTreeMap<String, Tail>,
    changes: &mut mpsc::UnboundedReceiver<()>,
) {
    let mut readable = true;
    loop {
        tokio::select! {
            _ = changes.recv() => break,
            () = tokio::time::sleep(POLL) => {
                let printed = print(client, tails).await;
                // Once, however long it lasts: what was not read comes with the next that can be.
                if let (Err(error), true) = (&printed, readable) {
                    output::note(format!("{} {error:#}", paint(Color::Red, "cannot read logs:")));
                }
                readable = printed.is_ok();
            }
        }
    }
    while let Ok(Some(())) = tokio::time::timeout(SETTLE, changes.recv()).await {}
}

/// Follows the logs of all functions of a stack, those of new ones from this time on.
async fn follow(client: &Client, tails: &mut BTreeMap<String, Tail>, done: &deploy::Done, from: Time) {
    let functions = done.record.resources.iter().filter(|made| made.kind == "AWS::Lambda::Function");
    for function in functions {
        let name = &function.physical;
        let group = match logs::group(client, name).await {
            Ok(group) => group,
            Err(error) => {
                output::note(format!("{} {error:#}", paint(Color::Red, "cannot follow a log:")));
                continue;
            }
        };
        if tails.get(name).is_none_or(|tail| tail.group() != group) {
            tails.insert(name.clone(), Tail::new(group, from));
        }
    }
}

async fn print(client: &Client, tails: &mut BTreeMap<String, Tail>) -> anyhow::Result<()> {
    for (at, (name, tail)) in tails.iter_mut().enumerate() {
        for event in tail.read(client).await? {
            output::line(format!("{} {}", paint(COLORS[at % COLORS.len()], name), event.message));
        }
    }
    Ok(())
}

/// Whether an event is a change of a source, rather than of what building and running leave behind.
fn matters(event: &notify::Event, data: &Path) -> bool {
    let left = |path: &PathBuf| {
        path.starts_with(data)
            || path.components().any(|part| deploy::is_excluded(&part.as_os_str().to_string_lossy()))
    };
    let kind = matches!(
        event.kind,
        notify::EventKind::Create(_) | notify::EventKind::Modify(_) | notify::EventKind::Remove(_)
    );
    kind && !event.paths.iter().all(left)
}

async fn stopped() -> anyhow::Result<()> {
    let mut term = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate())?;
    tokio::select! {
        signal = tokio::signal::ctrl_c() => signal.context("wait for Ctrl-C"),
        _ = term.recv() => Ok(()),
    }
}

/// Ends when our own server does, which it should not.
async fn ended(server: Option<&mut Child>) -> anyhow::Result<()> {
    match server {
        Some(server) => bail!("the server has ended ({})", server.wait().await?),
        None => std::future::pending().await,
    }
}

/// Lets the server drain. Ctrl-C in a terminal has reached it already; a second signal does no harm.
async fn stop(mut server: Child) {
    if let Some(id) = server.id() {
        let _ = Command::new("kill").arg("-TERM").arg(id.to_string()).status().await;
    }
    if tokio::time::timeout(SERVER_STOP, server.wait()).await.is_err() {
        let _ = server.kill().await;
    }
}
