//! `mayfly deliveries`: what waits to be delivered, and what was given up.

use super::client::Client;
use super::{connect, output, settings};
use serde_json::{Value as Json, json};
use std::process::ExitCode;

/// List asynchronous deliveries that wait or were given up; send those again, or drop them
#[derive(clap::Args, Debug)]
pub(crate) struct Args {
    #[command(subcommand)]
    action: Option<Action>,
    /// Which deliveries: dead, waiting or in-flight
    #[arg(long, value_enum, default_value_t = State::Dead)]
    state: State,
    /// Print JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    server: settings::Server,
}

#[derive(clap::ValueEnum, Clone, Copy, Debug)]
enum State {
    Dead,
    Waiting,
    InFlight,
}

impl State {
    fn name(self) -> &'static str {
        match self {
            State::Dead => "Dead",
            State::Waiting => "Waiting",
            State::InFlight => "InFlight",
        }
    }
}

#[derive(clap::Subcommand, Debug)]
enum Action {
    /// Send dead deliveries again, as new
    Redrive(Which),
    /// Forget dead deliveries
    Drop(Which),
}

#[derive(clap::Args, Debug)]
struct Which {
    /// The deliveries' ids, as the list shows them
    #[arg(required_unless_present = "all")]
    ids: Vec<String>,
    /// All that are dead
    #[arg(long, conflicts_with = "ids")]
    all: bool,
}

pub(crate) async fn run(args: Args) -> anyhow::Result<ExitCode> {
    let client = connect(&args.server)?;
    match &args.action {
        None => show(&client, &args).await,
        Some(Action::Redrive(which)) => each(&client, which, "RedriveDelivery", "redriven").await,
        Some(Action::Drop(which)) => each(&client, which, "DropDelivery", "dropped").await,
    }
}

async fn all(client: &Client, state: State) -> anyhow::Result<Vec<Json>> {
    let mut deliveries = Vec::new();
    let mut token = Json::Null;
    loop {
        let request = json!({ "State": state.name(), "NextToken": token });
        let mut page = client.json("mayfly", "Mayfly_20261101.ListDeliveries", &request).await?;
        if let Json::Array(items) = page["Deliveries"].take() {
            deliveries.extend(items);
        }
        token = page["NextToken"].take();
        if token.is_null() {
            return Ok(deliveries);
        }
    }
}

async fn show(client: &Client, args: &Args) -> anyhow::Result<ExitCode> {
    let deliveries = all(client, args.state).await?;
    if args.json {
        output::json(&json!({ "Deliveries": deliveries }));
        return Ok(ExitCode::SUCCESS);
    }
    let rows: Vec<Vec<String>> = deliveries.iter().map(row).collect();
    output::table(&["ID", "LANE", "EVENT", "ATTEMPTS", "AT", "REASON"], &rows);
    Ok(ExitCode::SUCCESS)
}

fn row(delivery: &Json) -> Vec<String> {
    let text = |name: &str| delivery[name].as_str().unwrap_or_default().to_owned();
    vec![
        text("Id"),
        text("Lane"),
        text("EventType"),
        delivery["Attempt"].to_string(),
        text("At"),
        text("Reason"),
    ]
}

async fn each(client: &Client, which: &Which, operation: &str, done: &str) -> anyhow::Result<ExitCode> {
    let dead = all(client, State::Dead).await?;
    let named = |delivery: &&Json| {
        which.all || delivery["Id"].as_str().is_some_and(|id| which.ids.iter().any(|wanted| wanted == id))
    };
    let chosen: Vec<&Json> = dead.iter().filter(named).collect();
    for id in &which.ids {
        anyhow::ensure!(
            dead.iter().any(|delivery| delivery["Id"] == **id),
            "no dead delivery has the id {id}"
        );
    }
    for delivery in &chosen {
        let target = format!("Mayfly_20261101.{operation}");
        client.json("mayfly", &target, &json!({ "Handle": delivery["Handle"] })).await?;
    }
    output::line(format!("{} {done}", chosen.len()));
    Ok(ExitCode::SUCCESS)
}
