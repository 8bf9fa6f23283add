//! Asynchronous invocations to their end.

use super::{ARN, Cloud, NotRun, function, invalid, outcome};
use crate::fabric::{Record, dead, lanes};
use serde_json::{Value, json};
use std::time::Duration;

const CONFIG: &str = "/2019-09-25/functions/f/event-invoke-config";

fn send(cloud: &Cloud, body: &str) -> Record {
    let request = "POST /2015-03-31/functions/f/invocations";
    cloud.0.http("lambda", request, &[("x-amz-invocation-type", "Event")], body.to_owned()).unwrap();
    take(cloud).expect("it is due at once")
}

fn take(cloud: &Cloud) -> Option<Record> {
    let mut due = cloud.claim_due();
    assert!(due.len() <= 1);
    due.pop()
}

/// How long until the next delivery falls due.
fn pause(cloud: &Cloud) -> u64 {
    let (_, due) = lanes(cloud.0.store()).unwrap()[0];
    due.since(cloud.0.now()).as_secs()
}

fn rest(cloud: &Cloud) {
    cloud.0.advance(Duration::from_secs(pause(cloud)));
}

/// `f` with a function `next` to hear of its outcomes.
fn with_destinations() -> Cloud {
    let cloud = Cloud::with_function();
    cloud.ok("POST /2015-03-31/functions", &function("next"));
    cloud.prepare(&Ok(Vec::new()));
    let next = ARN.replace("function:f", "function:next");
    let destinations = json!({ "OnSuccess": { "Destination": next }, "OnFailure": { "Destination": next } });
    cloud.ok(&format!("PUT {CONFIG}"), &json!({ "DestinationConfig": destinations }));
    cloud
}

#[test]
fn a_failing_function_is_tried_three_times_and_kept() {
    let cloud = Cloud::with_function();
    let failure = outcome(Err(r#"{"errorMessage":"no"}"#));
    let first = send(&cloud, "{}");
    cloud.settle(&first, &failure);
    assert_eq!(pause(&cloud), 60);
    assert!(take(&cloud).is_none(), "not before a minute has passed");
    rest(&cloud);
    let second = take(&cloud).unwrap();
    assert_eq!((second.id.as_str(), second.attempt), (first.id.as_str(), 2));
    cloud.settle(&second, &failure);
    assert_eq!(pause(&cloud), 120);
    rest(&cloud);
    cloud.settle(&take(&cloud).unwrap(), &failure);
    assert!(lanes(cloud.0.store()).unwrap().is_empty());
    let dead = dead(cloud.0.store(), 10).unwrap();
    assert_eq!((dead.len(), dead[0].last_error.as_str()), (1, "ValueError"));
}

#[test]
fn destinations_hear_of_success_in_the_documented_form() {
    let cloud = with_destinations();
    let event = send(&cloud, r#"{"order": 7}"#);
    cloud.settle(&event, &outcome(Ok(r#"{"done":true}"#)));
    let told = take(&cloud).unwrap();
    assert_eq!(told.arn, ARN.replace("function:f", "function:next"));
    assert_eq!(told.depth, 1);
    assert_eq!(
        serde_json::from_slice::<Value>(&told.payload).unwrap(),
        json!({
            "version": "1.0",
            "timestamp": "2026-01-01T00:00:00.000Z",
            "requestContext": {
                "requestId": "request",
                "functionArn": format!("{ARN}:$LATEST"),
                "condition": "Success",
                "approximateInvokeCount": 1,
            },
            "requestPayload": { "order": 7 },
            "responseContext": { "statusCode": 200, "executedVersion": "$LATEST" },
            "responsePayload": { "done": true },
        })
    );
}

#[test]
fn destinations_hear_of_the_last_failure_alone() {
    let cloud = with_destinations();
    let failure = outcome(Err(r#"{"errorMessage":"no"}"#));
    cloud.settle(&send(&cloud, "{}"), &failure);
    for _ in 0..2 {
        rest(&cloud);
        cloud.settle(&take(&cloud).unwrap(), &failure);
    }
    let told: Value = serde_json::from_slice(&take(&cloud).unwrap().payload).unwrap();
    assert_eq!(told["requestContext"]["condition"], "RetriesExhausted");
    assert_eq!(told["requestContext"]["approximateInvokeCount"], 3);
    assert_eq!(told["responseContext"]["functionError"], "Unhandled");
    assert_eq!(told["responsePayload"], json!({ "errorMessage": "no" }));
    assert!(dead(cloud.0.store(), 10).unwrap().is_empty(), "somebody was told");
}

#[test]
fn what_could_not_start_comes_back_ever_later_until_it_is_too_old() {
    let cloud = with_destinations();
    let update = json!({ "MaximumEventAgeInSeconds": 60, "MaximumRetryAttempts": 0 });
    let config = cloud.ok(&format!("POST {CONFIG}"), &update);
    assert_eq!(config["MaximumEventAgeInSeconds"], 60);
    assert!(config["DestinationConfig"]["OnFailure"]["Destination"].is_string(), "an update keeps the rest");
    let mut record = send(&cloud, "{}");
    let mut pauses = Vec::new();
    for _ in 0..6 {
        cloud.settle(&record, &Err(NotRun::Later("throttled".into())));
        pauses.push(pause(&cloud));
        rest(&cloud);
        record = take(&cloud).unwrap();
        assert_eq!(record.attempt, 1, "it has not begun once");
    }
    assert_eq!(pauses, [1, 1, 2, 4, 8, 16]);
    cloud.settle(&record, &Err(NotRun::Later("throttled".into())));
    let told: Value = serde_json::from_slice(&take(&cloud).unwrap().payload).unwrap();
    assert_eq!(told["requestContext"]["condition"], "EventAgeExceeded");
    assert_eq!(told.get("responseContext"), None);
}

#[test]
fn what_cannot_be_delivered_is_kept_as_dead() {
    let cloud = Cloud::with_function();
    let queue = "arn:aws:sqs:us-east-1:000000000000:q";
    let config =
        json!({ "MaximumRetryAttempts": 0, "DestinationConfig": { "OnSuccess": { "Destination": queue } } });
    cloud.ok(&format!("PUT {CONFIG}"), &config);
    cloud.settle(&send(&cloud, "{}"), &outcome(Ok("1")));
    cloud.ok(
        "PUT /2015-03-31/functions/f/configuration",
        &json!({ "DeadLetterConfig": { "TargetArn": queue } }),
    );
    cloud.prepare(&Ok(Vec::new()));
    cloud.0.advance(Duration::from_secs(1));
    cloud.settle(&send(&cloud, "{}"), &outcome(Err("{}")));
    cloud.0.advance(Duration::from_secs(1));
    let orphan = send(&cloud, "{}");
    cloud.ok("DELETE /2015-03-31/functions/f", &Value::Null);
    assert_eq!(cloud.runs(&orphan), None);
    cloud.settle(&orphan, &Err(NotRun::Gone));
    let reasons: Vec<String> =
        dead(cloud.0.store(), 10).unwrap().into_iter().map(|record| record.last_error).collect();
    assert_eq!(
        reasons,
        [
            format!("for the destination {queue}: the queue does not exist"),
            format!("ValueError; for the dead-letter target {queue}: the queue does not exist"),
            format!("Function not found: {ARN}"),
        ]
    );
}

#[test]
fn a_chain_of_destinations_is_cut() {
    let cloud = with_destinations();
    let mut record = send(&cloud, "{}");
    record.depth = 16;
    cloud.settle(&record, &outcome(Ok("1")));
    assert!(take(&cloud).is_none());
    assert!(dead(cloud.0.store(), 10).unwrap()[0].last_error.contains("delivery_depth"));
}

#[test]
fn a_configuration_is_checked_shown_and_forgotten() {
    let cloud = with_destinations();
    let refused = |input: Value| cloud.refusal(&format!("PUT {CONFIG}"), &input);
    let parameter = |message: &str| invalid("InvalidParameterValueException", message);
    assert_eq!(
        refused(json!({})),
        parameter("You must specify at least one of error handling or destination setting.")
    );
    assert!(refused(json!({ "MaximumRetryAttempts": 3 })).1.contains("less than or equal to 2"));
    assert!(refused(json!({ "MaximumEventAgeInSeconds": 59 })).1.contains("greater than or equal to 60"));
    let to = |arn: &str| json!({ "DestinationConfig": { "OnFailure": { "Destination": arn } } });
    assert_eq!(refused(to(ARN)), parameter("You can't specify the function as a destination for itself."));
    let ghost = ARN.replace("function:f", "function:ghost");
    assert_eq!(refused(to(&ghost)), parameter(&format!("The destination ARN {ghost} is invalid.")));
    assert_eq!(
        refused(to("arn:aws:dynamodb:us-east-1:000000000000:table/t")),
        parameter(
            "The provided destination config DestinationConfig(onSuccess=null, \
             onFailure=OnFailure(destination=arn:aws:dynamodb:us-east-1:000000000000:table/t)) is invalid."
        )
    );
    let got = cloud.get(CONFIG);
    assert_eq!(
        (&got["FunctionArn"], &got["LastModified"]),
        (&json!(format!("{ARN}:$LATEST")), &json!(1_767_225_600))
    );
    assert_eq!(cloud.get(&format!("{CONFIG}/list"))["FunctionEventInvokeConfigs"][0], got);
    cloud.ok(&format!("DELETE {CONFIG}"), &Value::Null);
    assert_eq!(
        cloud.refusal(&format!("GET {CONFIG}"), &Value::Null),
        invalid(
            "ResourceNotFoundException",
            format!("The function {ARN}:$LATEST doesn't have an EventInvokeConfig")
        )
    );
    assert_eq!(
        cloud.refusal(
            "PUT /2019-09-25/functions/g/event-invoke-config",
            &json!({ "MaximumRetryAttempts": 1 })
        ),
        invalid("ResourceNotFoundException", "The function doesn't exist.")
    );
}

#[test]
fn queues_hear_in_the_same_transaction() {
    let cloud = Cloud::with_function();
    let url =
        cloud.0.call("sqs", "CreateQueue", &json!({ "QueueName": "q" })).unwrap().json()["QueueUrl"].take();
    let queue = "arn:aws:sqs:us-east-1:000000000000:q";
    let both = json!({ "OnSuccess": { "Destination": queue }, "OnFailure": { "Destination": queue } });
    let config = json!({ "MaximumRetryAttempts": 0, "DestinationConfig": both });
    cloud.ok(&format!("PUT {CONFIG}"), &config);
    let letters = json!({ "DeadLetterConfig": { "TargetArn": queue } });
    cloud.ok("PUT /2015-03-31/functions/f/configuration", &letters);
    cloud.prepare(&Ok(Vec::new()));
    cloud.settle(&send(&cloud, "{}"), &outcome(Ok("1")));
    cloud.0.advance(Duration::from_secs(1));
    let failed = send(&cloud, r#"{"order":7}"#);
    cloud.settle(&failed, &outcome(Err(r#"{"errorMessage":"no"}"#)));
    let input = json!({ "QueueUrl": url, "MaxNumberOfMessages": 10, "MessageAttributeNames": ["All"] });
    let mut got = cloud.0.call("sqs", "ReceiveMessage", &input).unwrap().json();
    let got: Vec<Value> = got["Messages"].as_array_mut().unwrap().drain(..).collect();
    let condition = |message: &Value| {
        let body: Value = serde_json::from_str(message["Body"].as_str().unwrap()).unwrap();
        body["requestContext"]["condition"].as_str().map(str::to_owned)
    };
    let mut conditions: Vec<_> = got.iter().map(condition).collect();
    conditions.sort();
    assert_eq!(conditions, [None, Some("RetriesExhausted".into()), Some("Success".into())]);
    let letter = got.iter().find(|message| message["Body"] == r#"{"order":7}"#).unwrap();
    assert_eq!(letter["MessageAttributes"]["RequestID"]["StringValue"], failed.id);
    assert_eq!(letter["MessageAttributes"]["ErrorCode"]["StringValue"], "200");
    assert_eq!(letter["MessageAttributes"]["ErrorMessage"]["StringValue"], "no");
    assert!(dead(cloud.0.store(), 10).unwrap().is_empty(), "somebody was told");
}

#[test]
fn a_bus_hears_of_success_and_failure_in_the_documented_form() {
    let cloud = Cloud::with_function();
    let bus = "arn:aws:events:us-east-1:000000000000:event-bus/default";
    let queue = "arn:aws:sqs:us-east-1:000000000000:told";
    let call = |service: &str, operation: &str, input: Value| {
        cloud.0.call(service, operation, &input).unwrap_or_else(|fault| panic!("{operation}: {fault}")).json()
    };
    call("sqs", "CreateQueue", json!({ "QueueName": "told" }));
    call("events", "PutRule", json!({ "Name": "r", "EventPattern": r#"{"source": ["lambda"]}"# }));
    call("events", "PutTargets", json!({ "Rule": "r", "Targets": [{ "Id": "q", "Arn": queue }] }));
    let told = || -> Value {
        let queue = json!({ "QueueUrl": "/000000000000/told" });
        let got = call("sqs", "ReceiveMessage", queue);
        serde_json::from_str(got["Messages"][0]["Body"].as_str().expect("an event")).unwrap()
    };
    let destinations = json!({ "OnSuccess": { "Destination": bus }, "OnFailure": { "Destination": bus } });
    let config = json!({ "DestinationConfig": destinations, "MaximumRetryAttempts": 0 });
    cloud.ok(&format!("PUT {CONFIG}"), &config);
    let event = send(&cloud, r#"{"order": 7}"#);
    cloud.settle(&event, &outcome(Ok(r#"{"done":true}"#)));
    let event = told();
    assert_eq!(event["detail-type"], "Lambda Function Invocation Result - Success");
    assert_eq!((&event["source"], &event["account"]), (&json!("lambda"), &json!("000000000000")));
    assert_eq!(event["resources"], json!([bus, format!("{ARN}:$LATEST")]));
    assert_eq!(event["detail"]["requestContext"]["condition"], "Success");
    assert_eq!(event["detail"]["responsePayload"], json!({ "done": true }));
    let event = send(&cloud, r#"{"order": 8}"#);
    cloud.settle(&event, &outcome(Err(r#"{"errorMessage":"no"}"#)));
    let event = told();
    assert_eq!(event["detail-type"], "Lambda Function Invocation Result - Failure");
    assert_eq!(event["detail"]["requestContext"]["condition"], "RetriesExhausted");
    assert_eq!(event["detail"]["requestPayload"], json!({ "order": 8 }));
    assert!(dead(cloud.0.store(), 10).unwrap().is_empty());
}
