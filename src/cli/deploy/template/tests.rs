//! Whole templates, as they are found in the wild, through the one door of the module.

use super::*;
use serde_json::{Value as Json, json};

fn place() -> Place {
    Place { region: "us-east-1".into(), account: "000000000000".into(), stack: "shop".into() }
}

fn load_with(text: &str, given: &[(&str, &str)]) -> Result<Template, Vec<Problem>> {
    load(text, &place(), &given.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect())
}

fn loaded(text: &str) -> Template {
    load_with(text, &[]).unwrap_or_else(|problems| panic!("{problems:#?}"))
}

/// All problems as they are shown, without the file's name.
fn problems(text: &str) -> Vec<String> {
    load_with(text, &[]).unwrap_err().iter().map(Problem::to_string).collect()
}

fn find<'a>(template: &'a Template, id: &str) -> &'a Resource {
    let ids: Vec<&str> = template.resources.iter().map(|resource| resource.id.as_str()).collect();
    template
        .resources
        .iter()
        .find(|resource| resource.id == id)
        .unwrap_or_else(|| panic!("no {id} in {ids:?}"))
}

fn properties(template: &Template, id: &str) -> Json {
    find(template, id).properties.to_json()
}

/// What `sam init` writes, with its metadata and its outputs.
const HELLO: &str = r#"AWSTemplateFormatVersion: '2010-09-09'
Transform: AWS::Serverless-2016-10-31
Description: >
  sam-app

  Sample SAM Template for sam-app
Globals:
  Function:
    Timeout: 3
    MemorySize: 128
    Environment:
      Variables:
        STAGE: dev
Resources:
  HelloWorldFunction:
    Type: AWS::Serverless::Function
    Properties:
      CodeUri: hello_world/
      Handler: app.lambda_handler
      Runtime: python3.12
      Architectures:
      - x86_64
      MemorySize: 256
      Environment:
        Variables:
          TABLE: none
      Events:
        HelloWorld:
          Type: Api
          Properties:
            Path: /hello
            Method: get
Outputs:
  HelloWorldApi:
    Description: API Gateway endpoint URL for Prod stage for Hello World function
    Value: !Sub "https://${ServerlessRestApi}.execute-api.${AWS::Region}.amazonaws.com/Prod/hello/"
  HelloWorldFunction:
    Description: Hello World Lambda Function ARN
    Value: !GetAtt HelloWorldFunction.Arn
"#;

#[test]
fn the_first_template_of_everyone() {
    let template = loaded(HELLO);
    assert_eq!(
        properties(&template, "HelloWorldFunction"),
        json!({"Handler": "app.lambda_handler", "Runtime": "python3.12", "MemorySize": 256, "Timeout": 3,
            "Environment": {"Variables": {"TABLE": "none", "STAGE": "dev"}},
            "Architectures": ["x86_64"], "Code": "hello_world/"})
    );
    assert_eq!(
        properties(&template, "HelloWorldFunctionHelloWorldRoute"),
        json!({"ApiId": {"Ref": "ServerlessRestApi"}, "RouteKey": "GET /hello",
            "Target": {"Fn::Join": ["", ["integrations/",
                {"Ref": "HelloWorldFunctionHelloWorldIntegration"}]]}})
    );
    let integration = properties(&template, "HelloWorldFunctionHelloWorldIntegration");
    assert_eq!(integration["PayloadFormatVersion"], "1.0");
    assert_eq!(integration["IntegrationUri"], json!({"Fn::GetAtt": ["HelloWorldFunction", "Arn"]}));
    let stage = properties(&template, "ServerlessRestApiProdStage");
    assert_eq!((&stage["StageName"], &stage["AutoDeploy"]), (&json!("Prod"), &json!(true)));
    let permission = properties(&template, "HelloWorldFunctionHelloWorldPermission");
    assert_eq!(permission["Principal"], "apigateway.amazonaws.com");
    assert_eq!(template.outputs.len(), 2);

    let position = |id| template.resources.iter().position(|resource| resource.id == id).unwrap();
    assert!(position("HelloWorldFunction") < position("HelloWorldFunctionHelloWorldIntegration"));
    assert!(
        position("HelloWorldFunctionHelloWorldIntegration") < position("HelloWorldFunctionHelloWorldRoute")
    );
}

const PHOTOS: &str = r#"
Transform: AWS::Serverless-2016-10-31
Parameters:
  Stage: {Type: String, Default: dev, AllowedValues: [dev, prod]}
Conditions:
  IsProd: !Equals [!Ref Stage, prod]
Globals:
  HttpApi:
    CorsConfiguration:
      AllowOrigins: ["*"]
Resources:
  Photos:
    Type: AWS::S3::Bucket
    Properties:
      BucketName: !Sub "${AWS::StackName}-photos-${AWS::AccountId}"
  Upload:
    Type: AWS::Serverless::Function
    Properties:
      CodeUri: upload/
      Handler: index.handler
      Runtime: nodejs22.x
      AutoPublishAlias: live
      Environment: {Variables: {BUCKET: !Ref Photos}}
      FunctionUrlConfig: {AuthType: NONE}
      Policies: [{S3CrudPolicy: {BucketName: !Ref Photos}}]
      Events:
        Page: {Type: HttpApi}
        Put: {Type: HttpApi, Properties: {Path: "/photos/{name}", Method: PUT}}
  Thumb:
    Type: AWS::Serverless::Function
    Properties:
      CodeUri: s3://artifacts/thumb.zip
      Handler: thumb.handler
      Runtime: python3.12
      MemorySize: !If [IsProd, 1024, 256]
      Environment: {Variables: {BUCKET: !Ref Photos}}
      EventInvokeConfig: {MaximumRetryAttempts: 1}
      Events:
        Uploaded:
          Type: S3
          Properties:
            Bucket: !Ref Photos
            Events: s3:ObjectCreated:*
            Filter: {S3Key: {Rules: [{Name: suffix, Value: .jpg}]}}
  Debug:
    Type: AWS::Logs::LogGroup
    Condition: IsProd
Outputs:
  Url: {Value: !GetAtt UploadUrl.FunctionUrl}
  Api: {Value: !Sub "${ServerlessHttpApi.ApiEndpoint}/"}
  Live: {Value: !Ref Upload.Alias}
  Version: {Value: !Sub "${Upload.Version}"}
"#;

#[test]
fn a_function_may_name_the_bucket_that_calls_it() {
    let template = loaded(PHOTOS);
    let position = |id| template.resources.iter().position(|resource| resource.id == id).unwrap();
    for (first, second) in [
        ("Photos", "Thumb"),
        ("Thumb", "ThumbUploadedPermission"),
        ("ThumbUploadedPermission", "PhotosNotifications"),
        ("UploadVersion", "UploadAliaslive"),
        ("UploadAliaslive", "UploadUrl"),
    ] {
        assert!(position(first) < position(second), "{first} before {second}");
    }
    assert_eq!(
        properties(&template, "PhotosNotifications"),
        json!({"Bucket": {"Ref": "Photos"}, "Targets": [{
            "Function": {"Fn::GetAtt": ["Thumb", "Arn"]}, "Events": ["s3:ObjectCreated:*"],
            "Filter": {"S3Key": {"Rules": [{"Name": "suffix", "Value": ".jpg"}]}}}]})
    );
    assert_eq!(properties(&template, "Photos"), json!({"BucketName": "shop-photos-000000000000"}));
}

#[test]
fn an_alias_is_what_its_events_call() {
    let template = loaded(PHOTOS);
    let live = json!({"Ref": "UploadAliaslive"});
    assert_eq!(properties(&template, "UploadPutIntegration")["IntegrationUri"], live);
    assert_eq!(properties(&template, "UploadPutPermission")["FunctionName"], live);
    assert_eq!(properties(&template, "UploadUrl")["Qualifier"], "live");
    assert_eq!(properties(&template, "UploadUrlPublicPermissions")["FunctionUrlAuthType"], "NONE");
    assert_eq!(properties(&template, "UploadPageRoute")["RouteKey"], "$default");
    assert_eq!(properties(&template, "UploadPutRoute")["RouteKey"], "PUT /photos/{name}");
    let values: Vec<Json> = template.outputs.iter().map(|output| output.value.to_json()).collect();
    assert_eq!(values[2..], [live, json!({"Fn::Join": ["", ["", {"Ref": "UploadVersion"}, ""]]})]);
    assert!(find(&template, "UploadVersion").retain, "old versions stay for rolling an alias back");
}

#[test]
fn globals_reach_the_implicit_api_and_conditions_hold() {
    let template = loaded(PHOTOS);
    let api = properties(&template, "ServerlessHttpApi");
    assert_eq!(api["CorsConfiguration"], json!({"AllowOrigins": ["*"]}));
    assert_eq!(api["ProtocolType"], "HTTP");
    assert_eq!(properties(&template, "Thumb")["MemorySize"], 256);
    assert_eq!(
        properties(&template, "Thumb")["Code"],
        json!({"S3Bucket": "artifacts", "S3Key": "thumb.zip"})
    );
    assert_eq!(properties(&template, "ThumbEventInvokeConfig")["Qualifier"], "$LATEST");
    assert!(template.resources.iter().all(|resource| resource.id != "Debug"));

    let prod = load_with(PHOTOS, &[("Stage", "prod")]).unwrap();
    assert_eq!(properties(&prod, "Thumb")["MemorySize"], 1024);
    find(&prod, "Debug");
    let warned: Vec<String> = prod.warnings.iter().map(Problem::to_string).collect();
    assert!(
        warned.iter().any(|w| w.starts_with("25: resource Upload: Policies are not enforced")),
        "{warned:?}"
    );
}

#[test]
fn the_plain_types_are_taken_as_they_are() {
    let template = loaded(
        r#"{
  "Resources": {
    "Fn": {"Type": "AWS::Lambda::Function", "Properties": {
      "Code": {"ZipFile": "def handler(e, c): return 1"}, "Handler": "index.handler",
      "Runtime": "python3.12", "Role": {"Fn::GetAtt": ["Role", "Arn"]}}},
    "Role": {"Type": "AWS::IAM::Role", "Properties": {"AssumeRolePolicyDocument": {}}},
    "Inbox": {"Type": "AWS::S3::Bucket", "DependsOn": "Allow", "Properties": {
      "NotificationConfiguration": {"LambdaConfigurations": [
        {"Event": "s3:ObjectCreated:*", "Function": {"Fn::GetAtt": ["Fn", "Arn"]}}]}}},
    "Allow": {"Type": "AWS::Lambda::Permission", "Properties": {
      "Action": "lambda:InvokeFunction", "FunctionName": {"Ref": "Fn"}, "Principal": "s3.amazonaws.com"}},
    "Api": {"Type": "AWS::ApiGatewayV2::Api", "Properties": {"Name": "x", "ProtocolType": "HTTP"}},
    "Stage": {"Type": "AWS::ApiGatewayV2::Stage", "Properties": {
      "ApiId": {"Ref": "Api"}, "StageName": "$default", "AutoDeploy": true}}
  }
}"#,
    );
    let ids: Vec<&str> = template.resources.iter().map(|resource| resource.id.as_str()).collect();
    assert_eq!(ids, ["Role", "Fn", "Allow", "Inbox", "Api", "Stage", "InboxNotifications"]);
    assert_eq!(
        properties(&template, "InboxNotifications")["Targets"][0]["Events"],
        json!(["s3:ObjectCreated:*"])
    );
    assert!(template.warnings[0].message.contains("named and not enforced"));
}

#[test]
fn references_are_filled_in_when_they_are_known() {
    let template = loaded(PHOTOS);
    let api = &find(&template, "UploadPutPermission").properties;
    let known = |name: &str, asked: Asked<'_>| match (name, asked) {
        ("ServerlessHttpApi", Asked::Id) => Some("abc123".to_owned()),
        ("UploadAliaslive", Asked::Id) => Some("arn:live".to_owned()),
        _ => None,
    };
    let resolved = resolve(api, &place(), &known).unwrap();
    assert!(!is_pending(&resolved));
    assert_eq!(
        resolved.to_json()["SourceArn"],
        "arn:aws:execute-api:us-east-1:000000000000:abc123/*/*/photos/*"
    );
    assert!(is_pending(&resolve(api, &place(), &|_, _| None).unwrap()));
}

const FUNCTION: &str = "Transform: AWS::Serverless-2016-10-31
Resources:
  Thumb:
    Type: AWS::Serverless::Function
    Properties:
      CodeUri: .
      Handler: a.b
      Runtime: python3.12
";

#[test]
fn every_problem_names_its_resource_and_its_line() {
    let cases = [
        (
            "      MemorySiz: 128",
            "9: resource Thumb: AWS::Serverless::Function has no property MemorySiz; did you mean",
        ),
        ("      Timeout: soon", "9: resource Thumb: Timeout must be a whole number, not `soon`"),
        ("      Layers: {a: b}", "9: resource Thumb: Layers must be a list, not a map"),
        ("      InlineCode: x", "6: resource Thumb: give CodeUri or InlineCode, not both"),
        (
            "      Description: !Ref Nobody",
            "9: resource Thumb: `Nobody` is neither a parameter nor a resource that is made",
        ),
        (
            "      Description: !GetAtt Thum.Arn",
            "9: resource Thumb: `Thum` is neither a parameter nor a resource that is made; did you",
        ),
        (
            "      Description: !GetAtt Thumb.Arm",
            "9: resource Thumb: Thumb (AWS::Lambda::Function) has no attribute `Arm`; it has: Arn",
        ),
        ("      Description: !GetAtt Thumb.Arn", "3: resource Thumb: needs itself: Thumb → Thumb"),
        (
            "      Events: {Q: {Type: Kinesis}}",
            "9: resource Thumb: events of type Kinesis are not supported yet; supported are HttpApi, \
             Api, S3, SQS, SNS, EventBridgeRule, CloudWatchEvent, Schedule, ScheduleV2, SelfManagedKafka and MQ",
        ),
        (
            "      Events: {Q: {Type: S3, Properties: {Bucket: b, Events: x}}}",
            "9: resource Thumb: an S3 event names a bucket of the same template: Bucket: !Ref Name",
        ),
        (
            "      Events: {Q: {Type: HttpApi, Properties: {Path: x}}}",
            "9: resource Thumb: the path `x` must begin with /",
        ),
        (
            "      Events:\n        Q:\n          Type: HttpApi\n          Properties:\n            Path: /\n\
             \x20           Auth: {Authorizer: Mine}",
            "14: resource Thumb: authorizers are not supported yet; the route would be open to everyone",
        ),
        (
            "    DependsOn: Nobody",
            "3: resource Thumb: DependsOn names `Nobody`, which the template does not have",
        ),
        (
            "  Fifo:\n    Type: AWS::Kinesis::Stream",
            "10: resource Fifo: the type AWS::Kinesis::Stream is not supported; supported are:\n    AWS::Api",
        ),
        ("  Fifo: {}", "9: resource Fifo: the resource has no Type"),
        ("Output:\n  A: 1", "9: a template has no section `Output`"),
        ("Outputs:\n  A:\n    Value: !Ref X", "11: `X` is neither a parameter nor a resource that is made"),
    ];
    for (addition, expected) in cases {
        let found = problems(&format!("{FUNCTION}{addition}\n"));
        assert!(found[0].starts_with(expected), "{found:#?}\nexpected {expected}");
    }
}

#[test]
fn what_is_started_whole_needs_no_handler() {
    let without = FUNCTION.replace("      Handler: a.b\n", "");
    assert_eq!(
        problems(&without),
        ["3: resource Thumb: AWS::Serverless::Function needs the property Handler"]
    );
    assert_eq!(loaded(&without.replace("python3.12", "wasm")).resources.len(), 1);
}

#[test]
fn all_of_a_templates_mistakes_are_told_at_once() {
    let text = format!(
        "{FUNCTION}      Timeout: soon\n  Bucket: {{Type: AWS::S3::Bucket, Properties: {{BucketNam: x}}}}\n"
    );
    assert_eq!(problems(&text).len(), 1, "plain types are checked once those of SAM are sound");
    let text = format!("{FUNCTION}      Timeout: soon\n      Layers: x\n  Other:\n    Type: AWS::Nope\n");
    assert_eq!(problems(&text).len(), 3);
}

#[test]
fn a_circle_is_shown() {
    let text = "Resources:
  A: {Type: AWS::S3::Bucket, DependsOn: B}
  B: {Type: AWS::S3::Bucket, DependsOn: [C]}
  C: {Type: AWS::S3::Bucket, Properties: {BucketName: !Sub '${A}-c'}}
";
    assert_eq!(problems(text), ["2: resource A: needs itself: A → B → C → A"]);
}

#[test]
fn events_of_buses_and_clocks_are_rules_and_schedules() {
    let template = loaded(
        r#"
Transform: AWS::Serverless-2016-10-31
Resources:
  Work:
    Type: AWS::Serverless::Function
    Properties:
      CodeUri: s3://artifacts/work.zip
      Handler: work.handler
      Runtime: python3.12
      Events:
        Ordered:
          Type: EventBridgeRule
          Properties:
            EventBusName: orders
            Pattern: {source: [shop]}
            InputPath: $.detail
            RetryPolicy: {MaximumRetryAttempts: 3}
        Nightly:
          Type: Schedule
          Properties: {Schedule: rate(1 day), Enabled: false, Input: '{}'}
        Morning:
          Type: ScheduleV2
          Properties: {ScheduleExpression: cron(0 9 * * ? *), ScheduleExpressionTimezone: Europe/Berlin}
"#,
    );
    let arn = json!({"Fn::GetAtt": ["Work", "Arn"]});
    assert_eq!(
        properties(&template, "WorkOrdered"),
        json!({"EventPattern": {"source": ["shop"]}, "EventBusName": "orders", "Targets": [{
            "Arn": arn, "Id": "WorkOrderedLambdaTarget", "InputPath": "$.detail",
            "RetryPolicy": {"MaximumRetryAttempts": 3}}]})
    );
    assert_eq!(
        properties(&template, "WorkOrderedPermission")["SourceArn"],
        json!({"Fn::GetAtt": ["WorkOrdered", "Arn"]})
    );
    let nightly = properties(&template, "WorkNightly");
    assert_eq!(
        (&nightly["ScheduleExpression"], &nightly["State"]),
        (&json!("rate(1 day)"), &json!("DISABLED"))
    );
    let morning = properties(&template, "WorkMorning");
    assert_eq!(morning["FlexibleTimeWindow"], json!({"Mode": "OFF"}));
    assert_eq!((&morning["Name"], &morning["Target"]["Arn"]), (&json!("WorkMorning"), &arn));
}

#[test]
fn a_deployment_preference_is_a_group_that_moves_the_alias() {
    let template = loaded(
        "
Transform: AWS::Serverless-2016-10-31
Globals:
  Function:
    AutoPublishAlias: live
    DeploymentPreference: {Type: Canary10Percent5Minutes}
Resources:
  Check:
    Type: AWS::Serverless::Function
    Properties: {CodeUri: ., Handler: a.b, Runtime: python3.12, DeploymentPreference: {Enabled: false}}
  Pay:
    Type: AWS::Serverless::Function
    Properties:
      CodeUri: .
      Handler: a.b
      Runtime: python3.12
      ProvisionedConcurrencyConfig: {ProvisionedConcurrentExecutions: 3}
      DeploymentPreference:
        Alarms: [!Ref Errors]
        Hooks: {PreTraffic: !Ref Check}
  Errors:
    Type: AWS::CloudWatch::Alarm
    Properties:
      Namespace: AWS/Lambda
      MetricName: Errors
      Statistic: Sum
      Period: 60
      EvaluationPeriods: 1
      Threshold: 0
      ComparisonOperator: GreaterThanThreshold
      Dimensions: [{Name: ExecutedVersion, Value: !GetAtt Pay.Version.Version}]
",
    );
    let position = |id| template.resources.iter().position(|resource| resource.id == id).unwrap();
    let order = ["PayVersion", "Errors", "PayDeploymentGroup", "PayAliaslive"];
    assert!(order.windows(2).all(|pair| position(pair[0]) < position(pair[1])));
    let alias = properties(&template, "PayAliaslive");
    assert_eq!(
        alias[catalog::DEPLOYMENT],
        json!({"ApplicationName": {"Ref": "ServerlessDeploymentApplication"},
            "DeploymentGroupName": {"Ref": "PayDeploymentGroup"}, "BeforeAllowTrafficHook": {"Ref": "Check"}})
    );
    assert_eq!(alias["ProvisionedConcurrencyConfig"]["ProvisionedConcurrentExecutions"], 3);
    assert!(properties(&template, "CheckAliaslive").get(catalog::DEPLOYMENT).is_none());
    let group = properties(&template, "PayDeploymentGroup");
    assert_eq!(group["DeploymentConfigName"], "CodeDeployDefault.LambdaCanary10Percent5Minutes");
    assert_eq!(group["AlarmConfiguration"]["Alarms"], json!([{"Name": {"Ref": "Errors"}}]));
    let version = &properties(&template, "Errors")["Dimensions"][0]["Value"];
    assert_eq!(*version, json!({"Fn::GetAtt": ["PayVersion", "Version"]}));
}

#[test]
fn the_example_of_a_gradual_deploy_is_one() {
    let template = loaded(include_str!("../../../../examples/gradual/template.yaml"));
    let metrics = &properties(&template, "ErrorRate")["Metrics"];
    let version = json!({"Fn::GetAtt": ["PayVersion", "Version"]});
    for metric in [&metrics[0], &metrics[1]] {
        assert_eq!(metric["MetricStat"]["Metric"]["Dimensions"][2]["Value"], version);
    }
    assert!(template.warnings.is_empty(), "{:?}", template.warnings);
}
