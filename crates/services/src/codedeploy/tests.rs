//! CodeDeploy through its operations, with time in the hand.

use super::fire;
use crate::fabric::{self, Target, claim, recover};
use crate::testing::Bench;
use mayfly_kernel::Fault;
use proptest::prelude::*;
use serde_json::{Value, json};
use std::time::Duration;

const ACCOUNT: &str = "000000000000";
const ROLE: &str = "arn:aws:iam::000000000000:role/any";
const CANARY: &str = "CodeDeployDefault.LambdaCanary10Percent5Minutes";
const LINEAR: &str = "CodeDeployDefault.LambdaLinear10PercentEvery1Minute";
const MINUTE: Duration = Duration::from_secs(60);

struct Cloud(Bench);

impl Cloud {
    /// The function `f` with the versions 1 and 2 and the alias `live` for 1, and an application `shop`.
    fn new() -> Cloud {
        let cloud = Cloud(Bench::seed(3));
        let code = json!({ "ZipFile": "UEsFBgAAAAAAAAAAAAAAAAAAAAAAAA==" });
        for name in ["f", "hook"] {
            let function = json!({
                "FunctionName": name, "Runtime": "python3.12", "Handler": "a.b", "Role": ROLE, "Code": code,
            });
            cloud.lambda("POST /2015-03-31/functions", function);
        }
        cloud.lambda("POST /2015-03-31/functions/f/versions", json!({}));
        cloud.lambda("PUT /2015-03-31/functions/f/configuration", json!({ "Description": "another" }));
        cloud.lambda("POST /2015-03-31/functions/f/versions", json!({}));
        let live = json!({ "Name": "live", "FunctionVersion": "1" });
        cloud.lambda("POST /2015-03-31/functions/f/aliases", live);
        cloud.ok("CreateApplication", json!({ "applicationName": "shop", "computePlatform": "Lambda" }));
        cloud
    }

    fn lambda(&self, request: &str, input: Value) -> Value {
        let body = if input.is_null() { String::new() } else { input.to_string() };
        self.0.http("lambda", request, &[], body).unwrap_or_else(|fault| panic!("{request}: {fault}")).json()
    }

    fn ok(&self, operation: &str, input: Value) -> Value {
        let answer = self.0.call("codedeploy", operation, &input);
        answer.unwrap_or_else(|fault| panic!("{operation}: {fault}")).json()
    }

    fn refused(&self, operation: &str, input: Value) -> Fault {
        self.0.call("codedeploy", operation, &input).expect_err(operation)
    }

    fn group(&self, config: &str, more: Value) {
        let mut group = json!({
            "applicationName": "shop", "deploymentGroupName": "g", "serviceRoleArn": ROLE,
            "deploymentConfigName": config,
        });
        group.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        self.ok("CreateDeploymentGroup", group);
    }

    fn deploy(&self, hooks: Value) -> String {
        self.ok("CreateDeployment", deployment(hooks))["deploymentId"].as_str().unwrap().to_owned()
    }

    fn info(&self, id: &str) -> Value {
        self.ok("GetDeployment", json!({ "deploymentId": id }))["deploymentInfo"].clone()
    }

    fn status(&self, id: &str) -> String {
        self.info(id)["status"].as_str().unwrap().to_owned()
    }

    /// Where `live` leads: its version, and the share of version 2.
    fn live(&self) -> (String, f64) {
        let alias = self.lambda("GET /2015-03-31/functions/f/aliases/live", Value::Null);
        let share = alias["RoutingConfig"]["AdditionalVersionWeights"]["2"].as_f64();
        (alias["FunctionVersion"].as_str().unwrap().to_owned(), share.unwrap_or(0.0))
    }

    /// Whether a timer is left.
    fn waits(&self) -> bool {
        let lanes = fabric::lanes(self.0.store()).unwrap();
        lanes.iter().any(|(lane, _)| lane.starts_with("timers "))
    }

    fn pass(&self, span: Duration) {
        self.0.advance(span);
        self.0.perform_due();
    }

    /// What a hook was called with.
    fn called(&self) -> Value {
        let lane = "function arn:aws:lambda:us-east-1:000000000000:function:hook";
        let records = self.0.run(|cx| claim(cx, self.0.store(), lane, 10));
        let [record] = &records[..] else { panic!("{} calls of the hook", records.len()) };
        self.0.run(|cx| fabric::settle(cx, record.clone(), fabric::Verdict::Done));
        serde_json::from_slice(&record.payload).unwrap()
    }

    fn answer(&self, call: &Value, status: &str) {
        let answer = json!({
            "deploymentId": call["DeploymentId"], "status": status,
            "lifecycleEventHookExecutionId": call["LifecycleEventHookExecutionId"],
        });
        self.ok("PutLifecycleEventHookExecutionStatus", answer);
    }
}

fn deployment(hooks: Value) -> Value {
    let properties = json!({ "Name": "f", "Alias": "live", "CurrentVersion": "1", "TargetVersion": "2" });
    let resource = json!({ "f": { "Type": "AWS::Lambda::Function", "Properties": properties } });
    let spec = json!({ "version": 0.0, "Resources": [resource], "Hooks": hooks });
    json!({
        "applicationName": "shop", "deploymentGroupName": "g",
        "revision": { "revisionType": "AppSpecContent", "appSpecContent": { "content": spec.to_string() } },
    })
}

fn rollback(event: &str) -> Value {
    json!({ "autoRollbackConfiguration": { "enabled": true, "events": [event] } })
}

fn one(version: &str, share: f64) -> (String, f64) {
    (version.to_owned(), share)
}

#[test]
fn a_canary_gets_its_share_and_then_everything() {
    let cloud = Cloud::new();
    cloud.group(CANARY, json!({}));
    let id = cloud.deploy(json!([]));
    assert_eq!((cloud.status(&id).as_str(), cloud.live()), ("Created", one("1", 0.0)));
    let second = cloud.refused("CreateDeployment", deployment(json!([])));
    assert_eq!(second.code, "DeploymentLimitExceededException");
    cloud.pass(Duration::ZERO);
    assert_eq!((cloud.status(&id).as_str(), cloud.live()), ("InProgress", one("1", 0.1)));
    cloud.pass(MINUTE * 5 - Duration::from_millis(1));
    assert_eq!(cloud.live(), one("1", 0.1));
    cloud.pass(Duration::from_millis(1));
    assert_eq!((cloud.status(&id).as_str(), cloud.live()), ("Succeeded", one("2", 0.0)));
    assert!(!cloud.waits());
    let target = json!({ "deploymentId": id, "targetId": "f:live" });
    let target = cloud.ok("GetDeploymentTarget", target)["deploymentTarget"]["lambdaTarget"].clone();
    assert_eq!(target["lambdaFunctionInfo"]["targetVersionWeight"], 1.0);
    assert_eq!(target["lifecycleEvents"][0]["status"], "Succeeded");
    let group = json!({ "applicationName": "shop", "deploymentGroupName": "g" });
    let info = cloud.ok("GetDeploymentGroup", group.clone())["deploymentGroupInfo"].clone();
    assert_eq!(info["lastSuccessfulDeployment"]["deploymentId"], id);
    assert_eq!(cloud.ok("ListDeployments", group)["deployments"], json!([id]));
}

#[test]
fn a_linear_deployment_goes_in_equal_steps() {
    let cloud = Cloud::new();
    let routing = json!({ "type": "TimeBasedLinear",
        "timeBasedLinear": { "linearPercentage": 30, "linearInterval": 2 } });
    let config = json!({ "deploymentConfigName": "thirds", "computePlatform": "Lambda",
        "trafficRoutingConfig": routing });
    cloud.ok("CreateDeploymentConfig", config);
    cloud.group("thirds", json!({}));
    let id = cloud.deploy(json!([]));
    cloud.pass(Duration::ZERO);
    for share in [0.3, 0.6, 0.9] {
        assert_eq!(cloud.live(), one("1", share));
        cloud.pass(MINUTE * 2);
    }
    assert_eq!((cloud.status(&id).as_str(), cloud.live()), ("Succeeded", one("2", 0.0)));
    let gone = json!({ "deploymentConfigName": "thirds" });
    assert_eq!(cloud.refused("DeleteDeploymentConfig", gone).code, "DeploymentConfigInUseException");
}

#[test]
fn hooks_decide_before_and_after_the_traffic() {
    let cloud = Cloud::new();
    cloud.group(CANARY, rollback("DEPLOYMENT_FAILURE"));
    let id = cloud.deploy(json!([{ "BeforeAllowTraffic": "hook" }, { "AfterAllowTraffic": "hook" }]));
    cloud.pass(Duration::ZERO);
    let before = cloud.called();
    assert_eq!((&before["DeploymentId"], cloud.live()), (&json!(id), one("1", 0.0)));
    cloud.pass(MINUTE * 30);
    cloud.answer(&before, "Succeeded");
    assert_eq!(cloud.live(), one("1", 0.1));
    let again = json!({ "deploymentId": id, "status": "Failed",
        "lifecycleEventHookExecutionId": before["LifecycleEventHookExecutionId"] });
    let again = cloud.refused("PutLifecycleEventHookExecutionStatus", again);
    assert_eq!(again.code, "LifecycleEventAlreadyCompletedException");
    cloud.pass(MINUTE * 5);
    assert_eq!(cloud.live(), one("2", 0.0));
    cloud.answer(&cloud.called(), "Failed");
    let info = cloud.info(&id);
    assert_eq!((&info["status"], cloud.live()), (&json!("Failed"), one("1", 0.0)));
    assert_eq!(info["errorInformation"]["code"], "HOOK_EXECUTION_FAILURE");
    let undone = cloud.info(info["rollbackInfo"]["rollbackDeploymentId"].as_str().unwrap());
    assert_eq!((&undone["creator"], &undone["status"]), (&json!("codeDeployRollback"), &json!("Succeeded")));
    assert_eq!(undone["rollbackInfo"]["rollbackTriggeringDeploymentId"], id);
    // One that says nothing has failed after an hour.
    let id = cloud.deploy(json!([{ "BeforeAllowTraffic": "hook" }]));
    cloud.pass(Duration::ZERO);
    cloud.called();
    cloud.pass(MINUTE * 60);
    assert_eq!((cloud.status(&id).as_str(), cloud.live()), ("Failed", one("1", 0.0)));
    assert!(!cloud.waits());
}

#[test]
fn an_alarm_takes_the_alias_back_in_its_own_commit() {
    let cloud = Cloud::new();
    let alarm = json!({
        "AlarmName": "errors", "Namespace": "AWS/Lambda", "MetricName": "Errors", "Statistic": "Sum",
        "Period": 60, "EvaluationPeriods": 1, "Threshold": 0.0, "ComparisonOperator": "GreaterThanThreshold",
        "TreatMissingData": "ignore",
    });
    cloud.0.call("cloudwatch", "PutMetricAlarm", &alarm).unwrap();
    let mut settings = rollback("DEPLOYMENT_STOP_ON_ALARM");
    settings["alarmConfiguration"] = json!({ "enabled": true, "alarms": [{ "name": "errors" }] });
    cloud.group(LINEAR, settings);
    let set = |state: &str| {
        let state = json!({ "AlarmName": "errors", "StateValue": state, "StateReason": "by hand" });
        cloud.0.call("cloudwatch", "SetAlarmState", &state).unwrap();
    };
    let id = cloud.deploy(json!([]));
    cloud.pass(Duration::ZERO);
    cloud.pass(MINUTE);
    assert_eq!(cloud.live(), one("1", 0.2));
    set("OK");
    assert_eq!(cloud.live(), one("1", 0.2));
    set("ALARM");
    let info = cloud.info(&id);
    assert_eq!((&info["status"], cloud.live()), (&json!("Stopped"), one("1", 0.0)));
    assert_eq!(info["errorInformation"]["code"], "ALARM_ACTIVE");
    assert!(info["rollbackInfo"]["rollbackDeploymentId"].is_string());
    // While it fires, nothing begins.
    let id = cloud.deploy(json!([]));
    cloud.pass(Duration::ZERO);
    assert_eq!((cloud.status(&id).as_str(), cloud.live()), ("Stopped", one("1", 0.0)));
}

#[test]
fn whoever_stops_says_whether_the_alias_goes_back() {
    let cloud = Cloud::new();
    cloud.group(CANARY, rollback("DEPLOYMENT_STOP_ON_REQUEST"));
    let stop = |id: &str, back: Value| {
        cloud.ok("StopDeployment", json!({ "deploymentId": id, "autoRollbackEnabled": back }));
        assert_eq!(cloud.status(id), "Stopped");
    };
    let id = cloud.deploy(json!([]));
    cloud.pass(Duration::ZERO);
    stop(&id, Value::Null);
    assert_eq!(cloud.live(), one("1", 0.0));
    let over = cloud.refused("StopDeployment", json!({ "deploymentId": id }));
    assert_eq!(over.code, "DeploymentAlreadyCompletedException");
    let id = cloud.deploy(json!([]));
    cloud.pass(Duration::ZERO);
    stop(&id, json!(false));
    assert_eq!(cloud.live(), one("1", 0.1));
    cloud.pass(MINUTE * 10);
    assert_eq!(cloud.live(), one("1", 0.1));
    // The next one does not find the alias as its AppSpec says.
    let id = cloud.deploy(json!([]));
    cloud.pass(Duration::ZERO);
    let info = cloud.info(&id);
    assert_eq!(info["errorInformation"]["code"], "INVALID_LAMBDA_CONFIGURATION");
    assert_eq!(cloud.live(), one("1", 0.1));
}

#[test]
fn an_alias_that_somebody_else_moves_is_left_alone() {
    let cloud = Cloud::new();
    cloud.group(CANARY, rollback("DEPLOYMENT_FAILURE"));
    let id = cloud.deploy(json!([]));
    cloud.pass(Duration::ZERO);
    let other = json!({ "RoutingConfig": { "AdditionalVersionWeights": { "2": 0.5 } } });
    cloud.lambda("PUT /2015-03-31/functions/f/aliases/live", other);
    cloud.pass(MINUTE * 5);
    let info = cloud.info(&id);
    assert_eq!((&info["status"], cloud.live()), (&json!("Failed"), one("1", 0.5)));
    assert!(info["rollbackInfo"].is_null(), "{info}");
}

#[test]
fn the_bus_and_the_topics_are_told() {
    let cloud = Cloud::new();
    let sent = |name: &str| format!("arn:aws:sqs:us-east-1:{ACCOUNT}:{name}");
    for name in ["bus", "topic"] {
        cloud.0.call("sqs", "CreateQueue", &json!({ "QueueName": name })).unwrap();
    }
    let rule = json!({ "Name": "r", "EventPattern": r#"{"source":["aws.codedeploy"]}"# });
    cloud.0.call("events", "PutRule", &rule).unwrap();
    let targets = json!({ "Rule": "r", "Targets": [{ "Id": "q", "Arn": sent("bus") }] });
    cloud.0.call("events", "PutTargets", &targets).unwrap();
    cloud.0.form("sns", "/", "CreateTopic", "Name=t").unwrap();
    let topic = format!("arn:aws:sns:us-east-1:{ACCOUNT}:t");
    let subscription = format!("TopicArn={topic}&Protocol=sqs&Endpoint={}", sent("topic"));
    cloud.0.form("sns", "/", "Subscribe", &subscription).unwrap();
    let trigger = json!({ "triggerName": "all", "triggerTargetArn": topic,
        "triggerEvents": ["DeploymentStart", "DeploymentSuccess"] });
    cloud.group("CodeDeployDefault.LambdaAllAtOnce", json!({ "triggerConfigurations": [trigger] }));
    let id = cloud.deploy(json!([]));
    cloud.pass(Duration::ZERO);
    assert_eq!(cloud.live(), one("2", 0.0));
    let bodies = |name: &str| {
        let input = json!({ "QueueUrl": format!("http://x/{ACCOUNT}/{name}"), "MaxNumberOfMessages": 10 });
        let answer = cloud.0.call("sqs", "ReceiveMessage", &input).unwrap().json();
        let body =
            |message: &Value| serde_json::from_str::<Value>(message["Body"].as_str().unwrap()).unwrap();
        answer["Messages"].as_array().unwrap().iter().map(body).collect::<Vec<Value>>()
    };
    let mut states: Vec<String> =
        bodies("bus").iter().map(|event| event["detail"]["state"].as_str().unwrap().to_owned()).collect();
    states.sort();
    assert_eq!(states, ["START", "SUCCESS"]);
    let told = bodies("topic");
    assert_eq!(told.len(), 2);
    let message: Value = serde_json::from_str(told[0]["Message"].as_str().unwrap()).unwrap();
    assert_eq!(message["deploymentId"], id);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    /// Whatever step the process dies at, before or after its commit, a deployment goes on and ends as it would have,
    /// and at every moment the alias is where the deployment says.
    #[test]
    fn a_deployment_survives_a_kill_at_every_step(fates in proptest::collection::vec(0..3_u8, 40)) {
        let cloud = Cloud::new();
        cloud.group(LINEAR, json!({}));
        let id = cloud.deploy(json!([]));
        let lane = format!("timers {ACCOUNT} us-east-1");
        let mut last = 0.0;
        for fate in fates {
            for record in cloud.0.run(|cx| claim(cx, cloud.0.store(), &lane, 16)) {
                prop_assert!(matches!(record.target().unwrap(), Target::Timer(_)));
                match fate {
                    // Killed in flight: the next start puts it back.
                    0 => _ = cloud.0.run(|cx| recover(cx, 100)),
                    // Performed twice, since nobody heard that it was.
                    1 => (0..2).for_each(|_| cloud.0.run(|cx| fire(cx, &record))),
                    _ => cloud.0.run(|cx| fire(cx, &record)),
                }
            }
            let target = json!({ "deploymentId": id, "targetId": "f:live" });
            let target = &cloud.ok("GetDeploymentTarget", target)["deploymentTarget"]["lambdaTarget"];
            let told = target["lambdaFunctionInfo"]["targetVersionWeight"].as_f64().unwrap();
            let (version, share) = cloud.live();
            prop_assert_eq!(if version == "2" { 1.0 } else { share }, told);
            prop_assert!(told == last || (told - last - 0.1).abs() < 1e-9, "from {} to {}", last, told);
            last = told;
            if fate != 0 {
                cloud.0.advance(MINUTE);
            }
        }
        while cloud.status(&id) == "InProgress" || cloud.status(&id) == "Created" {
            cloud.pass(MINUTE);
        }
        prop_assert_eq!((cloud.status(&id), cloud.live()), ("Succeeded".to_owned(), one("2", 0.0)));
    }
}
