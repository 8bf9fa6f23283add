//! Application Auto Scaling through its operations, with time in the hand.

use crate::cloudwatch::{Figures, Sample, record};
use crate::testing::Bench;
use mayfly_kernel::{Arn, Fault};
use mayfly_wire::time::parse_iso8601;
use serde_json::{Value, json};
use std::time::Duration;

const ACCOUNT: &str = "000000000000";
const ROLE: &str = "arn:aws:iam::000000000000:role/any";
const RESOURCE: &str = "function:f:live";

struct Cloud(Bench);

impl Cloud {
    /// The function `f` with the alias `live`, which may be provisioned from 2 to 20.
    fn new() -> Cloud {
        let cloud = Cloud(Bench::seed(9));
        let code = json!({ "ZipFile": "UEsFBgAAAAAAAAAAAAAAAAAAAAAAAA==" });
        let function = json!({
            "FunctionName": "f", "Runtime": "python3.12", "Handler": "a.b", "Role": ROLE, "Code": code,
        });
        cloud.lambda("POST /2015-03-31/functions", &function);
        cloud.lambda("POST /2015-03-31/functions/f/versions", &json!({}));
        let live = json!({ "Name": "live", "FunctionVersion": "1" });
        cloud.lambda("POST /2015-03-31/functions/f/aliases", &live);
        cloud.ok("RegisterScalableTarget", json!({ "MinCapacity": 2, "MaxCapacity": 20 }));
        cloud
    }

    fn lambda(&self, request: &str, input: &Value) -> Value {
        let body = if input.is_null() { String::new() } else { input.to_string() };
        self.0.http("lambda", request, &[], body).unwrap_or_else(|fault| panic!("{request}: {fault}")).json()
    }

    fn send(&self, operation: &str, more: Value) -> Result<Value, Fault> {
        let mut input = json!({
            "ServiceNamespace": "lambda", "ResourceId": RESOURCE,
            "ScalableDimension": "lambda:function:ProvisionedConcurrency",
        });
        if operation == "DescribeScalableTargets" {
            input = json!({ "ServiceNamespace": "lambda", "ResourceIds": [RESOURCE] });
        }
        input.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        self.0.call("application-autoscaling", operation, &input).map(|answer| answer.json())
    }

    fn ok(&self, operation: &str, more: Value) -> Value {
        self.send(operation, more).unwrap_or_else(|fault| panic!("{operation}: {fault}"))
    }

    fn refused(&self, operation: &str, more: Value) -> Fault {
        self.send(operation, more).expect_err(operation)
    }

    fn track(&self, more: Value) {
        let metric = json!({ "PredefinedMetricType": "LambdaProvisionedConcurrencyUtilization" });
        let mut tracking = json!({ "TargetValue": 0.5, "PredefinedMetricSpecification": metric });
        tracking.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        self.ok(
            "PutScalingPolicy",
            json!({ "PolicyName": "half", "PolicyType": "TargetTrackingScaling",
            "TargetTrackingScalingPolicyConfiguration": tracking }),
        );
    }

    /// How many are asked for; none if the alias has no configuration.
    fn provisioned(&self) -> Option<u64> {
        let path = "GET /2019-09-30/functions/f/provisioned-concurrency?Qualifier=live";
        let answer = self.0.http("lambda", path, &[], "").ok()?;
        answer.json()["RequestedProvisionedConcurrentExecutions"].as_u64()
    }

    /// Minutes in which so many were busy.
    fn minutes(&self, count: usize, busy: u32) {
        for _ in 0..count * 6 {
            let function: Arn = format!("arn:aws:lambda:us-east-1:{ACCOUNT}:function:f").parse().unwrap();
            let available = u32::try_from(self.provisioned().unwrap_or(0)).unwrap();
            let sample = Sample {
                function,
                qualifier: "live".into(),
                version: String::new(),
                at: self.0.now(),
                figures: Figures::Provisioned { busy, available },
            };
            self.0.run(|cx| record(cx, std::slice::from_ref(&sample)));
            for _ in 0..10 {
                self.0.advance(Duration::from_secs(1));
                self.0.perform_due();
            }
        }
    }

    fn until(&self, text: &str) {
        let end = parse_iso8601(text).unwrap();
        while let Some(due) = self.0.next_due().filter(|due| *due <= end && *due > self.0.now()) {
            self.0.advance(due.since(self.0.now()));
            self.0.perform_due();
        }
        self.0.advance(end.since(self.0.now()));
        self.0.perform_due();
    }
}

#[test]
fn a_target_is_brought_into_its_range_and_told_of() {
    let cloud = Cloud::new();
    assert_eq!(cloud.provisioned(), Some(2));
    cloud.ok("RegisterScalableTarget", json!({ "MinCapacity": 4 }));
    assert_eq!(cloud.provisioned(), Some(4));
    let target = cloud.ok("DescribeScalableTargets", json!({}))["ScalableTargets"][0].clone();
    assert_eq!((&target["MinCapacity"], &target["MaxCapacity"]), (&json!(4), &json!(20)));
    let activities = cloud.ok("DescribeScalingActivities", json!({}))["ScalingActivities"].clone();
    assert_eq!(activities.as_array().unwrap().len(), 2);
    assert!(activities.to_string().contains("minimum capacity was set to 4"), "{activities}");
    for (more, code) in [
        (json!({ "ResourceId": "function:f" }), "ValidationException"),
        (
            json!({ "ResourceId": "function:none:live", "MinCapacity": 1, "MaxCapacity": 2 }),
            "ValidationException",
        ),
        (json!({ "MaxCapacity": 1 }), "ValidationException"),
        (json!({ "ServiceNamespace": "ecs" }), "NotImplemented"),
    ] {
        assert_eq!(cloud.refused("RegisterScalableTarget", more).code, code);
    }
    let step = json!({ "PolicyName": "p", "PolicyType": "StepScaling" });
    assert_eq!(cloud.refused("PutScalingPolicy", step).code, "NotImplemented");
    cloud.ok("DeregisterScalableTarget", json!({}));
    assert_eq!(cloud.provisioned(), Some(4));
    assert_eq!(cloud.refused("DeregisterScalableTarget", json!({})).code, "ObjectNotFoundException");
}

#[test]
fn what_is_provisioned_follows_what_is_used() {
    let cloud = Cloud::new();
    cloud.track(json!({ "ScaleInCooldown": 300 }));
    cloud.minutes(2, 1);
    assert_eq!(cloud.provisioned(), Some(2));
    // All are busy: twice as many would be half used.
    cloud.minutes(2, 2);
    assert_eq!(cloud.provisioned(), Some(4));
    cloud.minutes(2, 40);
    assert!(cloud.provisioned() >= Some(8));
    cloud.minutes(6, 40);
    assert_eq!(cloud.provisioned(), Some(20), "never more than the most");
    // Not before a quarter of an hour of less.
    cloud.minutes(13, 3);
    assert_eq!(cloud.provisioned(), Some(20));
    cloud.minutes(4, 3);
    assert_eq!(cloud.provisioned(), Some(6));
    cloud.minutes(3, 0);
    assert_eq!(cloud.provisioned(), Some(6), "cooling down, and minutes of use before");
    cloud.minutes(20, 0);
    assert_eq!(cloud.provisioned(), Some(2), "never less than the least");
    cloud.ok("DeleteScalingPolicy", json!({ "PolicyName": "half" }));
    cloud.minutes(3, 2);
    assert_eq!(cloud.provisioned(), Some(2));
}

#[test]
fn a_policy_cools_down_after_it_has_scaled_out() {
    let cloud = Cloud::new();
    cloud.track(json!({ "ScaleOutCooldown": 600 }));
    cloud.minutes(2, 2);
    assert_eq!(cloud.provisioned(), Some(4));
    cloud.minutes(8, 40);
    assert_eq!(cloud.provisioned(), Some(4));
    cloud.minutes(3, 40);
    assert_eq!(cloud.provisioned(), Some(8));
}

#[test]
fn scheduled_actions_open_and_close_a_window() {
    let cloud = Cloud::new();
    let action = |name: &str, schedule: &str, min: u32, max: u32| {
        json!({ "ScheduledActionName": name, "Schedule": schedule, "Timezone": "Europe/Berlin",
            "ScalableTargetAction": { "MinCapacity": min, "MaxCapacity": max } })
    };
    cloud.ok("PutScheduledAction", action("open", "cron(0 8 * * ? *)", 10, 20));
    cloud.ok("PutScheduledAction", action("close", "cron(0 18 * * ? *)", 0, 0));
    cloud.until("2026-01-01T06:59:59Z");
    assert_eq!(cloud.provisioned(), Some(2));
    cloud.until("2026-01-01T07:00:00Z");
    assert_eq!(cloud.provisioned(), Some(10));
    cloud.until("2026-01-01T16:59:59Z");
    assert_eq!(cloud.provisioned(), Some(10));
    cloud.until("2026-01-01T17:00:00Z");
    assert_eq!(cloud.provisioned(), None);
    cloud.until("2026-01-02T07:00:00Z");
    assert_eq!(cloud.provisioned(), Some(10));
    let state = json!({ "SuspendedState": { "ScheduledScalingSuspended": true } });
    cloud.ok("RegisterScalableTarget", state);
    cloud.until("2026-01-02T17:00:00Z");
    assert_eq!(cloud.provisioned(), Some(10));
    let actions = cloud.ok("DescribeScheduledActions", json!({}))["ScheduledActions"].clone();
    assert_eq!(actions.as_array().unwrap().len(), 2);
    cloud.ok("DeleteScheduledAction", json!({ "ScheduledActionName": "open" }));
    cloud.ok("DeregisterScalableTarget", json!({}));
    assert_eq!(cloud.provisioned(), Some(10));
}
