//! CloudWatch through its operations, with time in the hand.

use super::{Figures, Runs, Sample, expire, record};
use crate::testing::Bench;
use mayfly_kernel::Fault;
use mayfly_wire::Call;
use serde_json::{Value, json};
use std::time::Duration;

const ACCOUNT: &str = "000000000000";
const DAY: Duration = Duration::from_secs(86_400);

fn ok(t: &Bench, operation: &str, input: Value) -> Value {
    let answer = t.call("cloudwatch", operation, &input);
    answer.unwrap_or_else(|fault| panic!("{operation}: {fault}")).json()
}

fn refused(t: &Bench, operation: &str, input: Value) -> Fault {
    t.call("cloudwatch", operation, &input).expect_err(operation)
}

fn put(t: &Bench, name: &str, more: Value) {
    let mut datum = json!({ "MetricName": name, "Dimensions": [{ "Name": "shop", "Value": "a" }] });
    datum.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    ok(t, "PutMetricData", json!({ "Namespace": "mine", "MetricData": [datum] }));
}

/// The sums of the last ten minutes, by spans of `period`.
fn sums(t: &Bench, name: &str, period: u32) -> Vec<f64> {
    let now = t.now().secs();
    let answer = ok(
        t,
        "GetMetricStatistics",
        json!({
            "Namespace": "mine", "MetricName": name, "Dimensions": [{ "Name": "shop", "Value": "a" }],
            "StartTime": now - 600, "EndTime": now + 60, "Period": period, "Statistics": ["Sum"],
        }),
    );
    answer["Datapoints"].as_array().unwrap().iter().map(|point| point["Sum"].as_f64().unwrap()).collect()
}

/// Runs of the function `f` by its alias `live`.
fn ran(t: &Bench, version: &str, good: u32, bad: u32) {
    let mut runs = Runs::default();
    (0..good).for_each(|_| runs.ran(false, 10.0));
    (0..bad).for_each(|_| runs.ran(true, 30.0));
    let sample = Sample {
        function: format!("arn:aws:lambda:us-east-1:{ACCOUNT}:function:f").parse().unwrap(),
        qualifier: "live".into(),
        version: version.into(),
        at: t.now(),
        figures: Figures::Runs(runs),
    };
    t.run(|cx| record(cx, std::slice::from_ref(&sample)));
}

fn state(t: &Bench, name: &str) -> String {
    let answer = ok(t, "DescribeAlarms", json!({ "AlarmNames": [name] }));
    answer["MetricAlarms"][0]["StateValue"].as_str().unwrap().to_owned()
}

fn pass(t: &Bench, seconds: u64) {
    for _ in 0..seconds {
        t.advance(Duration::from_secs(1));
        t.perform_due();
    }
}

#[test]
fn values_add_up_by_spans_and_are_listed() {
    let t = Bench::seed(1);
    put(&t, "sold", json!({ "Value": 2.0, "Unit": "Count" }));
    put(&t, "sold", json!({ "Values": [1.0, 5.0], "Counts": [3.0, 1.0], "Unit": "Count" }));
    t.advance(Duration::from_secs(60));
    put(
        &t,
        "sold",
        json!({ "StatisticValues":
        { "SampleCount": 4.0, "Sum": 8.0, "Minimum": 0.5, "Maximum": 9.0 }, "Unit": "Count" }),
    );
    assert_eq!(sums(&t, "sold", 60), [10.0, 8.0]);
    assert_eq!(sums(&t, "sold", 300), [18.0]);
    let now = t.now().secs();
    let query = |id: &str, more: Value| {
        let mut query = json!({ "Id": id });
        query.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        query
    };
    let metric = json!({ "Namespace": "mine", "MetricName": "sold", "Dimensions": [{ "Name": "shop", "Value": "a" }] });
    let stat = |stat: &str| json!({ "MetricStat": { "Metric": metric, "Period": 60, "Stat": stat } });
    let data = json!({
        "StartTime": now - 120, "EndTime": now + 60, "ScanBy": "TimestampAscending",
        "MetricDataQueries": [
            query("worst", stat("Maximum")), query("n", stat("SampleCount")),
            query("both", json!({ "Expression": "worst * 100 / n" })),
        ],
    });
    let data = ok(&t, "GetMetricData", data);
    assert_eq!(data["MetricDataResults"][0]["Values"], json!([5.0, 9.0]));
    assert_eq!(data["MetricDataResults"][2]["Values"], json!([100.0, 225.0]));
    let listed = ok(&t, "ListMetrics", json!({ "Namespace": "mine", "Dimensions": [{ "Name": "shop" }] }));
    assert_eq!(listed["Metrics"].as_array().unwrap().len(), 1);
    let looped = json!({ "StartTime": now - 120, "EndTime": now, "MetricDataQueries": [
        query("a", json!({ "Expression": "b + 1" })), query("b", json!({ "Expression": "a + 1" })),
    ] });
    assert_eq!(refused(&t, "GetMetricData", looped).code, "ValidationError");
    let aws_s = json!({ "Namespace": "AWS/Lambda", "MetricData": [{ "MetricName": "a", "Value": 1 }] });
    assert_eq!(refused(&t, "PutMetricData", aws_s).query_code, Some("InvalidParameterValue"));
    // After fifteen days nothing is left of it.
    t.advance(DAY * 16);
    while t.run(|cx| expire(cx, 10)) > 0 {}
    assert_eq!(ok(&t, "ListMetrics", json!({}))["Metrics"], json!([]));
}

#[test]
fn high_resolution_is_kept_for_hours_and_minutes_for_days() {
    let t = Bench::seed(2);
    for value in 1..=3 {
        put(&t, "fast", json!({ "Value": value, "StorageResolution": 1 }));
        put(&t, "slow", json!({ "Value": value }));
        t.advance(Duration::from_secs(10));
    }
    assert_eq!((sums(&t, "fast", 10), sums(&t, "slow", 10)), (vec![1.0, 2.0, 3.0], vec![]));
    assert_eq!((sums(&t, "fast", 60), sums(&t, "slow", 60)), (vec![6.0], vec![6.0]));
    let begun = t.now().secs();
    t.advance(Duration::from_secs(5 * 3600));
    while t.run(|cx| expire(cx, 1)) > 0 {}
    let read = |period: u32| {
        let answer = ok(
            &t,
            "GetMetricStatistics",
            json!({
                "Namespace": "mine", "MetricName": "fast", "Dimensions": [{ "Name": "shop", "Value": "a" }],
                "StartTime": begun - 100, "EndTime": begun + 100, "Period": period, "Statistics": ["Sum"],
            }),
        );
        answer["Datapoints"].as_array().unwrap().len()
    };
    assert_eq!((read(10), read(60)), (0, 1));
}

#[test]
fn an_alarm_on_the_new_versions_error_rate_fires_tells_and_recovers() {
    let t = Bench::seed(3);
    let queue = format!("arn:aws:sqs:us-east-1:{ACCOUNT}:q");
    let topic = format!("arn:aws:sns:us-east-1:{ACCOUNT}:t");
    t.call("sqs", "CreateQueue", &json!({ "QueueName": "q" })).unwrap();
    t.form("sns", "/", "CreateTopic", "Name=t").unwrap();
    t.form("sns", "/", "Subscribe", &format!("TopicArn={topic}&Protocol=sqs&Endpoint={queue}")).unwrap();
    let dimensions = json!([
        { "Name": "FunctionName", "Value": "f" }, { "Name": "Resource", "Value": "f:live" },
        { "Name": "ExecutedVersion", "Value": "2" },
    ]);
    let stat = |id: &str, name: &str| {
        let metric = json!({ "Namespace": "AWS/Lambda", "MetricName": name, "Dimensions": dimensions });
        json!({ "Id": id, "ReturnData": false, "MetricStat": { "Metric": metric, "Period": 10, "Stat": "Sum" } })
    };
    let rate = json!({ "Id": "rate", "Expression": "100 * errors / runs" });
    let alarm = json!({
        "AlarmName": "rate", "Metrics": [stat("errors", "Errors"), stat("runs", "Invocations"), rate],
        "EvaluationPeriods": 1, "Threshold": 25.0, "ComparisonOperator": "GreaterThanThreshold",
        "AlarmActions": [topic], "OKActions": [topic],
    });
    ok(&t, "PutMetricAlarm", alarm);
    assert_eq!(state(&t, "rate"), "INSUFFICIENT_DATA");
    ran(&t, "1", 0, 5);
    ran(&t, "2", 3, 1);
    pass(&t, 14);
    assert_eq!(state(&t, "rate"), "OK");
    ran(&t, "2", 1, 1);
    pass(&t, 10);
    assert_eq!(state(&t, "rate"), "ALARM");
    ok(&t, "DisableAlarmActions", json!({ "AlarmNames": ["rate"] }));
    ran(&t, "2", 9, 0);
    pass(&t, 10);
    assert_eq!(state(&t, "rate"), "OK");
    pass(&t, 60);
    assert_eq!(state(&t, "rate"), "INSUFFICIENT_DATA");
    let messages = json!({ "QueueUrl": format!("http://x/{ACCOUNT}/q"), "MaxNumberOfMessages": 10 });
    let messages = t.call("sqs", "ReceiveMessage", &messages).unwrap().json();
    let told = |message: &Value| {
        let body: Value = serde_json::from_str(message["Body"].as_str().unwrap()).unwrap();
        let message: Value = serde_json::from_str(body["Message"].as_str().unwrap()).unwrap();
        message["NewStateValue"].as_str().unwrap().to_owned()
    };
    let mut states: Vec<String> = messages["Messages"].as_array().unwrap().iter().map(told).collect();
    states.sort();
    assert_eq!(states, ["ALARM", "OK"]);
    // The function as a whole has the runs of both versions.
    let now = t.now().secs();
    let whole = json!({ "Namespace": "AWS/Lambda", "MetricName": "Errors", "Period": 300, "Statistics": ["Sum"],
        "Dimensions": [{ "Name": "FunctionName", "Value": "f" }], "StartTime": now - 600, "EndTime": now });
    let points = ok(&t, "GetMetricStatistics", whole)["Datapoints"].clone();
    assert_eq!(points[0]["Sum"], 7.0);
}

#[test]
fn a_changed_or_deleted_alarm_is_not_looked_at_by_its_old_timer() {
    let t = Bench::seed(4);
    let alarm = |threshold: f64| {
        json!({
            "AlarmName": "a", "Namespace": "mine", "MetricName": "m", "Statistic": "Maximum", "Period": 60,
            "EvaluationPeriods": 1, "Threshold": threshold, "ComparisonOperator": "GreaterThanThreshold",
            "Dimensions": [{ "Name": "shop", "Value": "a" }],
        })
    };
    ok(&t, "PutMetricAlarm", alarm(1.0));
    ok(&t, "PutMetricAlarm", alarm(5.0));
    put(&t, "m", json!({ "Value": 3.0 }));
    pass(&t, 70);
    assert_eq!(state(&t, "a"), "OK");
    // One that watches something else is not what it was: there is nothing of it yet.
    let mut other = alarm(5.0);
    other["MetricName"] = json!("another");
    ok(&t, "PutMetricAlarm", other);
    assert_eq!(state(&t, "a"), "INSUFFICIENT_DATA");
    ok(&t, "DeleteAlarms", json!({ "AlarmNames": ["a"] }));
    pass(&t, 70);
    assert_eq!(t.next_due(), None);
    for (member, value) in
        [("Statistic", json!("p99")), ("AlarmActions", json!(["arn:aws:ssm:us-east-1:1:x"]))]
    {
        let mut other = alarm(1.0);
        other[member] = value;
        if member == "Statistic" {
            assert_eq!(refused(&t, "PutMetricAlarm", other).status, 501);
        } else {
            assert_eq!(refused(&t, "PutMetricAlarm", other).code, "NotImplemented");
        }
    }
}

#[test]
fn forms_of_older_clients_are_understood() {
    let t = Bench::seed(5);
    let form = "Action=PutMetricData&Namespace=mine&MetricData.member.1.MetricName=m\
                &MetricData.member.1.Value=4&MetricData.member.1.Timestamp=2026-01-01T00:00:00Z";
    let call = |operation: &str, form: &str| Call {
        operation: operation.into(),
        body: form.to_owned().into(),
        spoken: Some(mayfly_wire::Protocol::Query),
        ..Call::default()
    };
    t.perform_call("cloudwatch", "PutMetricData", &call("PutMetricData", form)).unwrap();
    let form = "Action=GetMetricStatistics&Namespace=mine&MetricName=m&Period=60&Statistics.member.1=Sum\
                &StartTime=2025-12-31T23:50:00Z&EndTime=2026-01-01T00:10:00Z";
    let answer =
        t.perform_call("cloudwatch", "GetMetricStatistics", &call("GetMetricStatistics", form)).unwrap();
    assert!(answer.text().contains("<Timestamp>2026-01-01T00:00:00.000Z</Timestamp>"), "{}", answer.text());
    assert!(answer.text().contains("<Sum>4</Sum>"), "{}", answer.text());
}
