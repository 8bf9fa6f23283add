//! `mayfly deploy`: brings a stack to what its template says.
//!
//! template ─▶ packages ─▶ plan ─▶ steps, each an AWS API call, with the stack's record on the server written
//! after each. The template is worked out here, on the client: the server knows resources and no templates.

mod archives;
mod build;
mod execute;
mod package;
mod plan;
mod resources;
mod sources;
pub(super) mod stack;
mod template;

use super::client::Client;
use super::output::{self, Color, paint};
use super::{connect, settings};
use anyhow::{Context as _, bail};
use archives::Archives;
use execute::Deployment;
use plan::{Action, Step};
use resources::Context;
use serde_json::json;
use stack::{Shelf, Stack};
use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::io::{BufRead as _, IsTerminal as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Instant;
use template::{Place, Problem, Template};

pub(super) use package::is_excluded;

/// Deploy a SAM or CloudFormation template
#[derive(clap::Args, Clone, Debug)]
pub(crate) struct Args {
    #[command(flatten)]
    pub(super) source: Source,
    /// Do not ask before something is deleted or replaced
    #[arg(long, short)]
    yes: bool,
    /// Print JSON: what was done, and the outputs
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    pub(super) server: settings::Server,
}

/// What is deployed, and as what.
#[derive(clap::Args, Clone, Debug)]
pub(super) struct Source {
    /// The template, or the folder it lies in
    #[arg(value_name = "DIR|TEMPLATE", default_value = ".")]
    path: PathBuf,
    /// The stack's name [default: the name of the template's folder]
    #[arg(long, value_name = "NAME")]
    stack: Option<String>,
    /// A value for one of the template's parameters
    #[arg(long = "parameter", short = 'p', value_name = "KEY=VALUE", value_parser = pair)]
    parameters: Vec<(String, String)>,
    /// Deploy folders as they are, without installing what requirements.txt or package.json names
    #[arg(long)]
    no_build: bool,
}

impl Source {
    /// The folder that the template lies in.
    pub(super) fn folder(&self) -> PathBuf {
        match self.path.is_file() {
            true => self.path.parent().map(Path::to_owned).unwrap_or_default().join("."),
            false => self.path.clone(),
        }
    }
}

/// What a deployment came to.
pub(super) struct Done {
    pub(super) stack: String,
    pub(super) steps: Vec<Step>,
    pub(super) record: Stack,
    /// What the template says of its outputs.
    described: BTreeMap<String, String>,
    /// Where the code lies that was deployed.
    pub(super) watched: Vec<PathBuf>,
}

pub(crate) async fn run(args: Args) -> anyhow::Result<ExitCode> {
    let client = connect(&args.server)?;
    let started = Instant::now();
    let ask = !args.yes && std::io::stdin().is_terminal() && std::io::stderr().is_terminal();
    let done = deploy(&client, &args.source, ask, Pace::AsAsked).await?;
    if args.json {
        output::json(&report(&done));
        return Ok(ExitCode::SUCCESS);
    }
    output::note(format!("{} in {} ms", paint(Color::Green, &done.stack), started.elapsed().as_millis()));
    let width = done.record.outputs.keys().map(String::len).max().unwrap_or_default();
    for (name, value) in &done.record.outputs {
        if let Some(description) = done.described.get(name).filter(|text| !text.is_empty()) {
            output::note(paint(Color::Dim, description));
        }
        output::line(format!("{name:width$}  {value}"));
    }
    Ok(ExitCode::SUCCESS)
}

/// How aliases that are to move by steps move.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Pace {
    AsAsked,
    AtOnce,
}

/// Deploys a template, asking first if something goes and `ask` says so.
pub(super) async fn deploy(client: &Client, source: &Source, ask: bool, pace: Pace) -> anyhow::Result<Done> {
    let file = find(&source.path)?;
    let text = std::fs::read_to_string(&file).with_context(|| format!("read {}", file.display()))?;
    let name = stack_name(source, &file)?;
    let account = client.account().await?;
    let place = Place { region: client.region().to_owned(), account, stack: name.clone() };
    let given: BTreeMap<String, String> = source.parameters.iter().cloned().collect();
    let shown = file.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let tell = |problems: &[Problem]| {
        let lines: Vec<String> = problems.iter().map(|problem| format!("{shown}:{problem}")).collect();
        anyhow::anyhow!("{}", lines.join("\n"))
    };

    let loaded = template::load(&text, &place, &given);
    let mut template: Template = loaded.map_err(|problems| tell(&problems))?;
    warn(&shown, &template.warnings);
    let root = file.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let watched = sources::watched(&template.resources, root);
    let packages = sources::collect(&mut template.resources, root, !source.no_build);
    let packages = RefCell::new(packages.map_err(|problem| tell(&[problem]))?);

    let (shelf, record) = Shelf::open(client, &name).await?;
    let record = record.unwrap_or_default();
    let steps = plan::plan(&template.resources, &record, &place).map_err(|problem| tell(&[problem]))?;
    show(&name, &steps);
    if ask
        && steps.iter().any(|step| matches!(step.action, Action::Delete | Action::Replace(_)))
        && !agreed()?
    {
        bail!("nothing was changed");
    }
    let archives = Archives::beside(root);
    let before = record.packages();
    let at_once = Cell::new(pace == Pace::AtOnce);
    let cx = Context {
        client,
        place: &place,
        packages: &packages,
        archives: archives.clone(),
        force: false,
        at_once,
    };
    let mut deployment = Deployment::new(cx, shelf, record);
    let applied = deployment.apply(&template).await;
    applied.map_err(|failure| anyhow::anyhow!("{shown}:{failure}"))?;
    let record = deployment.stack;
    let after = record.packages();
    before.difference(&after).for_each(|digest| archives.forget(digest));
    let described = template.outputs.into_iter().map(|output| (output.name, output.description)).collect();
    Ok(Done { stack: name, steps, record, described, watched })
}

/// Removes a stack and everything in it.
pub(super) async fn remove(client: &Client, name: &str, force: bool) -> anyhow::Result<()> {
    let (mut shelf, record) = Shelf::open(client, name).await?;
    let Some(record) = record else {
        let names = stack::names(client).await?;
        let has = if names.is_empty() { "none".to_owned() } else { names.join(", ") };
        bail!("there is no stack {name}; there are: {has}");
    };
    let account = client.account().await?;
    let place = Place { region: client.region().to_owned(), account, stack: name.to_owned() };
    let packages = RefCell::new(BTreeMap::new());
    let archives = Archives::beside(Path::new("."));
    let at_once = Cell::new(true);
    let cx = Context { client, place: &place, packages: &packages, archives, force, at_once };
    execute::tear_down(&cx, &mut shelf, record).await
}

fn find(path: &Path) -> anyhow::Result<PathBuf> {
    if path.is_file() {
        return Ok(path.to_owned());
    }
    let names = ["template.yaml", "template.yml", "template.json"];
    let found = names.iter().map(|name| path.join(name)).find(|file| file.is_file());
    found.with_context(|| format!("{} has no template.yaml, template.yml or template.json", path.display()))
}

fn stack_name(source: &Source, file: &Path) -> anyhow::Result<String> {
    let name = match &source.stack {
        Some(name) => name.clone(),
        None => {
            let file = file.canonicalize().with_context(|| format!("find {}", file.display()))?;
            let folder = file.parent().and_then(Path::file_name).unwrap_or_default();
            let name = folder.to_string_lossy().replace(|c: char| !c.is_ascii_alphanumeric(), "-");
            name.trim_matches('-').to_owned()
        }
    };
    let fits = name.starts_with(|c: char| c.is_ascii_alphabetic())
        && name.len() <= 128
        && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '-');
    if !fits {
        bail!(
            "`{name}` is not a stack's name (a letter, then letters, digits, hyphens); give one with --stack"
        );
    }
    Ok(name)
}

/// Says each warning once, with all the lines that it holds for.
fn warn(file: &str, warnings: &[Problem]) {
    let mut by_message: Vec<(&str, Vec<String>)> = Vec::new();
    for warning in warnings {
        match by_message.iter_mut().find(|(message, _)| *message == warning.message) {
            Some((_, lines)) => lines.push(warning.line.to_string()),
            None => by_message.push((&warning.message, vec![warning.line.to_string()])),
        }
    }
    for (message, lines) in by_message {
        output::warning(format!("{file}:{}: {message}", lines.join(",")));
    }
}

fn pair(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((key, value)) if !key.is_empty() => Ok((key.to_owned(), value.to_owned())),
        _ => Err("a parameter is given as KEY=VALUE".to_owned()),
    }
}

fn show(stack: &str, steps: &[Step]) {
    let changes: Vec<&Step> = steps.iter().filter(|step| step.action != Action::Keep).collect();
    let kept = steps.len() - changes.len();
    if changes.is_empty() {
        return output::note(format!("{stack}: nothing to change ({kept} unchanged)"));
    }
    output::note(format!("{stack}: {} to change, {kept} unchanged", changes.len()));
    for step in changes {
        let (sign, why) = match &step.action {
            Action::Create => (paint(Color::Green, "+"), String::new()),
            Action::Update(names) => (paint(Color::Yellow, "~"), names.join(", ")),
            Action::Replace(names) => {
                (paint(Color::Magenta, "±"), format!("replaced for {}", names.join(", ")))
            }
            Action::Delete => (paint(Color::Red, "-"), String::new()),
            Action::Release => (paint(Color::Yellow, "-"), "stays, outside the stack".to_owned()),
            Action::Keep => continue,
        };
        output::note(format!("  {sign} {}  {}  {}", step.id, step.kind, paint(Color::Dim, &why)));
    }
}

fn agreed() -> anyhow::Result<bool> {
    output::note("Something will be deleted or replaced. Go on? [y/N]");
    let mut answer = String::new();
    std::io::stdin().lock().read_line(&mut answer).context("read the answer")?;
    Ok(matches!(answer.trim(), "y" | "Y" | "yes"))
}

fn report(done: &Done) -> serde_json::Value {
    let steps = done.steps.iter().map(|step| {
        let action = match &step.action {
            Action::Create => "create",
            Action::Update(_) => "update",
            Action::Replace(_) => "replace",
            Action::Keep => "unchanged",
            Action::Delete => "delete",
            Action::Release => "release",
        };
        let physical = done.record.find(&step.id).map(|made| made.physical.as_str());
        json!({ "LogicalId": step.id, "Type": step.kind, "Action": action, "PhysicalId": physical })
    });
    json!({ "StackName": done.stack, "Resources": steps.collect::<Vec<_>>(), "Outputs": done.record.outputs })
}
