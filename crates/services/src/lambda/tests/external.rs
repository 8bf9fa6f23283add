//! What a mapping of an external source asks for, which records it wants, and what becomes of those it gives
//! up.

use super::{ARN, Cloud};
use crate::lambda::mappings::{self, Contract, Loss, Lost, Record};
use crate::readers::{Key, Reader};
use mayfly_kernel::Time;
use serde_json::{Value, json};

const PATH: &str = "/2015-03-31/event-source-mappings";

fn asked(settings: Value) -> Value {
    let input = json!({
        "FunctionName": "f",
        "SelfManagedEventSource": { "Endpoints": { "KAFKA_BOOTSTRAP_SERVERS": ["a:1", "b:2"] } },
        "Topics": ["t"],
        "StartingPosition": "LATEST",
    });
    super::with(input, settings)
}

fn with_mapping(settings: Value) -> (Cloud, Key, Contract) {
    let cloud = Cloud::with_function();
    let made = cloud.ok(&format!("POST {PATH}"), &asked(settings));
    let id = made["UUID"].as_str().unwrap().to_owned();
    let key = ("000000000000".to_owned(), "us-east-1".to_owned(), id);
    let contract = cloud.0.run(|cx| mappings::contract(cx, &key)).unwrap();
    (cloud, key, contract)
}

fn record(id: &str, value: &str) -> Record {
    use base64::Engine as _;
    let value = base64::engine::general_purpose::STANDARD.encode(value);
    Record {
        id: id.into(),
        at: Some(Time::from_ms(5)),
        shape: json!({ "topic": "t", "value": value }),
        bytes: 10,
    }
}

#[test]
fn filters_see_what_is_in_base64() {
    let pattern = json!({ "value": { "price": [{ "numeric": [">", 5] }] } }).to_string();
    let (_, _, contract) = with_mapping(json!({ "FilterCriteria": { "Filters": [{ "Pattern": pattern }] } }));
    let wants = |value| contract.wants(&record("1", value));
    assert!(wants(r#"{"price": 6}"#));
    assert!(!wants(r#"{"price": 5}"#) && !wants("price 6") && !wants(""));
}

#[test]
fn all_before_the_first_reported_record_is_done() {
    let (_, _, contract) = with_mapping(json!({ "FunctionResponseTypes": ["ReportBatchItemFailures"] }));
    let records = [record("1", "a"), record("2", "b"), record("3", "c")];
    let done = |ids: &[&str]| {
        let failures: Vec<Value> = ids.iter().map(|id| json!({ "itemIdentifier": id })).collect();
        let answer = json!({ "batchItemFailures": failures }).to_string();
        contract.done(records.iter(), answer.as_bytes())
    };
    assert_eq!((done(&[]), done(&["3"]), done(&["3", "2"]), done(&["1"])), (3, 2, 1, 0));
    assert_eq!(done(&["3", "9"]), 0, "a record that is not there");
    assert_eq!(contract.done(records.iter(), b"odd"), 0);
}

#[test]
fn what_is_given_up_is_kept_with_its_cursor_unless_its_destination_takes_it() {
    let (cloud, key, contract) = with_mapping(json!({}));
    let records = [record("t-0-7", "a"), record("t-0-8", "b")];
    let all: Vec<&Record> = records.iter().collect();
    let give_up = |contract: &Contract| {
        cloud.0.run(|cx| {
            let lost = Lost {
                line: "t-0",
                records: &all,
                loss: Loss::RetriesExhausted,
                request_id: "r",
                attempts: 3,
            };
            mappings::gave_up(cx, contract, lost)?;
            mappings::advance(cx, &key, "t-0", 9)
        });
    };
    give_up(&contract);
    let dead = crate::fabric::dead(cloud.0.store(), 10).unwrap();
    assert_eq!((dead[0].arn.as_str(), dead[0].last_error.as_str()), (ARN, "the function has failed 3 times"));
    let event: Value = serde_json::from_slice(&dead[0].payload).unwrap();
    assert_eq!(event["bootstrapServers"], "a:1,b:2");
    assert_eq!(event["records"]["t-0"].as_array().unwrap().len(), 2);
    assert_eq!(cloud.0.run(|cx| mappings::cursor(cx, &key, "t-0")), Some(9));

    cloud.0.call("sqs", "CreateQueue", &json!({ "QueueName": "q" })).unwrap();
    let queue = "arn:aws:sqs:us-east-1:000000000000:q";
    let reader = Reader::Mapping(key.clone());
    let plan = cloud.0.run(|cx| reader.plan(cx)).unwrap();
    cloud.0.run(|cx| reader.adopted(cx, plan.unsettled.unwrap()));
    let change = json!({ "DestinationConfig": { "OnFailure": { "Destination": queue } } });
    cloud.ok(&format!("PUT {PATH}/{}", key.2), &change);
    let contract = cloud.0.run(|cx| mappings::contract(cx, &key)).unwrap();
    give_up(&contract);
    assert_eq!(crate::fabric::dead(cloud.0.store(), 10).unwrap().len(), 1);
    let got =
        cloud.0.call("sqs", "ReceiveMessage", &json!({ "QueueUrl": "/000000000000/q" })).unwrap().json();
    let told: Value = serde_json::from_str(got["Messages"][0]["Body"].as_str().unwrap()).unwrap();
    assert_eq!(told["KafkaBatchInfo"]["recordInfo"]["t-0"]["lastRecordId"], "t-0-8");
    assert_eq!(told["payload"], event);
}

#[test]
fn a_mapping_that_goes_leaves_no_cursor_and_none_is_written_after_it() {
    let (cloud, key, _) = with_mapping(json!({}));
    cloud.0.run(|cx| mappings::advance(cx, &key, "t-0", 9));
    cloud.0.run(|cx| mappings::note(cx, &key, "OK"));
    let path = format!("{PATH}/{}", key.2);
    assert_eq!(cloud.get(&path)["LastProcessingResult"], "OK");
    let reader = Reader::Mapping(key.clone());
    let settle = || {
        let plan = cloud.0.run(|cx| reader.plan(cx)).unwrap();
        cloud.0.run(|cx| reader.adopted(cx, plan.unsettled.unwrap()));
        plan
    };
    settle();
    cloud.ok(&format!("DELETE {path}"), &Value::Null);
    assert!(settle().ends);
    assert_eq!(cloud.0.run(|cx| mappings::cursor(cx, &key, "t-0")), None);
    cloud.0.run(|cx| mappings::advance(cx, &key, "t-0", 10));
    assert_eq!(cloud.0.run(|cx| mappings::cursor(cx, &key, "t-0")), None);
}

#[test]
fn a_function_reads_a_source_once_and_what_is_fixed_stays() {
    let (cloud, key, _) = with_mapping(json!({}));
    assert_eq!(cloud.refusal(&format!("POST {PATH}"), &asked(json!({}))).0, "ResourceConflictException");
    cloud.ok(&format!("POST {PATH}"), &asked(json!({ "Topics": ["other"] })));
    let refused = cloud.refusal(&format!("PUT {PATH}/{}", key.2), &json!({ "Topics": ["u"] }));
    assert!(refused.1.contains("cannot be changed") || refused.0 == "ResourceInUseException", "{refused:?}");
}
