//! Pipes through their operations, and round by round as the binary runs them.

use crate::fabric::{dead, lanes};
use crate::lambda::mappings::Record;
use crate::readers::{Errand, Passage, Reader};
use crate::testing::Bench;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use mayfly_kernel::Fault;
use serde_json::{Value, json};
use std::time::Duration;

const ACCOUNT: &str = "000000000000";
const ROLE: &str = "arn:aws:iam::000000000000:role/any";

fn arn(name: &str) -> String {
    format!("arn:aws:sqs:us-east-1:{ACCOUNT}:{name}")
}

fn call(t: &Bench, service: &str, operation: &str, input: Value) -> Value {
    t.call(service, operation, &input).unwrap_or_else(|fault| panic!("{operation}: {fault}")).json()
}

fn queue(t: &Bench, name: &str) -> String {
    let fifo = json!({ "FifoQueue": "true", "ContentBasedDeduplication": "true" });
    let attributes = if name.ends_with(".fifo") { fifo } else { json!({}) };
    call(t, "sqs", "CreateQueue", json!({ "QueueName": name, "Attributes": attributes }));
    arn(name)
}

fn send(t: &Bench, name: &str, body: Value, more: Value) {
    let mut input = json!({ "QueueUrl": format!("/{ACCOUNT}/{name}"), "MessageBody": body.to_string() });
    input.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    call(t, "sqs", "SendMessage", input);
}

fn received(t: &Bench, name: &str) -> Vec<Value> {
    let input = json!({ "QueueUrl": format!("/{ACCOUNT}/{name}"), "MaxNumberOfMessages": 10,
        "VisibilityTimeout": 0, "AttributeNames": ["All"] });
    call(t, "sqs", "ReceiveMessage", input)["Messages"].as_array().cloned().unwrap_or_default()
}

fn bodies(t: &Bench, name: &str) -> Vec<Value> {
    let read = |message: &Value| serde_json::from_str(message["Body"].as_str().unwrap());
    received(t, name)
        .iter()
        .map(|message| read(message).unwrap_or_else(|_| message["Body"].clone()))
        .collect()
}

fn http(t: &Bench, request: &str, body: &Value) -> Result<Value, Fault> {
    t.http("pipes", request, &[], body.to_string()).map(|answer| answer.json())
}

/// A pipe with these settings that does as it was told.
fn pipe(t: &Bench, source: &str, target: &str, more: Value) -> Reader {
    let mut input = json!({ "Source": source, "Target": target, "RoleArn": ROLE });
    input.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    let made = http(t, "POST /v1/pipes/p", &input).unwrap();
    assert_eq!((&made["CurrentState"], &made["DesiredState"]), (&json!("CREATING"), &json!("RUNNING")));
    let reader = Reader::Pipe((ACCOUNT.into(), "us-east-1".into(), "p".into()));
    adopt(t, &reader);
    reader
}

fn adopt(t: &Bench, reader: &Reader) {
    let plan = t.run(|cx| reader.plan(cx)).expect("a plan");
    t.run(|cx| reader.adopted(cx, plan.unsettled.expect("news")));
}

/// One batch on its way, its errands answered so; how many messages it had, and how many are left.
fn round(t: &Bench, reader: &Reader, answer: impl Fn(&Errand) -> Value) -> (usize, usize) {
    let step = t.run(|cx| reader.take(cx, 10, u64::MAX));
    let Some(lease) = step.lease.filter(|_| !step.messages.is_empty()) else { return (0, 0) };
    let mut batch = t.run(|cx| reader.batch(cx, step.messages.clone(), lease)).expect("a batch");
    let mut errand = batch.errand().unwrap();
    loop {
        errand = match &errand {
            Errand::Settle => return (step.messages.len(), t.run(|cx| batch.settle(cx))),
            Errand::GiveUp(_) => return (step.messages.len(), step.messages.len()),
            asked => batch.go_on(answer(asked).to_string().into_bytes()).unwrap(),
        };
    }
}

fn nobody(errand: &Errand) -> Value {
    panic!("nothing outside is asked for, but {errand:?}")
}

fn function(t: &Bench, name: &str) -> String {
    let code = json!({ "ZipFile": "UEsFBgAAAAAAAAAAAAAAAAAAAAAAAA==" });
    let input = json!({ "FunctionName": name, "Runtime": "python3.11", "Handler": "a.b", "Role": ROLE, "Code": code });
    t.http("lambda", "POST /2015-03-31/functions", &[], input.to_string()).unwrap();
    format!("arn:aws:lambda:us-east-1:{ACCOUNT}:function:{name}")
}

#[test]
fn what_the_filter_wants_comes_to_the_target_in_the_commit_that_deletes_it() {
    let t = Bench::seed(1);
    let (source, target) = (queue(&t, "in"), queue(&t, "out.fifo"));
    let reader = pipe(
        &t,
        &source,
        &target,
        json!({
            "SourceParameters": { "FilterCriteria": { "Filters": [{ "Pattern": r#"{"body":{"total":[{"numeric":[">",5]}]}}"# }] } },
            "TargetParameters": {
                "InputTemplate": r#"{"total": <$.body.total>, "by": "<aws.pipes.pipe-name>"}"#,
                "SqsQueueParameters": { "MessageGroupId": "$.body.shop", "MessageDeduplicationId": "$.messageId" },
            },
        }),
    );
    for total in [1, 7, 8] {
        send(&t, "in", json!({ "total": total, "shop": "s1" }), json!({}));
    }
    assert_eq!(round(&t, &reader, nobody), (2, 0));
    let got = received(&t, "out.fifo");
    assert_eq!(got[0]["Attributes"]["MessageGroupId"], "s1");
    let mut made = bodies(&t, "out.fifo");
    made.sort_by_key(|body| body["total"].as_u64());
    assert_eq!(made, [json!({ "total": 7, "by": "p" }), json!({ "total": 8, "by": "p" })]);
    t.advance(Duration::from_secs(31));
    assert_eq!(round(&t, &reader, nobody), (0, 0), "what nobody wants is gone too");

    // What the target does not take stays, and nothing else does.
    send(&t, "in", json!({ "total": 9 }), json!({}));
    send(&t, "in", json!({ "total": 10, "shop": "s1" }), json!({}));
    assert_eq!(round(&t, &reader, nobody), (2, 1));
    assert_eq!(bodies(&t, "out.fifo").len(), 3);
    t.advance(Duration::from_secs(31));
    assert_eq!(round(&t, &reader, nobody), (1, 1));
}

#[test]
fn a_bus_a_log_group_and_a_function_get_what_is_documented() {
    let t = Bench::seed(1);
    let (source, told) = (queue(&t, "in"), queue(&t, "told"));
    call(&t, "events", "PutRule", json!({ "Name": "r", "EventPattern": r#"{"source":["Pipe p"]}"# }));
    call(&t, "events", "PutTargets", json!({ "Rule": "r", "Targets": [{ "Id": "t", "Arn": told }] }));
    let bus = format!("arn:aws:events:us-east-1:{ACCOUNT}:event-bus/default");
    let reader = pipe(
        &t,
        &source,
        &bus,
        json!({ "TargetParameters": { "InputTemplate": "<$.body>",
        "EventBridgeEventBusParameters": { "Resources": ["$.body.id"], "Time": "$.body.at" } } }),
    );
    let body = json!({ "id": "o1", "at": "2025-05-05T05:05:05Z" });
    send(&t, "in", body.clone(), json!({}));
    send(&t, "in", json!("no object"), json!({}));
    assert_eq!(round(&t, &reader, nobody), (2, 1));
    let [event] = &bodies(&t, "told")[..] else { panic!("one event") };
    assert_eq!((&event["detail-type"], &event["detail"]), (&json!("Event from aws:sqs"), &body));
    assert_eq!((&event["resources"], &event["time"]), (&json!(["o1"]), &json!("2025-05-05T05:05:05Z")));

    let change = |input: Value| {
        let mut input = input;
        input["RoleArn"] = json!(ROLE);
        http(&t, "PUT /v1/pipes/p", &input).unwrap();
        adopt(&t, &reader);
        t.advance(Duration::from_secs(31));
    };
    call(&t, "logs", "CreateLogGroup", json!({ "logGroupName": "lines" }));
    let group = format!("arn:aws:logs:us-east-1:{ACCOUNT}:log-group:lines");
    change(json!({ "Target": group, "TargetParameters": { "InputTemplate": "of <$.body>",
        "CloudWatchLogsParameters": { "LogStreamName": "orders" } } }));
    assert_eq!(round(&t, &reader, nobody), (1, 0));
    let lines =
        call(&t, "logs", "GetLogEvents", json!({ "logGroupName": "lines", "logStreamName": "orders" }));
    assert_eq!(lines["events"][0]["message"], "of \"no object\"");

    let f = function(&t, "f");
    change(json!({ "Target": f, "TargetParameters": {
        "LambdaFunctionParameters": { "InvocationType": "FIRE_AND_FORGET" } } }));
    send(&t, "in", json!(1), json!({}));
    send(&t, "in", json!(2), json!({}));
    assert_eq!(round(&t, &reader, nobody), (2, 0));
    let lane = format!("function {f}");
    let record = t.run(|cx| crate::fabric::claim(cx, t.store(), &lane, 2)).pop().expect("an invocation");
    let events: Value = serde_json::from_slice(&record.payload).unwrap();
    assert_eq!(events.as_array().unwrap().len(), 2);
    assert_eq!(events[0]["eventSource"], "aws:sqs");
}

#[test]
fn an_enrichment_decides_what_the_target_gets_and_a_function_what_it_has_done() {
    let t = Bench::seed(1);
    let (source, target) = (queue(&t, "in"), queue(&t, "out"));
    let enrich = function(&t, "enrich");
    let reader = pipe(
        &t,
        &source,
        &target,
        json!({ "Enrichment": enrich,
        "EnrichmentParameters": { "InputTemplate": r#"{"n": <$.body>}"# } }),
    );
    let doubled = |errand: &Errand| match errand {
        Errand::Invoke { event, .. } => {
            let events: Value = serde_json::from_slice(event).unwrap();
            let of = |event: &Value| event["n"].as_u64().unwrap() * 2;
            events.as_array().unwrap().iter().map(of).collect::<Vec<_>>().into()
        }
        other => panic!("{other:?}"),
    };
    send(&t, "in", json!(1), json!({}));
    send(&t, "in", json!(2), json!({}));
    assert_eq!(round(&t, &reader, doubled), (2, 0));
    let mut got = bodies(&t, "out");
    got.sort_by_key(Value::as_u64);
    assert_eq!(got, [json!(2), json!(4)]);
    for nothing in [json!(null), json!([]), json!({}), json!("")] {
        send(&t, "in", json!(1), json!({}));
        assert_eq!(round(&t, &reader, |_| nothing.clone()), (1, 0), "{nothing}");
    }
    assert_eq!(bodies(&t, "out").len(), 2, "and the target was not called");
    send(&t, "in", json!(1), json!({}));
    let many: Value = (0..11).collect::<Vec<_>>().into();
    assert_eq!(round(&t, &reader, |_| many.clone()), (1, 1), "more than a queue takes at once");

    let f = function(&t, "f");
    let change = json!({ "Enrichment": "", "Target": f, "RoleArn": ROLE });
    http(&t, "PUT /v1/pipes/p", &change).unwrap();
    adopt(&t, &reader);
    t.advance(Duration::from_secs(31));
    send(&t, "in", json!(2), json!({}));
    let fails_first = |errand: &Errand| match errand {
        Errand::Invoke { event, .. } => {
            let events: Value = serde_json::from_slice(event).unwrap();
            json!({ "batchItemFailures": [{ "itemIdentifier": events[0]["messageId"] }] })
        }
        other => panic!("{other:?}"),
    };
    assert_eq!(round(&t, &reader, fails_first), (2, 1));
    t.advance(Duration::from_secs(31));
    assert_eq!(round(&t, &reader, |_| json!({ "fine": true })), (1, 0));
}

#[test]
fn a_fifo_queue_keeps_its_order_past_what_the_target_does_not_take() {
    let t = Bench::seed(1);
    let (source, target) = (queue(&t, "in.fifo"), queue(&t, "out.fifo"));
    let group = json!({ "SqsQueueParameters": { "MessageGroupId": "$.body.to", "MessageDeduplicationId": "$.messageId" } });
    let reader = pipe(&t, &source, &target, json!({ "TargetParameters": group }));
    for (n, to) in [(1, "g"), (2, ""), (3, "g")] {
        send(&t, "in.fifo", json!({ "n": n, "to": to }), json!({ "MessageGroupId": "g" }));
    }
    assert_eq!(round(&t, &reader, nobody), (3, 2), "nothing overtakes the second one");
    assert_eq!(bodies(&t, "out.fifo").len(), 1);
}

#[test]
fn a_chain_through_pipes_is_cut_and_kept() {
    let t = Bench::seed(1);
    let source = queue(&t, "in");
    // What it brings stays as long as it is: by itself a record is longer than the message that it is of.
    let same = json!({ "TargetParameters": { "InputTemplate": "<$.body>" } });
    let reader = pipe(&t, &source, &source, same);
    send(&t, "in", json!({}), json!({}));
    let mut rounds = 0;
    while round(&t, &reader, nobody).0 > 0 {
        rounds += 1;
    }
    assert_eq!(rounds, mayfly_kernel::Limits::default().delivery_depth);
    assert!(dead(t.store(), 2).unwrap()[0].last_error.starts_with("Recursive loop"));
    assert!(lanes(t.store()).unwrap().is_empty());
}

#[test]
fn a_pipe_goes_from_state_to_state_and_bad_ones_are_refused() {
    let t = Bench::seed(1);
    let (source, target) = (queue(&t, "in"), queue(&t, "out"));
    let reader = pipe(&t, &source, &target, json!({ "Tags": { "k": "v" }, "Description": "d" }));
    let shown = http(&t, "GET /v1/pipes/p", &json!({})).unwrap();
    assert_eq!((&shown["CurrentState"], &shown["Tags"]["k"]), (&json!("RUNNING"), &json!("v")));
    assert_eq!(shown["SourceParameters"]["SqsQueueParameters"]["BatchSize"], 10);
    assert_eq!(http(&t, "POST /v1/pipes/p/start", &json!({})).unwrap_err().code, "ConflictException");
    let stopping = http(&t, "POST /v1/pipes/p/stop", &json!({})).unwrap();
    assert_eq!(
        (&stopping["CurrentState"], &stopping["DesiredState"]),
        (&json!("STOPPING"), &json!("STOPPED"))
    );
    assert_eq!(http(&t, "POST /v1/pipes/p/start", &json!({})).unwrap_err().status, 409);
    assert!(!t.run(|cx| reader.plan(cx)).unwrap().runs);
    adopt(&t, &reader);
    assert!(Reader::unfinished(t.store()).unwrap().is_empty());
    assert_eq!(http(&t, "POST /v1/pipes/p/start", &json!({})).unwrap()["CurrentState"], "STARTING");
    adopt(&t, &reader);
    let listed =
        http(&t, "GET /v1/pipes?NamePrefix=p&DesiredState=RUNNING&CurrentState=RUNNING", &json!({})).unwrap();
    assert_eq!(listed["Pipes"][0]["Source"], source);
    let tags = format!("/tags/arn:aws:pipes:us-east-1:{ACCOUNT}:pipe%2Fp");
    http(&t, &format!("POST {tags}"), &json!({ "tags": { "a": "b" } })).unwrap();
    http(&t, &format!("DELETE {tags}?tagKeys=k"), &json!({})).unwrap();
    assert_eq!(http(&t, &format!("GET {tags}"), &json!({})).unwrap(), json!({ "tags": { "a": "b" } }));

    let create = |name: &str, more: Value| {
        let mut input = json!({ "Source": source, "Target": target, "RoleArn": ROLE });
        input.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        http(&t, &format!("POST /v1/pipes/{name}"), &input)
    };
    assert_eq!(create("p", json!({})).unwrap_err().code, "ConflictException");
    let batch = |size: u32| json!({ "SourceParameters": { "SqsQueueParameters": { "BatchSize": size } } });
    let bad = [
        (json!({ "Source": arn("missing") }), "ValidationException"),
        (json!({ "Source": "arn:aws:kinesis:us-east-1:000000000000:stream/s" }), "NotImplemented"),
        (json!({ "Source": "arn:aws:mq:us-east-1:000000000000:broker:b:1" }), "NotImplemented"),
        (json!({ "Source": "smk://kafka-1:9092,kafka-2:9092" }), "ValidationException"),
        (json!({ "Target": "arn:aws:states:us-east-1:000000000000:stateMachine:s" }), "NotImplemented"),
        (json!({ "Target": "arn:aws:lambda:us-east-1:000000000000:function:none" }), "ValidationException"),
        (json!({ "Target": arn("x.fifo") }), "ValidationException"),
        (json!({ "RoleArn": "nobody" }), "ValidationException"),
        (json!({ "TargetParameters": { "InputTemplate": "<aws.pipes.none>" } }), "ValidationException"),
        (json!({ "TargetParameters": { "LambdaFunctionParameters": {} } }), "ValidationException"),
        (json!({ "EnrichmentParameters": { "InputTemplate": "x" } }), "ValidationException"),
        (
            json!({ "SourceParameters": { "FilterCriteria": { "Filters": [{ "Pattern": "{" }] } } }),
            "ValidationException",
        ),
        (batch(11), "ValidationException"),
        (batch(0), "ValidationException"),
    ];
    for (more, code) in bad {
        assert_eq!(create("q", more.clone()).unwrap_err().code, code, "{more}");
    }
    http(&t, "DELETE /v1/pipes/p", &json!({})).unwrap();
    assert_eq!(http(&t, "DELETE /v1/pipes/p", &json!({})).unwrap_err().code, "ConflictException");
    adopt(&t, &reader);
    assert_eq!(http(&t, "GET /v1/pipes/p", &json!({})).unwrap_err().code, "NotFoundException");
}

fn record(n: u64) -> Record {
    // `{"n": …}` in base64, as Kafka's events have it.
    let value = STANDARD.encode(json!({ "n": n }).to_string());
    let shape = json!({ "topic": "t", "partition": 0, "offset": n, "key": null, "value": value });
    Record { id: format!("t-0-{n}"), at: None, shape, bytes: 100 }
}

#[test]
fn records_of_a_broker_go_to_the_target_and_a_new_pipe_of_the_name_begins_anew() {
    let t = Bench::seed(1);
    let out = queue(&t, "out");
    let kafka = json!({ "TopicName": "t", "AdditionalBootstrapServers": ["b:1"] });
    let filter = json!({ "Filters": [{ "Pattern": r#"{"value":{"n":[{"numeric":["<",9]}]}}"# }] });
    let reader = pipe(
        &t,
        "smk://a:9092",
        &out,
        json!({
            "SourceParameters": { "SelfManagedKafkaParameters": kafka, "FilterCriteria": filter },
            "TargetParameters": { "InputTemplate": r#"{"n": <$.value.n>, "of": "<$.eventSourceKey>"}"# },
        }),
    );
    let sink = t.run(|cx| reader.sink(cx)).expect("it reads a broker");
    let servers: Vec<String> = sink.source().endpoints.iter().map(|one| one.authority()).collect();
    assert_eq!(servers, ["a:9092", "b:1"]);
    assert_eq!((sink.wants(&record(8)), sink.wants(&record(9))), (true, false));

    let Reader::Pipe(key) = &reader else { unreachable!("it is a pipe") };
    let (first, second) = (record(1), record(2));
    let mut passage = t.run(|cx| Passage::begin(cx, key, "t-0", &[&first, &second])).expect("it is there");
    assert!(matches!(passage.errand().unwrap(), Errand::Settle));
    let done = t.run(|cx| {
        let done = passage.settle(cx)?;
        reader.advance(cx, "t-0", 3)?;
        Ok(done)
    });
    assert_eq!(done, 2);
    let mut brought = bodies(&t, "out");
    brought.sort_by_key(|body| body["n"].as_u64());
    assert_eq!(brought, [json!({ "n": 1, "of": "t-0" }), json!({ "n": 2, "of": "t-0" })]);
    assert_eq!(t.run(|cx| reader.cursor(cx, "t-0")), Some(3));

    t.run(|cx| reader.note(cx, "PROBLEM: it is down"));
    let shown = |t: &Bench| http(t, "GET /v1/pipes/p", &json!({})).unwrap()["StateReason"].clone();
    assert_eq!(shown(&t), "PROBLEM: it is down");
    assert!(t.run(|cx| reader.recovered(cx)));
    assert_eq!(shown(&t), "USER_INITIATED");
    let change = |kafka: Value| {
        let parameters = json!({ "SelfManagedKafkaParameters": kafka });
        http(&t, "PUT /v1/pipes/p", &json!({ "RoleArn": ROLE, "SourceParameters": parameters }))
    };
    assert!(change(json!({ "TopicName": "u" })).unwrap_err().message.contains("TopicName cannot be changed"));
    change(json!({ "BatchSize": 2 })).unwrap();
    adopt(&t, &reader);
    let sink = t.run(|cx| reader.sink(cx)).expect("it is there");
    assert_eq!((sink.source().topic.as_str(), sink.wants(&record(9))), ("t", false), "what is read stays");

    http(&t, "DELETE /v1/pipes/p", &json!({})).unwrap();
    adopt(&t, &reader);
    assert_eq!(t.run(|cx| reader.cursor(cx, "t-0")), None);
    t.run(|cx| reader.advance(cx, "t-0", 4));
    assert_eq!(t.run(|cx| reader.cursor(cx, "t-0")), None, "there is no such pipe");
}
