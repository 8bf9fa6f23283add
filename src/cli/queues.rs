//! `mayfly queues`, `mayfly send` and `mayfly redrive`: the queues of the account and what is in them.

use super::client::Client;
use super::{connect, output, settings};
use anyhow::Context as _;
use serde_json::{Value as Json, json};
use std::process::ExitCode;

/// List the queues and how many messages they hold
#[derive(clap::Args, Debug)]
pub(crate) struct ListArgs {
    /// Only those whose names begin so
    prefix: Option<String>,
    /// Print JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    server: settings::Server,
}

/// Send a message to a queue
#[derive(clap::Args, Debug)]
pub(crate) struct SendArgs {
    /// The queue's name
    queue: String,
    /// The message
    body: String,
    /// Of a FIFO queue: the group
    #[arg(long)]
    group: Option<String>,
    /// Of a FIFO queue: the id by which a second one is known for the same
    #[arg(long)]
    id: Option<String>,
    /// Seconds until it can be received
    #[arg(long)]
    delay: Option<u32>,
    #[command(flatten)]
    server: settings::Server,
}

/// Move the messages of a dead-letter queue back to where they died
#[derive(clap::Args, Debug)]
pub(crate) struct RedriveArgs {
    /// The dead-letter queue's name
    queue: String,
    /// Another queue to move them to
    #[arg(long)]
    to: Option<String>,
    /// Messages a second; as fast as it goes if absent
    #[arg(long)]
    rate: Option<u32>,
    #[command(flatten)]
    server: settings::Server,
}

async fn call(client: &Client, operation: &str, request: &Json) -> anyhow::Result<Json> {
    client.json("sqs", &format!("AmazonSQS.{operation}"), request).await
}

async fn url(client: &Client, queue: &str) -> anyhow::Result<Json> {
    let mut answer = call(client, "GetQueueUrl", &json!({ "QueueName": queue })).await?;
    Ok(answer["QueueUrl"].take())
}

async fn attributes(client: &Client, url: &Json) -> anyhow::Result<Json> {
    let request = json!({ "QueueUrl": url, "AttributeNames": ["All"] });
    let mut answer = call(client, "GetQueueAttributes", &request).await?;
    Ok(answer["Attributes"].take())
}

async fn arn(client: &Client, queue: &str) -> anyhow::Result<Json> {
    let url = url(client, queue).await?;
    Ok(attributes(client, &url).await?["QueueArn"].take())
}

pub(crate) async fn list(args: ListArgs) -> anyhow::Result<ExitCode> {
    let client = connect(&args.server)?;
    let mut request = json!({ "MaxResults": 1000, "QueueNamePrefix": args.prefix.unwrap_or_default() });
    let mut queues = Vec::new();
    loop {
        let mut page = call(&client, "ListQueues", &request).await?;
        if let Json::Array(urls) = page["QueueUrls"].take() {
            queues.extend(urls);
        }
        match page["NextToken"].take() {
            Json::Null => break,
            token => request["NextToken"] = token,
        }
    }
    let mut shown = Vec::new();
    for url in queues {
        let mut attributes = attributes(&client, &url).await?;
        attributes["QueueUrl"] = url;
        shown.push(attributes);
    }
    if args.json {
        output::json(&json!({ "Queues": shown }));
        return Ok(ExitCode::SUCCESS);
    }
    let rows: Vec<Vec<String>> = shown.iter().map(row).collect();
    output::table(&["NAME", "WAITING", "IN FLIGHT", "DELAYED", "VISIBILITY"], &rows);
    Ok(ExitCode::SUCCESS)
}

fn row(queue: &Json) -> Vec<String> {
    let text = |name: &str| queue[name].as_str().unwrap_or_default().to_owned();
    vec![
        text("QueueArn").rsplit(':').next().unwrap_or_default().to_owned(),
        text("ApproximateNumberOfMessages"),
        text("ApproximateNumberOfMessagesNotVisible"),
        text("ApproximateNumberOfMessagesDelayed"),
        format!("{} s", text("VisibilityTimeout")),
    ]
}

pub(crate) async fn send(args: SendArgs) -> anyhow::Result<ExitCode> {
    let client = connect(&args.server)?;
    let request = json!({
        "QueueUrl": url(&client, &args.queue).await?,
        "MessageBody": args.body,
        "MessageGroupId": args.group,
        "MessageDeduplicationId": args.id,
        "DelaySeconds": args.delay,
    });
    output::json(&call(&client, "SendMessage", &request).await?);
    Ok(ExitCode::SUCCESS)
}

/// How often a task is asked how far it is.
const ASK_EVERY: std::time::Duration = std::time::Duration::from_millis(200);

pub(crate) async fn redrive(args: RedriveArgs) -> anyhow::Result<ExitCode> {
    let client = connect(&args.server)?;
    let source = arn(&client, &args.queue).await?;
    let destination = match &args.to {
        Some(queue) => arn(&client, queue).await?,
        None => Json::Null,
    };
    let request = json!({
        "SourceArn": source,
        "DestinationArn": destination,
        "MaxNumberOfMessagesPerSecond": args.rate,
    });
    call(&client, "StartMessageMoveTask", &request).await?;
    loop {
        let listed = call(&client, "ListMessageMoveTasks", &json!({ "SourceArn": source })).await?;
        let task = listed["Results"].get(0).context("the task is not listed")?;
        let moved = &task["ApproximateNumberOfMessagesMoved"];
        match task["Status"].as_str().unwrap_or_default() {
            "RUNNING" | "CANCELLING" => tokio::time::sleep(ASK_EVERY).await,
            "COMPLETED" => {
                output::note(format!("{moved} messages moved"));
                return Ok(ExitCode::SUCCESS);
            }
            status => {
                let why = task["FailureReason"].as_str().unwrap_or_default();
                output::note(format!("{status} after {moved} messages {why}"));
                return Ok(ExitCode::FAILURE);
            }
        }
    }
}
