use super::keys::EVENTS;
use super::{Line, append, expire};
use crate::testing::Bench;
use mayfly_kernel::Time;
use mayfly_store::Scan;
use serde_json::{Value, json};
use std::time::Duration;

const GROUP: &str = "/aws/lambda/thumb";

fn logs(bench: &Bench, operation: &str, input: Value) -> Value {
    bench.call("logs", operation, &input).unwrap_or_else(|fault| panic!("{operation}: {fault}")).json()
}

fn write(bench: &Bench, stream: &str, messages: &[&str]) {
    let lines: Vec<Line> =
        messages.iter().map(|message| Line { at: bench.now(), message: (*message).into() }).collect();
    bench.run(|cx| append(cx, GROUP, stream, &lines));
}

fn messages(answer: &Value) -> Vec<&str> {
    answer["events"].as_array().unwrap().iter().map(|event| event["message"].as_str().unwrap()).collect()
}

#[test]
fn the_platforms_lines_are_read_in_order_in_both_directions() {
    let bench = Bench::seed(1);
    write(&bench, "one", &["a", "b", "c"]);
    let stream = json!({"logGroupName": GROUP, "logStreamName": "one", "startFromHead": true, "limit": 2});
    let first = logs(&bench, "GetLogEvents", stream.clone());
    assert_eq!(messages(&first), ["a", "b"]);
    let mut next = stream.clone();
    next["nextToken"] = first["nextForwardToken"].clone();
    let second = logs(&bench, "GetLogEvents", next.clone());
    assert_eq!(messages(&second), ["c"]);
    next["nextToken"] = second["nextForwardToken"].clone();
    let end = logs(&bench, "GetLogEvents", next.clone());
    assert_eq!((messages(&end).len(), &end["nextForwardToken"]), (0, &second["nextForwardToken"]));
    next["nextToken"] = second["nextBackwardToken"].clone();
    assert_eq!(messages(&logs(&bench, "GetLogEvents", next)), ["a", "b"]);
    let tail = json!({"logGroupName": GROUP, "logStreamName": "one", "limit": 2});
    assert_eq!(messages(&logs(&bench, "GetLogEvents", tail)), ["b", "c"]);
}

#[test]
fn a_group_is_filtered_across_its_streams_by_time() {
    let bench = Bench::seed(2);
    write(&bench, "b", &["ERROR one"]);
    bench.advance(Duration::from_millis(5));
    write(&bench, "a", &["INFO two", "ERROR three"]);
    let all = logs(&bench, "FilterLogEvents", json!({"logGroupName": GROUP}));
    assert_eq!(messages(&all), ["ERROR one", "INFO two", "ERROR three"]);
    let errors = json!({"logGroupName": GROUP, "filterPattern": "ERROR", "limit": 1});
    let page = logs(&bench, "FilterLogEvents", errors.clone());
    assert_eq!(messages(&page), ["ERROR one"]);
    let mut next = errors;
    next["nextToken"] = page["nextToken"].clone();
    let page = logs(&bench, "FilterLogEvents", next);
    assert_eq!(messages(&page), ["ERROR three"]);
    let since = json!({"logGroupName": GROUP, "startTime": bench.now().ms()});
    assert_eq!(messages(&logs(&bench, "FilterLogEvents", since)).len(), 2);
    let streams = json!({"logGroupName": GROUP, "logStreamNames": ["b"]});
    assert_eq!(messages(&logs(&bench, "FilterLogEvents", streams)), ["ERROR one"]);
}

#[test]
fn packed_rows_of_several_streams_are_read_as_single_events_in_order() {
    let bench = Bench::seed(8);
    let origin = bench.now();
    let at = |ms: u64| Time::from_ms(origin.ms() + ms);
    let mut expected = Vec::new();
    // Streams whose rows overlap: each batch is one row, and the streams take turns within it.
    for batch in 0..4 {
        for stream in ["a", "b"] {
            let lines = (0..40).map(|number| {
                let ms = batch * 300 + number * 10 + u64::from(stream == "b") * 5;
                expected.push((stream, ms));
                Line { at: at(ms), message: format!("{stream} {ms}") }
            });
            let lines: Vec<Line> = lines.collect();
            bench.run(|cx| append(cx, GROUP, stream, &lines));
        }
    }
    bench.run(|cx| {
        cx.allowed_by_policy();
        assert_eq!(EVENTS.scan(cx.tx, Scan::all(100))?.len(), 8, "a batch is a row");
        Ok(())
    });
    expected.sort_by_key(|(stream, ms)| (*ms, *stream));
    let sorted = |only: Option<&str>| -> Vec<String> {
        let wanted = expected.iter().filter(|(stream, _)| only.is_none_or(|only| only == *stream));
        wanted.map(|(stream, ms)| format!("{stream} {ms}")).collect()
    };
    let pages = |operation: &str, input: Value, token: &str, backwards: bool| {
        let (mut all, mut input) = (Vec::new(), input);
        loop {
            let page = logs(&bench, operation, input.clone());
            let texts: Vec<String> = messages(&page).into_iter().map(str::to_owned).collect();
            let done = page[token].is_null() || texts.is_empty();
            if backwards { all.splice(0..0, texts) } else { all.splice(all.len().., texts) }.for_each(drop);
            if done {
                return all;
            }
            input["nextToken"] = page[token].clone();
        }
    };
    let by_stream = json!({"logGroupName": GROUP, "logStreamName": "a", "limit": 7});
    let mut from_head = by_stream.clone();
    from_head["startFromHead"] = json!(true);
    assert_eq!(pages("GetLogEvents", from_head, "nextForwardToken", false), sorted(Some("a")));
    assert_eq!(pages("GetLogEvents", by_stream, "nextBackwardToken", true), sorted(Some("a")));
    let group = json!({"logGroupName": GROUP, "limit": 7});
    let all = pages("FilterLogEvents", group.clone(), "nextToken", false);
    let time = |text: &String| text[2..].parse::<u64>().unwrap();
    assert!(all.is_sorted_by_key(time));
    assert_eq!(all.len(), expected.len());
    let mut middle = group;
    middle["startTime"] = json!(at(455).ms());
    middle["endTime"] = json!(at(600).ms());
    let some = pages("FilterLogEvents", middle, "nextToken", false);
    let within = expected.iter().filter(|(_, ms)| (455..=600).contains(ms)).count();
    assert_eq!((some.len(), time(&some[0])), (within, 455));
}

#[test]
fn retention_and_deletion_take_the_events_away() {
    let bench = Bench::seed(3);
    write(&bench, "s", &["old"]);
    bench.advance(Duration::from_secs(2 * 24 * 3600));
    write(&bench, "s", &["new"]);
    logs(&bench, "PutRetentionPolicy", json!({"logGroupName": GROUP, "retentionInDays": 1}));
    let sweep = || {
        let mut swept = 0;
        loop {
            match bench.run(|cx| expire(cx, 100)) {
                0 => return swept,
                some => swept += some,
            }
        }
    };
    assert_eq!(sweep(), 1);
    let left = logs(&bench, "FilterLogEvents", json!({"logGroupName": GROUP}));
    assert_eq!(messages(&left), ["new"]);
    bench.advance(Duration::from_secs(12 * 3600));
    assert_eq!(sweep(), 0, "not yet");
    bench.advance(Duration::from_secs(13 * 3600));
    assert_eq!(sweep(), 1, "the group is looked at again when its oldest event is due");
    logs(&bench, "DeleteRetentionPolicy", json!({"logGroupName": GROUP}));
    write(&bench, "s", &["kept"]);
    bench.advance(Duration::from_secs(3 * 24 * 3600));
    assert_eq!(sweep(), 0, "without a retention events stay");

    logs(&bench, "DeleteLogGroup", json!({"logGroupName": GROUP}));
    let gone = bench.call("logs", "FilterLogEvents", &json!({"logGroupName": GROUP})).unwrap_err();
    assert_eq!(gone.code, "ResourceNotFoundException");
    logs(&bench, "CreateLogGroup", json!({"logGroupName": GROUP}));
    let fresh = logs(&bench, "FilterLogEvents", json!({"logGroupName": GROUP}));
    assert!(messages(&fresh).is_empty(), "a new group of the old name is empty");
    assert_eq!(sweep(), 2, "an event and a stream");
}

#[test]
fn bad_calls_get_the_documented_faults() {
    let bench = Bench::seed(4);
    let fault = |operation: &str, input: Value| bench.call("logs", operation, &input).unwrap_err();
    logs(&bench, "CreateLogGroup", json!({"logGroupName": "g"}));
    assert_eq!(fault("CreateLogGroup", json!({"logGroupName": "g"})).code, "ResourceAlreadyExistsException");
    assert_eq!(fault("CreateLogGroup", json!({"logGroupName": "a b"})).code, "InvalidParameterException");
    logs(&bench, "CreateLogStream", json!({"logGroupName": "g", "logStreamName": "s"}));
    let put = |events: Value| json!({"logGroupName": "g", "logStreamName": "s", "logEvents": events});
    let now = bench.now().ms();
    let unordered = put(json!([{"timestamp": now, "message": "b"}, {"timestamp": now - 1, "message": "a"}]));
    assert_eq!(fault("PutLogEvents", unordered).code, "InvalidParameterException");
    let mixed = put(json!([{"timestamp": 1, "message": "old"}, {"timestamp": now, "message": "ok"}]));
    let written = logs(&bench, "PutLogEvents", mixed);
    assert_eq!(written["rejectedLogEventsInfo"]["tooOldLogEventEndIndex"], 1);
    let bad = json!({"logGroupName": "g", "retentionInDays": 2});
    assert_eq!(fault("PutRetentionPolicy", bad).code, "InvalidParameterException");
}

#[test]
fn streams_are_listed_by_name_and_by_their_last_event() {
    let bench = Bench::seed(5);
    for stream in ["c", "a", "b"] {
        write(&bench, stream, &["x"]);
        bench.advance(Duration::from_millis(1));
    }
    let names = |input: Value| -> Vec<String> {
        let answer = logs(&bench, "DescribeLogStreams", input);
        let streams = answer["logStreams"].as_array().unwrap().iter();
        streams.map(|stream| stream["logStreamName"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(names(json!({"logGroupName": GROUP})), ["a", "b", "c"]);
    assert_eq!(names(json!({"logGroupName": GROUP, "descending": true, "limit": 2})), ["c", "b"]);
    assert_eq!(names(json!({"logGroupName": GROUP, "nextToken": "a"})), ["b", "c"]);
    let latest = json!({"logGroupName": GROUP, "orderBy": "LastEventTime", "descending": true});
    assert_eq!(names(latest), ["b", "a", "c"]);
}

#[test]
fn a_pattern_is_searched_for_and_tried() {
    let bench = Bench::seed(6);
    write(&bench, "s", &[r#"{"level": "error", "ms": 7}"#, r#"{"level": "error", "ms": 3}"#, "error 7"]);
    let wanted = json!({"logGroupName": GROUP, "filterPattern": "{ $.level = \"error\" && $.ms > 5 }"});
    assert_eq!(messages(&logs(&bench, "FilterLogEvents", wanted)), [r#"{"level": "error", "ms": 7}"#]);
    let tried = json!({"filterPattern": "[word, ms > 5]", "logEventMessages": ["error 3", "error 7"]});
    let found = logs(&bench, "TestMetricFilter", tried);
    let wanted = json!([{
        "eventNumber": 2, "eventMessage": "error 7", "extractedValues": {"$word": "error", "$ms": "7"}
    }]);
    assert_eq!(found["matches"], wanted);
    let bad = json!({"logGroupName": GROUP, "filterPattern": "{ $.level }"});
    let fault = bench.call("logs", "FilterLogEvents", &bad).unwrap_err();
    assert_eq!(
        (fault.code.as_ref(), fault.message.as_str()),
        ("InvalidParameterException", "Invalid filter pattern")
    );
}
