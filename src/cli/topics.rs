//! `mayfly publish`: a message to a topic.

use super::client::element;
use super::{connect, output, settings};
use serde_json::json;
use std::process::ExitCode;

/// Publish a message to a topic
#[derive(clap::Args, Debug)]
pub(crate) struct PublishArgs {
    /// The topic's name, or its ARN
    topic: String,
    /// The message
    message: String,
    #[arg(long)]
    subject: Option<String>,
    /// An attribute, as NAME=VALUE; may be given several times
    #[arg(long = "attribute", value_name = "NAME=VALUE")]
    attributes: Vec<String>,
    /// Of a FIFO topic: the group
    #[arg(long)]
    group: Option<String>,
    /// Of a FIFO topic: the id by which a second one is known for the same
    #[arg(long)]
    id: Option<String>,
    #[command(flatten)]
    server: settings::Server,
}

pub(crate) async fn publish(args: PublishArgs) -> anyhow::Result<ExitCode> {
    let client = connect(&args.server)?;
    let arn = match args.topic.starts_with("arn:") {
        true => args.topic,
        false => {
            let account = client.account().await?;
            mayfly_kernel::Arn::new("sns", client.region(), &account, args.topic).to_string()
        }
    };
    let mut members = vec![("TopicArn".to_owned(), arn), ("Message".to_owned(), args.message)];
    let optional =
        [("Subject", args.subject), ("MessageGroupId", args.group), ("MessageDeduplicationId", args.id)];
    members.extend(optional.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?))));
    for (index, attribute) in args.attributes.iter().enumerate() {
        let Some((name, value)) = attribute.split_once('=') else {
            anyhow::bail!("an attribute is written NAME=VALUE, not `{attribute}`");
        };
        let entry = format!("MessageAttributes.entry.{}", index + 1);
        members.push((format!("{entry}.Name"), name.to_owned()));
        members.push((format!("{entry}.Value.DataType"), "String".to_owned()));
        members.push((format!("{entry}.Value.StringValue"), value.to_owned()));
    }
    let members: Vec<(&str, &str)> = members.iter().map(|(name, value)| (&**name, &**value)).collect();
    let answer = client.form("sns", "Publish", &members).await?;
    output::json(&json!({
        "MessageId": element(&answer, "MessageId"),
        "SequenceNumber": element(&answer, "SequenceNumber"),
    }));
    Ok(ExitCode::SUCCESS)
}
