//! EventBridge through its operations.

mod destinations;

use crate::fabric::{dead, lanes};
use crate::testing::Bench;
use mayfly_kernel::Fault;
use serde_json::{Value, json};
use std::time::Duration;

const ACCOUNT: &str = "000000000000";

fn call(t: &Bench, operation: &str, input: Value) -> Value {
    t.call("events", operation, &input).unwrap_or_else(|fault| panic!("{operation}: {fault}")).json()
}

fn refused(t: &Bench, operation: &str, input: Value) -> Fault {
    t.call("events", operation, &input).expect_err(operation)
}

/// A queue's ARN.
fn queue(t: &Bench, name: &str, attributes: Value) -> String {
    t.call("sqs", "CreateQueue", &json!({ "QueueName": name, "Attributes": attributes })).unwrap();
    format!("arn:aws:sqs:us-east-1:{ACCOUNT}:{name}")
}

/// Takes up to ten messages out of a queue.
fn received(t: &Bench, name: &str) -> Vec<Value> {
    let input = json!({ "QueueUrl": format!("http://x/{ACCOUNT}/{name}"), "MaxNumberOfMessages": 10,
        "AttributeNames": ["All"], "MessageAttributeNames": ["All"] });
    let answer = t.call("sqs", "ReceiveMessage", &input).unwrap().json();
    let messages = answer["Messages"].as_array().cloned().unwrap_or_default();
    for message in &messages {
        let receipt = json!({ "QueueUrl": input["QueueUrl"], "ReceiptHandle": message["ReceiptHandle"] });
        t.call("sqs", "DeleteMessage", &receipt).unwrap();
    }
    messages
}

/// The bodies of a queue's messages, in some order.
fn bodies(t: &Bench, name: &str) -> Vec<String> {
    received(t, name).iter().map(|message| message["Body"].as_str().unwrap().to_owned()).collect()
}

fn rule(t: &Bench, name: &str, bus: &str, pattern: Value, targets: Value) {
    let pattern = pattern.to_string();
    call(t, "PutRule", json!({ "Name": name, "EventBusName": bus, "EventPattern": pattern }));
    call(t, "PutTargets", json!({ "Rule": name, "EventBusName": bus, "Targets": targets }));
}

fn entry(source: &str, detail: Value) -> Value {
    json!({ "Source": source, "DetailType": "Order", "Detail": detail.to_string() })
}

fn put(t: &Bench, entries: &[Value]) -> Value {
    call(t, "PutEvents", json!({ "Entries": entries }))
}

#[test]
fn a_pattern_can_be_tried_on_an_event() {
    let t = Bench::seed(1);
    let event = json!({
        "id": "1", "account": "0", "source": "shop", "time": "2026-01-01T00:00:00Z", "region": "us-east-1",
        "resources": [], "detail-type": "Order", "detail": { "total": 7 },
    });
    let try_on = |pattern: &str, event: String| {
        t.call("events", "TestEventPattern", &json!({ "EventPattern": pattern, "Event": event }))
    };
    let wanted = r#"{"detail": {"total": [{"numeric": [">", 5]}]}}"#;
    assert_eq!(try_on(wanted, event.to_string()).unwrap().json()["Result"], true);
    let other = r#"{"source": ["blog"]}"#;
    assert_eq!(try_on(other, event.to_string()).unwrap().json()["Result"], false);
    let fault = try_on(r#"{"source": "shop"}"#, event.to_string()).unwrap_err();
    assert_eq!(fault.code, "InvalidEventPatternException");
    assert_eq!(
        fault.message,
        "Event pattern is not valid. Reason: \"source\" must be an object or an array\n at [Source: (String)\"\
         {\"source\": \"shop\"}\"; line: 1, column: 13]"
    );
    assert_eq!(try_on(wanted, "{}".into()).unwrap_err().code, "ValidationException");
}

#[test]
fn an_event_reaches_the_targets_of_the_rules_that_want_it() {
    let t = Bench::seed(1);
    let (all, big) = (queue(&t, "all", json!({})), queue(&t, "big", json!({})));
    rule(&t, "all", "default", json!({ "source": ["shop"] }), json!([{ "Id": "q", "Arn": all }]));
    let big_ones = json!({ "source": ["shop"], "detail": { "total": [{ "numeric": [">", 100] }] } });
    rule(
        &t,
        "big",
        "default",
        big_ones,
        json!([
            { "Id": "q", "Arn": big, "InputPath": "$.detail.total" },
            { "Id": "t", "Arn": big, "InputTransformer": {
                "InputPathsMap": { "n": "$.detail.total" }, "InputTemplate": r#"{"total": <n>, "by": <aws.events.rule-name>}"#,
            } },
            { "Id": "c", "Arn": big, "Input": r#"{"fixed": true}"# },
        ]),
    );
    let done = put(
        &t,
        &[
            entry("shop", json!({ "total": 7 })),
            entry("shop", json!({ "total": 700 })),
            entry("blog", json!({})),
        ],
    );
    assert_eq!(done["FailedEntryCount"], 0);
    let ids: Vec<&Value> =
        done["Entries"].as_array().unwrap().iter().map(|entry| &entry["EventId"]).collect();
    let events: Vec<Value> =
        bodies(&t, "all").iter().map(|body| serde_json::from_str(body).unwrap()).collect();
    let small = events.iter().find(|event| event["detail"]["total"] == 7).unwrap();
    assert_eq!(
        *small,
        json!({ "version": "0", "id": ids[0], "detail-type": "Order", "source": "shop", "account": ACCOUNT,
            "time": "2026-01-01T00:00:00Z", "region": "us-east-1", "resources": [], "detail": { "total": 7 } })
    );
    assert_eq!(events.len(), 2);
    let mut told = bodies(&t, "big");
    told.sort();
    assert_eq!(told, ["700", r#"{"fixed": true}"#, r#"{"total": 700, "by": "big"}"#]);

    // A disabled rule is as good as none, and one without a target too.
    call(&t, "DisableRule", json!({ "Name": "all" }));
    call(&t, "RemoveTargets", json!({ "Rule": "big", "Ids": ["q", "t", "c"] }));
    put(&t, &[entry("shop", json!({ "total": 700 }))]);
    assert!(bodies(&t, "all").is_empty() && bodies(&t, "big").is_empty());
    call(&t, "EnableRule", json!({ "Name": "all" }));
    put(&t, &[entry("shop", json!({ "total": 1 }))]);
    assert_eq!(bodies(&t, "all").len(), 1);
}

#[test]
fn entries_fail_one_by_one_and_calls_as_a_whole() {
    let t = Bench::seed(1);
    let all = queue(&t, "all", json!({}));
    rule(&t, "all", "default", json!({ "account": [ACCOUNT] }), json!([{ "Id": "q", "Arn": all }]));
    let bad = [
        (
            json!({ "DetailType": "x", "Detail": "{}" }),
            "InvalidArgument",
            "Parameter Source is not valid. Reason: Source is a required argument.",
        ),
        (
            json!({ "Source": "s", "Detail": "{}" }),
            "InvalidArgument",
            "Parameter DetailType is not valid. Reason: DetailType is a required argument.",
        ),
        (
            json!({ "Source": "s", "DetailType": "x" }),
            "InvalidArgument",
            "Parameter Detail is not valid. Reason: Detail is a required argument.",
        ),
        (
            json!({ "Source": "s", "DetailType": "x", "Detail": "{" }),
            "MalformedDetail",
            "Detail is malformed.",
        ),
        (
            json!({ "Source": "s", "DetailType": "x", "Detail": "[]" }),
            "MalformedDetail",
            "Detail is malformed.",
        ),
        (
            json!({ "Source": "aws.s3", "DetailType": "x", "Detail": "{}" }),
            "NotAuthorizedForSourceException",
            "Not authorized for the source.",
        ),
    ];
    let mut entries: Vec<Value> = bad.iter().map(|(entry, ..)| entry.clone()).collect();
    entries.push(entry("good", json!({})));
    let done = put(&t, &entries);
    assert_eq!(done["FailedEntryCount"], 6);
    for (index, (_, code, text)) in bad.iter().enumerate() {
        assert_eq!(done["Entries"][index], json!({ "ErrorCode": code, "ErrorMessage": text }));
    }
    assert!(done["Entries"][6]["EventId"].is_string());
    assert_eq!(bodies(&t, "all").len(), 1);
    for entries in [json!([]), json!(vec![entry("s", json!({})); 11])] {
        assert_eq!(refused(&t, "PutEvents", json!({ "Entries": entries })).code, "ValidationException");
    }
    let large = entry("s", json!({ "x": "y".repeat(1024 * 1024) }));
    let fault = refused(&t, "PutEvents", json!({ "Entries": [large] }));
    assert_eq!(fault.message, "Total size of the entries in the request is over the limit.");
    let nowhere = json!({ "Source": "s", "DetailType": "x", "Detail": "{}", "EventBusName": "nowhere" });
    assert_eq!(put(&t, &[nowhere])["FailedEntryCount"], 0, "a bus that is not there takes everything");
}

#[test]
fn rules_and_buses_are_made_listed_and_deleted() {
    let t = Bench::seed(1);
    let made =
        call(&t, "CreateEventBus", json!({ "Name": "orders", "Tags": [{ "Key": "a", "Value": "b" }] }));
    assert_eq!(made["EventBusArn"], format!("arn:aws:events:us-east-1:{ACCOUNT}:event-bus/orders"));
    let buses = call(&t, "ListEventBuses", json!({}));
    let names: Vec<&Value> = buses["EventBuses"].as_array().unwrap().iter().map(|bus| &bus["Name"]).collect();
    assert_eq!(names, ["default", "orders"]);
    assert_eq!(
        refused(&t, "CreateEventBus", json!({ "Name": "orders" })).code,
        "ResourceAlreadyExistsException"
    );
    assert_eq!(
        refused(&t, "DeleteEventBus", json!({ "Name": "default" })).message,
        "Cannot delete event bus default."
    );

    let pattern = r#"{"source":["shop"]}"#;
    let put_rule = |name: &str| json!({ "Name": name, "EventBusName": "orders", "EventPattern": pattern });
    for name in ["a1", "a2", "b"] {
        let made = call(&t, "PutRule", put_rule(name));
        assert_eq!(made["RuleArn"], format!("arn:aws:events:us-east-1:{ACCOUNT}:rule/orders/{name}"));
    }
    let page = call(&t, "ListRules", json!({ "EventBusName": "orders", "NamePrefix": "a", "Limit": 1 }));
    assert_eq!((page["Rules"][0]["Name"].as_str(), page["NextToken"].as_str()), (Some("a1"), Some("a1")));
    let next = json!({ "EventBusName": "orders", "NamePrefix": "a", "NextToken": page["NextToken"] });
    let page = call(&t, "ListRules", next);
    assert_eq!((page["Rules"].as_array().unwrap().len(), &page["NextToken"]), (1, &Value::Null));
    let shown = call(&t, "DescribeRule", json!({ "Name": "b", "EventBusName": "orders" }));
    assert_eq!((shown["State"].as_str(), shown["EventPattern"].as_str()), (Some("ENABLED"), Some(pattern)));

    let target = queue(&t, "q", json!({}));
    let targets = json!([{ "Id": "1", "Arn": target, "RetryPolicy": { "MaximumRetryAttempts": 3 } }]);
    let put_targets = json!({ "Rule": "b", "EventBusName": "orders", "Targets": targets });
    assert_eq!(call(&t, "PutTargets", put_targets)["FailedEntryCount"], 0);
    let listed = call(&t, "ListTargetsByRule", json!({ "Rule": "b", "EventBusName": "orders" }));
    assert_eq!(listed["Targets"], targets);
    let by_target = json!({ "TargetArn": target, "EventBusName": "orders" });
    assert_eq!(call(&t, "ListRuleNamesByTarget", by_target.clone())["RuleNames"], json!(["b"]));
    let fault = refused(&t, "DeleteRule", json!({ "Name": "b", "EventBusName": "orders" }));
    assert_eq!(fault.message, "Rule can't be deleted since it has targets.");
    assert!(refused(&t, "DeleteEventBus", json!({ "Name": "orders" })).message.contains("has rules"));
    call(&t, "RemoveTargets", json!({ "Rule": "b", "EventBusName": "orders", "Ids": ["1", "none"] }));
    assert_eq!(call(&t, "ListRuleNamesByTarget", by_target)["RuleNames"], json!([]));
    for name in ["a1", "a2", "b", "b"] {
        call(&t, "DeleteRule", json!({ "Name": name, "EventBusName": "orders" }));
    }
    let arn = made["EventBusArn"].clone();
    assert_eq!(call(&t, "ListTagsForResource", json!({ "ResourceARN": arn }))["Tags"][0]["Key"], "a");
    call(&t, "UntagResource", json!({ "ResourceARN": arn, "TagKeys": ["a"] }));
    assert_eq!(call(&t, "ListTagsForResource", json!({ "ResourceARN": arn }))["Tags"], json!([]));
    call(&t, "DeleteEventBus", json!({ "Name": "orders" }));
    let fault = refused(&t, "PutRule", put_rule("x"));
    assert_eq!(
        (&*fault.code, &*fault.message),
        ("ResourceNotFoundException", "Event bus orders does not exist.")
    );
}

#[test]
fn bad_rules_and_targets_are_refused_in_the_words_of_aws() {
    let t = Bench::seed(1);
    let refused_rule = |input: Value| refused(&t, "PutRule", input).message;
    assert_eq!(
        refused_rule(json!({ "Name": "r" })),
        "Parameter(s) EventPattern or ScheduleExpression must be specified."
    );
    let bad = json!({ "Name": "r", "ScheduleExpression": "rate(1 minutes)" });
    assert_eq!(refused_rule(bad), "Parameter ScheduleExpression is not valid.");
    call(&t, "CreateEventBus", json!({ "Name": "own" }));
    let elsewhere = json!({ "Name": "r", "EventBusName": "own", "ScheduleExpression": "rate(1 minute)" });
    assert_eq!(refused_rule(elsewhere), "ScheduleExpression is supported only on the default event bus.");
    call(&t, "PutRule", json!({ "Name": "r", "EventPattern": r#"{"source":["s"]}"# }));
    let arn = queue(&t, "q", json!({}));
    let fifo = queue(&t, "f.fifo", json!({ "FifoQueue": "true" }));
    let targets = |target: Value| refused(&t, "PutTargets", json!({ "Rule": "r", "Targets": [target] }));
    assert!(
        targets(json!({ "Id": "1", "Arn": "x" })).message.contains("Provided Arn is not in correct format")
    );
    assert_eq!(
        targets(json!({ "Id": "1", "Arn": fifo })).message,
        "Parameter(s) SqsParameters must be specified for target: 1."
    );
    assert!(targets(json!({ "Id": "1", "Arn": arn, "Input": "{" })).message.starts_with("JSON syntax error"));
    assert!(
        targets(json!({ "Id": "1", "Arn": arn, "Input": "{}", "InputPath": "$" }))
            .message
            .contains("Only one")
    );
    let template = json!({ "InputPathsMap": { "a": "$.detail" }, "InputTemplate": "<b>" });
    let unknown = targets(json!({ "Id": "1", "Arn": arn, "InputTransformer": template }));
    assert!(unknown.message.contains("invalid placeholder b"), "{unknown}");
    assert_eq!(targets(json!({ "Id": "1", "Arn": "arn:aws:batch:::x" })).code, "NotImplemented");
    let six: Vec<Value> = (0..6).map(|n| json!({ "Id": n.to_string(), "Arn": arn })).collect();
    let fault = refused(&t, "PutTargets", json!({ "Rule": "r", "Targets": six }));
    assert_eq!(fault.code, "LimitExceededException");
    assert_eq!(call(&t, "ListTargetsByRule", json!({ "Rule": "r" }))["Targets"], json!([]));
}

#[test]
fn what_cannot_be_handed_over_goes_to_the_dead_letter_queue_or_is_kept() {
    let t = Bench::seed(1);
    let letters = queue(&t, "letters", json!({}));
    let gone = format!("arn:aws:sqs:us-east-1:{ACCOUNT}:gone");
    let function = format!("arn:aws:lambda:us-east-1:{ACCOUNT}:function:none");
    let targets = json!([
        { "Id": "told", "Arn": gone, "DeadLetterConfig": { "Arn": letters } },
        { "Id": "kept", "Arn": gone },
        { "Id": "function", "Arn": function },
    ]);
    rule(&t, "r", "default", json!({ "source": ["s"] }), targets);
    put(&t, &[entry("s", json!({ "n": 1 }))]);
    let letter = &received(&t, "letters")[0];
    let attribute = |name: &str| letter["MessageAttributes"][name]["StringValue"].as_str().unwrap();
    assert_eq!(attribute("ERROR_CODE"), "RESOURCE_NOT_FOUND");
    assert_eq!(attribute("RULE_ARN"), format!("arn:aws:events:us-east-1:{ACCOUNT}:rule/r"));
    assert_eq!(attribute("TARGET_ARN"), gone);
    let kept = dead(t.store(), 10).unwrap();
    let mut reasons: Vec<&str> = kept.iter().map(|record| record.last_error.as_str()).collect();
    reasons.sort_unstable();
    assert_eq!(
        reasons,
        [
            format!("RESOURCE_NOT_FOUND: Function not found: {function}").as_str(),
            "RESOURCE_NOT_FOUND: the queue does not exist"
        ]
    );

    // Once the queue is there, an operator sends the event again.
    queue(&t, "gone", json!({}));
    let list = t.call("mayfly", "ListDeliveries", &json!({ "State": "Dead" })).unwrap().json();
    let of_queue = |delivery: &&Value| delivery["Target"] == gone;
    let handle = list["Deliveries"].as_array().unwrap().iter().find(of_queue).unwrap()["Handle"].clone();
    t.call("mayfly", "RedriveDelivery", &json!({ "Handle": handle })).unwrap();
    assert_eq!(t.perform_due(), 1);
    assert_eq!(bodies(&t, "gone").len(), 1);
}

#[test]
fn other_buses_fifo_queues_and_log_groups_are_targets_and_chains_end() {
    let t = Bench::seed(1);
    let bus = call(&t, "CreateEventBus", json!({ "Name": "own" }))["EventBusArn"].clone();
    let default = format!("arn:aws:events:us-east-1:{ACCOUNT}:event-bus/default");
    let fifo = queue(&t, "f.fifo", json!({ "FifoQueue": "true", "ContentBasedDeduplication": "true" }));
    t.call("logs", "CreateLogGroup", &json!({ "logGroupName": "/aws/events/all" })).unwrap();
    let group = format!("arn:aws:logs:us-east-1:{ACCOUNT}:log-group:/aws/events/all:*");
    rule(&t, "on", "default", json!({ "source": ["s"] }), json!([{ "Id": "bus", "Arn": bus }]));
    rule(
        &t,
        "all",
        "own",
        json!({ "source": ["s"] }),
        json!([
            { "Id": "fifo", "Arn": fifo, "SqsParameters": { "MessageGroupId": "g" } },
            { "Id": "logs", "Arn": group },
        ]),
    );
    put(&t, &[entry("s", json!({ "n": 1 }))]);
    let message = &received(&t, "f.fifo")[0];
    assert_eq!(message["Attributes"]["MessageGroupId"], "g");
    let events = json!({ "logGroupName": "/aws/events/all" });
    let lines = t.call("logs", "FilterLogEvents", &events).unwrap().json();
    assert_eq!(lines["events"][0]["message"], message["Body"]);

    // A circle of buses ends in a dead delivery instead of never.
    rule(&t, "back", "own", json!({ "source": ["s"] }), json!([{ "Id": "bus", "Arn": default }]));
    put(&t, &[entry("s", json!({ "n": 2 }))]);
    let kept = dead(t.store(), 10).unwrap();
    assert_eq!(kept.len(), 3, "for each of the targets that are too far down the chain");
    assert!(kept.iter().all(|record| record.last_error.starts_with("RECURSIVE_LOOP")));
}

#[test]
fn a_rule_fires_at_its_times_and_never_twice() {
    let t = Bench::seed(1);
    let arn = queue(&t, "q", json!({}));
    call(&t, "PutRule", json!({ "Name": "tick", "ScheduleExpression": "rate(5 minutes)" }));
    call(&t, "PutTargets", json!({ "Rule": "tick", "Targets": [{ "Id": "q", "Arn": arn }] }));
    assert_eq!(t.perform_due(), 0);
    t.advance(Duration::from_secs(299));
    assert_eq!(t.perform_due(), 0);
    t.advance(Duration::from_secs(1));
    assert_eq!((t.perform_due(), t.perform_due()), (1, 0));
    let event: Value = serde_json::from_str(&bodies(&t, "q")[0]).unwrap();
    assert_eq!((&event["detail-type"], &event["source"]), (&json!("Scheduled Event"), &json!("aws.events")));
    assert_eq!((&event["time"], &event["detail"]), (&json!("2026-01-01T00:05:00Z"), &json!({})));
    assert_eq!(event["resources"], json!([format!("arn:aws:events:us-east-1:{ACCOUNT}:rule/tick")]));

    // An hour in which nothing ran is made up for once, and the clock goes on from there.
    t.advance(Duration::from_secs(3700));
    assert_eq!(t.perform_due(), 1);
    assert_eq!(bodies(&t, "q").len(), 1);
    assert_eq!(t.next_due(), Some(t.now() + Duration::from_secs(300)));
    // The same rule again leaves the timer alone, another schedule does not.
    call(
        &t,
        "PutRule",
        json!({ "Name": "tick", "ScheduleExpression": "rate(5 minutes)", "Description": "d" }),
    );
    assert_eq!(t.next_due(), Some(t.now() + Duration::from_secs(300)));
    call(&t, "PutRule", json!({ "Name": "tick", "ScheduleExpression": "cron(0 12 * * ? *)" }));
    assert_eq!(lanes(t.store()).unwrap().len(), 1);
    t.advance(Duration::from_secs(3600));
    assert_eq!(t.perform_due(), 0);
    call(&t, "DisableRule", json!({ "Name": "tick" }));
    assert_eq!(t.next_due(), None);
    call(&t, "EnableRule", json!({ "Name": "tick" }));
    call(&t, "RemoveTargets", json!({ "Rule": "tick", "Ids": ["q"] }));
    call(&t, "DeleteRule", json!({ "Name": "tick" }));
    assert_eq!(t.next_due(), None);
}

#[test]
fn archived_events_are_replayed_once_for_the_rules_that_are_named() {
    let t = Bench::seed(1);
    let (one, two) = (queue(&t, "one", json!({})), queue(&t, "two", json!({})));
    rule(&t, "one", "default", json!({ "source": ["s"] }), json!([{ "Id": "q", "Arn": one }]));
    rule(&t, "two", "default", json!({ "source": ["s"] }), json!([{ "Id": "q", "Arn": two }]));
    let bus = format!("arn:aws:events:us-east-1:{ACCOUNT}:event-bus/default");
    let pattern = r#"{"detail":{"keep":[true]}}"#;
    let archive =
        json!({ "ArchiveName": "a", "EventSourceArn": bus, "EventPattern": pattern, "RetentionDays": 1 });
    let archive = call(&t, "CreateArchive", archive)["ArchiveArn"].clone();
    let from = t.now().secs();
    for n in 0..100 {
        put(&t, &[entry("s", json!({ "keep": true, "n": n })), entry("s", json!({ "keep": false }))]);
        t.advance(Duration::from_secs(1));
    }
    let shown = call(&t, "DescribeArchive", json!({ "ArchiveName": "a" }));
    assert_eq!(shown["EventCount"], 100);
    for name in ["one", "two"] {
        t.call("sqs", "PurgeQueue", &json!({ "QueueUrl": format!("http://x/{ACCOUNT}/{name}") })).unwrap();
    }
    let named = format!("arn:aws:events:us-east-1:{ACCOUNT}:rule/one");
    let replay = json!({ "ReplayName": "r", "EventSourceArn": archive, "EventStartTime": from + 10,
        "EventEndTime": from + 90, "Destination": { "Arn": bus, "FilterArns": [named] } });
    assert_eq!(call(&t, "StartReplay", replay.clone())["State"], "STARTING");
    assert_eq!(refused(&t, "StartReplay", replay).code, "ResourceAlreadyExistsException");
    assert_eq!(t.perform_due(), 2, "two steps");
    assert_eq!(call(&t, "DescribeReplay", json!({ "ReplayName": "r" }))["State"], "COMPLETED");
    let mut numbers = Vec::new();
    loop {
        let page = bodies(&t, "one");
        if page.is_empty() {
            break;
        }
        for body in page {
            let event: Value = serde_json::from_str(&body).unwrap();
            assert_eq!(event["replay-name"], "r");
            numbers.push(event["detail"]["n"].as_u64().unwrap());
        }
    }
    numbers.sort_unstable();
    assert_eq!(numbers, (10..90).collect::<Vec<u64>>());
    assert!(bodies(&t, "two").is_empty());

    // Retention and deletion take the events away.
    t.advance(Duration::from_secs(86_400 - 50));
    let expired = t.run(|cx| super::expire(cx, 1000));
    assert_eq!(call(&t, "DescribeArchive", json!({ "ArchiveName": "a" }))["EventCount"], 100 - expired);
    assert!((49..=51).contains(&expired), "{expired}");
    call(&t, "DeleteArchive", json!({ "ArchiveName": "a" }));
    while t.run(|cx| super::expire(cx, 1000)) > 0 {}
    assert!(t.run(|cx| Ok(super::keys::ARCHIVED.scan(cx.tx, mayfly_store::Scan::all(1))?)).is_empty());
}

#[test]
fn a_change_of_a_rule_is_met_by_the_next_event() {
    let t = Bench::seed(1);
    let arn = queue(&t, "q", json!({}));
    rule(&t, "r", "default", json!({ "source": ["a"] }), json!([{ "Id": "q", "Arn": arn }]));
    for (pattern, source, told) in [("a", "a", 1), ("b", "a", 0), ("b", "b", 1), ("a", "b", 0)] {
        let pattern = json!({ "source": [pattern] }).to_string();
        call(&t, "PutRule", json!({ "Name": "r", "EventPattern": pattern }));
        put(&t, &[entry(source, json!({}))]);
        assert_eq!(bodies(&t, "q").len(), told);
    }
    // Whatever a bus is compiled from counts: its targets, whether a rule is on,.
    let event = |told: usize| {
        put(&t, &[entry("a", json!({}))]);
        assert_eq!(bodies(&t, "q").len(), told);
    };
    event(1);
    call(&t, "DisableRule", json!({ "Name": "r" }));
    event(0);
    call(&t, "EnableRule", json!({ "Name": "r" }));
    event(1);
    call(&t, "PutTargets", json!({ "Rule": "r", "Targets": [{ "Id": "two", "Arn": arn }] }));
    event(2);
    call(&t, "RemoveTargets", json!({ "Rule": "r", "Ids": ["q", "two"] }));
    event(0);
    call(&t, "DeleteRule", json!({ "Name": "r" }));
    event(0);
}

#[test]
fn a_change_of_one_bus_leaves_the_others_compiled() {
    let t = Bench::seed(1);
    let arn = queue(&t, "q", json!({}));
    call(&t, "CreateEventBus", json!({ "Name": "other" }));
    rule(&t, "r", "default", json!({ "source": ["a"] }), json!([{ "Id": "q", "Arn": arn }]));
    let key = |bus: &str| (ACCOUNT.to_owned(), "us-east-1".to_owned(), bus.to_owned());
    let compiled = |bus: &str| t.run(|cx| super::route::compiled(cx, &key(bus))).expect("a bus");
    let (default, other) = (compiled("default"), compiled("other"));
    rule(&t, "r", "other", json!({ "source": ["a"] }), json!([{ "Id": "q", "Arn": arn }]));
    assert!(std::sync::Arc::ptr_eq(&default, &compiled("default")));
    assert!(!std::sync::Arc::ptr_eq(&other, &compiled("other")));
}

#[test]
fn a_chain_that_is_cut_is_told_of_once_in_a_minute() {
    let t = Bench::seed(1);
    let arn = queue(&t, "alarms", json!({}));
    let bus = format!("arn:aws:events:us-east-1:{ACCOUNT}:event-bus/default");
    rule(&t, "loop", "default", json!({ "source": ["shop"] }), json!([{ "Id": "b", "Arn": bus }]));
    rule(&t, "alarm", "default", json!({ "source": ["mayfly"] }), json!([{ "Id": "q", "Arn": arn }]));
    for (pause_s, told) in [(0, 1), (30, 0), (31, 1)] {
        t.advance(Duration::from_secs(pause_s));
        put(&t, &[entry("shop", json!({}))]);
        let events = bodies(&t, "alarms");
        assert_eq!(events.len(), told);
        for event in events {
            let event: Value = serde_json::from_str(&event).unwrap();
            assert_eq!(
                (&event["detail-type"], &event["detail"]["resource"]),
                (&json!("Event Chain Cut"), &json!(bus))
            );
            assert_eq!(event["detail"]["depth"], 17);
        }
    }
}

#[test]
fn a_bus_policy_is_made_of_statements() {
    let t = Bench::seed(1);
    let statement = |id: &str, principal: &str| json!({ "Action": "events:PutEvents", "Principal": principal, "StatementId": id });
    call(&t, "PutPermission", statement("all", "*"));
    call(&t, "PutPermission", statement("one", "111122223333"));
    let policy = || -> Value {
        let shown = call(&t, "DescribeEventBus", json!({}));
        serde_json::from_str(shown["Policy"].as_str().unwrap_or("{}")).unwrap()
    };
    assert_eq!(policy()["Statement"][1]["Principal"]["AWS"], "arn:aws:iam::111122223333:root");
    assert_eq!(refused(&t, "PutPermission", statement("x", "somebody")).code, "ValidationException");
    call(&t, "RemovePermission", json!({ "StatementId": "all" }));
    assert_eq!(policy()["Statement"].as_array().unwrap().len(), 1);
    assert_eq!(
        refused(&t, "RemovePermission", json!({ "StatementId": "x" })).code,
        "ResourceNotFoundException"
    );
    call(&t, "RemovePermission", json!({ "RemoveAllPermissions": true }));
    assert_eq!(policy(), json!({}));
}
