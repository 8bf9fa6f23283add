//! EventBridge Scheduler through its operations, with time in the hand.

use crate::fabric::{dead, lanes};
use crate::testing::Bench;
use mayfly_kernel::{Fault, Time};
use mayfly_wire::time::{iso8601, parse_iso8601};
use serde_json::{Value, json};
use std::time::Duration;

const ACCOUNT: &str = "000000000000";

fn ok(t: &Bench, request: &str, body: Value) -> Value {
    let answer = t.http("scheduler", request, &[], bytes(&body));
    answer.unwrap_or_else(|fault| panic!("{request}: {fault}")).json()
}

fn refused(t: &Bench, request: &str, body: Value) -> Fault {
    t.http("scheduler", request, &[], bytes(&body)).expect_err(request)
}

fn bytes(body: &Value) -> String {
    if body.is_null() { String::new() } else { body.to_string() }
}

fn queue(t: &Bench, name: &str) -> String {
    t.call("sqs", "CreateQueue", &json!({ "QueueName": name })).unwrap();
    format!("arn:aws:sqs:us-east-1:{ACCOUNT}:{name}")
}

fn bodies(t: &Bench, name: &str) -> Vec<String> {
    let input = json!({ "QueueUrl": format!("http://x/{ACCOUNT}/{name}"), "MaxNumberOfMessages": 10 });
    let answer = t.call("sqs", "ReceiveMessage", &input).unwrap().json();
    let messages = answer["Messages"].as_array().cloned().unwrap_or_default();
    for message in &messages {
        let receipt = json!({ "QueueUrl": input["QueueUrl"], "ReceiptHandle": message["ReceiptHandle"] });
        t.call("sqs", "DeleteMessage", &receipt).unwrap();
    }
    messages.iter().map(|message| message["Body"].as_str().unwrap().to_owned()).collect()
}

/// A schedule to the queue `q`, with what else is given.
fn schedule(expression: &str, more: Value) -> Value {
    let mut all = json!({
        "ScheduleExpression": expression,
        "FlexibleTimeWindow": { "Mode": "OFF" },
        "Target": { "Arn": format!("arn:aws:sqs:us-east-1:{ACCOUNT}:q"), "RoleArn": "arn:aws:iam::0:role/r",
            "Input": "run" },
    });
    all.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    all
}

/// Moves the clock to a time; how many runs there were till then.
fn until(t: &Bench, text: &str) -> usize {
    let end = parse_iso8601(text).unwrap();
    let mut runs = 0;
    while let Some(due) = t.next_due().filter(|due| *due <= end) {
        t.advance(due.since(t.now()));
        t.perform_due();
        runs += bodies(t, "q").len();
    }
    t.advance(end.since(t.now()));
    runs
}

fn next(t: &Bench) -> Option<String> {
    t.next_due().map(|due| iso8601(due).replace(":00.000Z", ""))
}

#[test]
fn a_single_time_runs_once_and_goes_if_it_is_to() {
    let t = Bench::seed(1);
    queue(&t, "q");
    ok(&t, "POST /schedules/once", schedule("at(2026-01-01T00:10:00)", json!({})));
    let gone = json!({ "ActionAfterCompletion": "DELETE", "ScheduleExpressionTimezone": "Europe/Berlin" });
    ok(&t, "POST /schedules/gone", schedule("at(2026-01-01T01:20:00)", gone));
    assert_eq!(until(&t, "2026-01-01T00:15:00Z"), 1);
    assert_eq!(until(&t, "2026-01-01T00:20:00Z"), 1);
    assert_eq!(until(&t, "2027-01-01T00:00:00Z"), 0);
    assert_eq!(ok(&t, "GET /schedules/once", Value::Null)["State"], "ENABLED");
    assert_eq!(refused(&t, "GET /schedules/gone", Value::Null).message, "Schedule gone does not exist.");
}

#[test]
fn a_year_of_a_cron_with_its_clock_changes() {
    let t = Bench::seed(1);
    queue(&t, "q");
    let zone = json!({ "ScheduleExpressionTimezone": "Europe/Berlin" });
    ok(&t, "POST /schedules/nightly", schedule("cron(30 2 * * ? *)", zone));
    assert_eq!(until(&t, "2026-01-31T00:00:00Z"), 30);
    assert_eq!(until(&t, "2026-03-29T00:00:00Z"), 57);
    // The night in which 02:30 is left out, and the one in which it comes twice.
    assert_eq!(until(&t, "2026-03-30T00:00:00Z"), 0);
    assert_eq!(until(&t, "2026-10-25T00:00:00Z"), 209);
    assert_eq!(until(&t, "2026-10-26T00:00:00Z"), 1);
}

#[test]
fn a_rate_begins_at_once_or_at_its_start_and_ends_at_its_end() {
    let t = Bench::seed(1);
    queue(&t, "q");
    let bounds = json!({ "StartDate": 1_767_225_600 + 3600, "EndDate": 1_767_225_600 + 3600 + 1200 });
    ok(&t, "POST /schedules/bound", schedule("rate(10 minutes)", bounds));
    assert_eq!(until(&t, "2026-01-01T00:59:00Z"), 0);
    assert_eq!(until(&t, "2026-01-01T05:00:00Z"), 3);
    assert_eq!(t.next_due(), None);
    ok(&t, "POST /schedules/free", schedule("rate(1 hour)", json!({})));
    assert_eq!(until(&t, "2026-01-01T06:30:00Z"), 2);
    let off = json!({ "State": "DISABLED" });
    ok(&t, "PUT /schedules/free", schedule("rate(1 hour)", off));
    assert_eq!(until(&t, "2026-01-01T12:00:00Z"), 0);
    assert_eq!(lanes(t.store()).unwrap(), []);
}

#[test]
fn a_flexible_window_moves_each_run_within_it() {
    let t = Bench::seed(1);
    queue(&t, "q");
    let window = json!({ "FlexibleTimeWindow": { "Mode": "FLEXIBLE", "MaximumWindowInMinutes": 30 } });
    ok(&t, "POST /schedules/flexible", schedule("cron(0 * * * ? *)", window));
    let mut offsets = Vec::new();
    for hour in 1..=20 {
        let due = t.next_due().unwrap();
        let offset = due.since(Time::from_secs(1_767_225_600 + hour * 3600));
        assert!(offset < Duration::from_secs(1800), "{offset:?}");
        offsets.push(offset.as_millis());
        t.advance(due.since(t.now()));
        assert_eq!(t.perform_due(), 1);
    }
    offsets.dedup();
    assert!(offsets.len() > 15, "{offsets:?}");
}

#[test]
fn after_a_downtime_what_was_missed_runs_once_unless_it_is_too_old() {
    let t = Bench::seed(1);
    queue(&t, "q");
    let letters = queue(&t, "letters");
    let mut short = schedule("cron(0 * * * ? *)", json!({}));
    short["Target"]["Input"] = json!("short");
    short["Target"]["RetryPolicy"] = json!({ "MaximumEventAgeInSeconds": 3600 });
    short["Target"]["DeadLetterConfig"] = json!({ "Arn": letters });
    ok(&t, "POST /schedules/long", schedule("cron(0 * * * ? *)", json!({})));
    ok(&t, "POST /schedules/short", short);
    t.advance(Duration::from_secs(5 * 3600 + 60));
    assert_eq!(t.perform_due(), 2);
    assert_eq!(bodies(&t, "q"), ["run"]);
    assert_eq!(bodies(&t, "letters"), ["short"]);
    assert_eq!(next(&t).unwrap(), "2026-01-01T06:00");
    assert_eq!(dead(t.store(), 1).unwrap(), []);
}

#[test]
fn buses_get_events_and_inputs_know_their_run() {
    let t = Bench::seed(1);
    let arn = queue(&t, "q");
    let call = |operation: &str, input: Value| t.call("events", operation, &input).unwrap();
    call("PutRule", json!({ "Name": "r", "EventPattern": r#"{"source":["clock"]}"# }));
    call("PutTargets", json!({ "Rule": "r", "Targets": [{ "Id": "q", "Arn": arn }] }));
    let target = json!({ "Arn": format!("arn:aws:events:us-east-1:{ACCOUNT}:event-bus/default"),
        "RoleArn": "arn:aws:iam::0:role/r", "Input": r#"{"at": "<aws.scheduler.scheduled-time>"}"#,
        "EventBridgeParameters": { "DetailType": "Tick", "Source": "clock" } });
    ok(&t, "POST /schedules/bus", schedule("at(2026-01-01T00:10:00)", json!({ "Target": target })));
    t.advance(Duration::from_secs(600));
    assert_eq!(t.perform_due(), 1);
    let event: Value = serde_json::from_str(&bodies(&t, "q")[0]).unwrap();
    assert_eq!((&event["detail-type"], &event["source"]), (&json!("Tick"), &json!("clock")));
    assert_eq!(event["detail"], json!({ "at": "2026-01-01T00:10:00Z" }));
}

#[test]
fn groups_hold_schedules_and_take_them_along() {
    let t = Bench::seed(1);
    queue(&t, "q");
    let made = ok(&t, "POST /schedule-groups/g", json!({ "Tags": [{ "Key": "a", "Value": "b" }] }));
    assert_eq!(made["ScheduleGroupArn"], format!("arn:aws:scheduler:us-east-1:{ACCOUNT}:schedule-group/g"));
    assert_eq!(refused(&t, "POST /schedule-groups/g", json!({})).code, "ConflictException");
    for n in 0..25 {
        let in_group = schedule("rate(1 hour)", json!({ "GroupName": "g" }));
        let made = ok(&t, &format!("POST /schedules/s{n}"), in_group);
        let arn = format!("arn:aws:scheduler:us-east-1:{ACCOUNT}:schedule/g/s{n}");
        assert_eq!(made["ScheduleArn"], arn);
    }
    ok(&t, "POST /schedules/other", schedule("at(2031-01-01T00:00:00)", json!({})));
    let in_group = schedule("rate(1 hour)", json!({ "GroupName": "none" }));
    assert_eq!(refused(&t, "POST /schedules/x", in_group).code, "ResourceNotFoundException");
    let page = ok(&t, "GET /schedules?ScheduleGroup=g&NamePrefix=s1&MaxResults=100", Value::Null);
    assert_eq!(page["Schedules"].as_array().unwrap().len(), 11);
    let page = ok(&t, "GET /schedules?MaxResults=20", Value::Null);
    assert_eq!(
        (page["Schedules"][0]["Name"].as_str(), page["NextToken"].as_str()),
        (Some("other"), Some("g/s3"))
    );
    let groups = ok(&t, "GET /schedule-groups", Value::Null);
    let names: Vec<&Value> =
        groups["ScheduleGroups"].as_array().unwrap().iter().map(|group| &group["Name"]).collect();
    assert_eq!(names, ["default", "g"]);

    ok(&t, "DELETE /schedule-groups/g", Value::Null);
    assert_eq!(ok(&t, "GET /schedule-groups/g", Value::Null)["State"], "DELETING");
    t.perform_due();
    assert!(bodies(&t, "q").is_empty(), "a group that goes runs nothing");
    while t.run(|cx| super::sweep(cx, 10)) > 0 {}
    assert_eq!(refused(&t, "GET /schedule-groups/g", Value::Null).code, "ResourceNotFoundException");
    assert_eq!(next(&t).unwrap(), "2031-01-01T00:00");
    ok(&t, "DELETE /schedules/other", Value::Null);
    assert_eq!(lanes(t.store()).unwrap(), []);
}

#[test]
fn bad_schedules_are_refused() {
    let t = Bench::seed(1);
    let check = |body: Value, text: &str| {
        let fault = refused(&t, "POST /schedules/s", body);
        assert!(fault.message.contains(text), "{fault}");
    };
    check(schedule("rate(1 minutes)", json!({})), "Invalid Schedule Expression rate(1 minutes).");
    let zone = json!({ "ScheduleExpressionTimezone": "Mars/Olympus" });
    check(schedule("rate(1 minute)", zone), "Invalid Schedule Expression Timezone Mars/Olympus.");
    let window = json!({ "FlexibleTimeWindow": { "Mode": "FLEXIBLE" } });
    check(schedule("rate(1 minute)", window), "MaximumWindowInMinutes");
    let now = 1_767_225_600;
    let bounds = json!({ "StartDate": now + 2, "EndDate": now + 1 });
    check(schedule("rate(1 minute)", bounds), "The StartDate must be before the EndDate.");
    let late = json!({ "StartDate": now - 301 });
    check(
        schedule("rate(1 minute)", late),
        "The StartDate you specify cannot be earlier than 5 minutes ago.",
    );
    let past = "at(2025-12-31T23:59:59)";
    check(schedule(past, json!({})), "Invalid Schedule Expression at(2025-12-31T23:59:59).");
    let target = json!({ "Target": { "Arn": "x", "RoleArn": "arn:aws:iam::0:role/r" } });
    check(schedule("rate(1 minute)", target), "Provided Arn is not in correct format");
    let universal = json!({ "Target": { "Arn": "arn:aws:scheduler:::aws-sdk:sqs:sendMessage",
        "RoleArn": "arn:aws:iam::0:role/r" } });
    assert_eq!(
        refused(&t, "POST /schedules/s", schedule("rate(1 minute)", universal)).code,
        "NotImplemented"
    );
    check(schedule("rate(1 minute)", json!({ "Description": "x".repeat(513) })), "description");
}

#[test]
fn what_lies_behind_is_refused_only_when_it_is_new() {
    let t = Bench::seed(1);
    queue(&t, "q");
    let start = json!({ "StartDate": 1_767_225_600 - 300 });
    ok(&t, "POST /schedules/rate", schedule("rate(1 hour)", start.clone()));
    ok(&t, "POST /schedules/once", schedule("at(2026-01-01T01:30:00)", json!({})));
    t.advance(Duration::from_secs(2 * 3600));
    t.perform_due();
    let mut described = start;
    described["Description"] = json!("new");
    ok(&t, "PUT /schedules/rate", schedule("rate(1 hour)", described));
    ok(&t, "PUT /schedules/once", schedule("at(2026-01-01T01:30:00)", json!({ "Description": "new" })));
    let other = refused(&t, "PUT /schedules/once", schedule("at(2026-01-01T01:31:00)", json!({})));
    assert_eq!(other.message, "Invalid Schedule Expression at(2026-01-01T01:31:00).");
    let other = json!({ "StartDate": 1_767_225_600 - 299 });
    assert!(
        refused(&t, "PUT /schedules/rate", schedule("rate(1 hour)", other)).message.contains("5 minutes ago")
    );
}

#[test]
fn a_single_time_has_no_bounds_and_a_recurring_one_goes_with_its_end() {
    let t = Bench::seed(1);
    queue(&t, "q");
    let start = 1_767_225_600;
    let bounds = json!({ "StartDate": start + 7200, "EndDate": start + 10_800 });
    ok(&t, "POST /schedules/once", schedule("at(2026-01-01T00:30:00)", bounds));
    assert_eq!(until(&t, "2026-01-01T00:45:00Z"), 1, "a single time runs when it says");
    let ends = json!({ "EndDate": start + 4 * 3600, "ActionAfterCompletion": "DELETE",
        "FlexibleTimeWindow": { "Mode": "FLEXIBLE", "MaximumWindowInMinutes": 15 } });
    ok(&t, "POST /schedules/ends", schedule("cron(0 * * * ? *)", ends));
    assert_eq!(until(&t, "2026-01-01T03:30:00Z"), 3);
    assert_eq!(ok(&t, "GET /schedules/ends", Value::Null)["ActionAfterCompletion"], "DELETE");
    assert_eq!(until(&t, "2026-01-01T06:00:00Z"), 1, "the last is at its end, and somewhere in its window");
    assert_eq!(refused(&t, "GET /schedules/ends", Value::Null).code, "ResourceNotFoundException");
}

#[test]
fn a_dead_letter_of_a_schedule_says_which_run_it_was() {
    let t = Bench::seed(1);
    let letters = queue(&t, "letters");
    let attributes = json!({ "MaximumMessageSize": "1024" });
    let set = json!({ "QueueUrl": format!("http://x/{ACCOUNT}/letters"), "Attributes": attributes });
    t.call("sqs", "SetQueueAttributes", &set).unwrap();
    let targets = [
        ("sqs:us-east-1:000000000000:none", "AWS.SimpleQueueService.NonExistentQueue"),
        ("sns:us-east-1:000000000000:none", "NotFound"),
        ("lambda:us-east-1:000000000000:function:none", "ResourceNotFoundException"),
        ("sqs:us-east-1:111111111111:none", "AWS.SimpleQueueService.NonExistentQueue"),
    ];
    for (number, (target, code)) in targets.into_iter().enumerate() {
        let input = if number == 0 { "x".repeat(2000) } else { "short".to_owned() };
        let target = json!({ "Arn": format!("arn:aws:{target}"), "RoleArn": "arn:aws:iam::0:role/r", "Input": input,
            "DeadLetterConfig": { "Arn": letters } });
        let at = format!("at(2026-01-01T00:{:02}:00)", number + 1);
        let name = format!("POST /schedules/s{number}");
        ok(&t, &name, schedule(&at, json!({ "Target": target.clone() })));
        t.advance(Duration::from_secs(60));
        t.perform_due();
        let receive = json!({ "QueueUrl": set["QueueUrl"], "MessageAttributeNames": ["All"] });
        let message = t.call("sqs", "ReceiveMessage", &receive).unwrap().json()["Messages"][0].clone();
        let said = |name: &str| message["MessageAttributes"][name]["StringValue"].as_str().map(str::to_owned);
        assert_eq!(said("ERROR_CODE").unwrap(), code);
        assert_eq!(said("TARGET_ARN").unwrap(), target["Arn"]);
        assert_eq!(said("SCHEDULED_TIME").unwrap(), format!("2026-01-01T00:{:02}:00Z", number + 1));
        assert_eq!(
            said("SCHEDULE_ARN").unwrap(),
            format!("arn:aws:scheduler:us-east-1:{ACCOUNT}:schedule/default/s{number}")
        );
        assert_eq!(said("RETRY_ATTEMPTS").unwrap(), "0");
        assert_eq!(said("EXHAUSTED_RETRY_CONDITION"), None);
        assert!(said("EXECUTION_ID").is_some_and(|id| !id.is_empty()) && said("ERROR_MESSAGE").is_some());
        let cut = number == 0;
        assert_eq!(said("IS_PAYLOAD_TRUNCATED").unwrap(), cut.to_string());
        let body = message["Body"].as_str().unwrap();
        assert!(if cut { body.len() < 1024 && input.starts_with(body) } else { body == input }, "{body}");
        let receipt = json!({ "QueueUrl": set["QueueUrl"], "ReceiptHandle": message["ReceiptHandle"] });
        t.call("sqs", "DeleteMessage", &receipt).unwrap();
    }
}
