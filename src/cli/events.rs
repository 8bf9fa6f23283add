//! `mayfly events tail`: the events of a bus as they come.
//!
//! A client of the public APIs like any other: a rule of its own brings the events to a queue of its own,
//! which is asked by long polls. Both go when the command ends; if it is killed, they stay until somebody
//! deletes them, and the queue holds no event for longer than a minute.

use super::client::Client;
use super::{connect, output, settings};
use mayfly_kernel::ids::Ids;
use serde_json::{Value as Json, json};
use std::process::ExitCode;

/// What happens on an event bus
#[derive(clap::Args, Debug)]
pub(crate) struct Args {
    #[command(subcommand)]
    command: Events,
}

#[derive(clap::Subcommand, Debug)]
enum Events {
    Tail(TailArgs),
}

/// Print the events of a bus as they come, each as a line of JSON, until interrupted
#[derive(clap::Args, Debug)]
struct TailArgs {
    /// The bus's name
    #[arg(long, default_value = "default")]
    bus: String,
    /// Only events that this pattern wants
    #[arg(long, default_value = r#"{"source": [{"prefix": ""}]}"#)]
    pattern: String,
    #[command(flatten)]
    server: settings::Server,
}

pub(crate) async fn run(args: Args) -> anyhow::Result<ExitCode> {
    let Events::Tail(args) = args.command;
    let client = connect(&args.server)?;
    let tail = Tail { client, bus: args.bus, name: format!("mayfly-tail-{}", Ids::system().hex(16)) };
    let told = tokio::select! {
        told = tail.follow(&args.pattern) => told,
        () = interrupted() => Ok(()),
    };
    tail.clear().await;
    told.map(|()| ExitCode::SUCCESS)
}

async fn interrupted() {
    use tokio::signal::unix::{SignalKind, signal};
    let Ok(mut terminated) = signal(SignalKind::terminate()) else { return };
    tokio::select! {
        _ = terminated.recv() => {}
        _ = tokio::signal::ctrl_c() => {}
    }
}

/// A rule and a queue of the same name.
struct Tail {
    client: Client,
    bus: String,
    name: String,
}

impl Tail {
    async fn events(&self, operation: &str, request: &Json) -> anyhow::Result<Json> {
        self.client.json("events", &format!("AWSEvents.{operation}"), request).await
    }

    async fn queues(&self, operation: &str, request: &Json) -> anyhow::Result<Json> {
        self.client.json("sqs", &format!("AmazonSQS.{operation}"), request).await
    }

    async fn follow(&self, pattern: &str) -> anyhow::Result<()> {
        let attributes = json!({ "MessageRetentionPeriod": "60" });
        let create = json!({ "QueueName": self.name, "Attributes": attributes });
        let url = self.queues("CreateQueue", &create).await?["QueueUrl"].take();
        let asked = json!({ "QueueUrl": url, "AttributeNames": ["QueueArn"] });
        let arn = self.queues("GetQueueAttributes", &asked).await?["Attributes"]["QueueArn"].take();
        let rule = json!({ "Name": self.name, "EventBusName": self.bus, "EventPattern": pattern });
        self.events("PutRule", &rule).await?;
        let targets = json!([{ "Id": "tail", "Arn": arn }]);
        let targets = json!({ "Rule": self.name, "EventBusName": self.bus, "Targets": targets });
        self.events("PutTargets", &targets).await?;
        output::note(format!("listening on the bus {}", self.bus));
        let receive = json!({ "QueueUrl": url, "MaxNumberOfMessages": 10, "WaitTimeSeconds": 20 });
        loop {
            let got = self.queues("ReceiveMessage", &receive).await?;
            let Some(messages) = got["Messages"].as_array() else { continue };
            for message in messages {
                output::line(message["Body"].as_str().unwrap_or_default());
            }
            let handles = messages.iter().map(|message| &message["ReceiptHandle"]).enumerate();
            let entries: Vec<Json> =
                handles.map(|(n, handle)| json!({ "Id": n.to_string(), "ReceiptHandle": handle })).collect();
            self.queues("DeleteMessageBatch", &json!({ "QueueUrl": url, "Entries": entries })).await?;
        }
    }

    /// Takes away what was made. What was not made, or is gone, is no matter.
    async fn clear(&self) {
        let targets = json!({ "Rule": self.name, "EventBusName": self.bus, "Ids": ["tail"] });
        let _ = self.events("RemoveTargets", &targets).await;
        let _ = self.events("DeleteRule", &json!({ "Name": self.name, "EventBusName": self.bus })).await;
        if let Ok(found) = self.queues("GetQueueUrl", &json!({ "QueueName": self.name })).await {
            let _ = self.queues("DeleteQueue", &json!({ "QueueUrl": found["QueueUrl"] })).await;
        }
    }
}
