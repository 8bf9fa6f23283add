//! `AWS::CloudWatch::Alarm`.

use super::properties::{Properties, flag, integer, text};
use super::{Context, Made, Wanted};
use crate::cli::deploy::stack::Deployed;
use serde_json::{Map, Value as Json, json};

async fn call(cx: &Context<'_>, operation: &str, request: &Json) -> anyhow::Result<()> {
    let target = format!("GraniteServiceVersion20100801.{operation}");
    cx.client.json("monitoring", &target, request).await.map(drop)
}

/// Members that are numbers or flags, wherever they stand in an alarm.
const NUMBERS: [&str; 4] = ["Period", "EvaluationPeriods", "DatapointsToAlarm", "Threshold"];
const FLAGS: [&str; 2] = ["ActionsEnabled", "ReturnData"];

/// The properties as the API takes them: texts that are numbers become numbers.
fn typed(value: &Json) -> Json {
    match value {
        Json::Array(items) => Json::Array(items.iter().map(typed).collect()),
        Json::Object(members) => {
            let member = |(name, value): (&String, &Json)| {
                let known = match name.as_str() {
                    name if NUMBERS.contains(&name) => number(value),
                    name if FLAGS.contains(&name) => flag(value).map(Json::from),
                    // A dimension's value may look like a number and is a text.
                    "Value" => text(value).map(Json::from),
                    _ => None,
                };
                (name.clone(), known.unwrap_or_else(|| typed(value)))
            };
            Json::Object(members.iter().map(member).collect::<Map<_, _>>())
        }
        other => other.clone(),
    }
}

fn number(value: &Json) -> Option<Json> {
    let decimal = || value.as_f64().or_else(|| value.as_str()?.parse().ok());
    integer(value).map(Json::from).or_else(|| decimal().map(Json::from))
}

fn made(cx: &Context<'_>, name: &str) -> Made {
    Made::new(name, [("Arn", cx.arn("cloudwatch", format!("alarm:{name}")))])
}

async fn put(cx: &Context<'_>, name: &str, properties: Properties<'_>) -> anyhow::Result<Made> {
    let mut request = typed(properties.0);
    request["AlarmName"] = json!(name);
    call(cx, "PutMetricAlarm", &request).await?;
    Ok(made(cx, name))
}

pub(super) async fn create(cx: &Context<'_>, wanted: &Wanted<'_>) -> anyhow::Result<Made> {
    put(cx, &wanted.name("AlarmName", cx.place), wanted.properties()).await
}

pub(super) async fn update(cx: &Context<'_>, was: &Deployed, wanted: &Wanted<'_>) -> anyhow::Result<Made> {
    put(cx, &was.physical, wanted.properties()).await
}

pub(super) async fn delete(cx: &Context<'_>, gone: &Deployed) -> anyhow::Result<()> {
    call(cx, "DeleteAlarms", &json!({ "AlarmNames": [gone.physical] })).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_flags_take_the_form_that_is_wanted() {
        let from = json!({ "Threshold": "0.5", "Period": "60", "ActionsEnabled": "true",
            "Dimensions": [{ "Name": "ExecutedVersion", "Value": 2 }] });
        let to = json!({ "Threshold": 0.5, "Period": 60, "ActionsEnabled": true,
            "Dimensions": [{ "Name": "ExecutedVersion", "Value": "2" }] });
        assert_eq!(typed(&from), to);
    }
}
