use super::{Cloud, refused, text, texts};
use crate::fabric::{claim, lanes};
use serde_json::{Value, json};

const FUNCTION: &str = "arn:aws:lambda:us-east-1:000000000000:function:f";

/// A cloud with the function `f`, which the bucket `box` may invoke.
fn with_function() -> Cloud {
    let cloud = Cloud::new();
    let function = json!({
        "FunctionName": "f", "Runtime": "python3.12", "Handler": "app.handler",
        "Role": "arn:aws:iam::000000000000:role/runner", "Code": { "ZipFile": "Zmlyc3Q=" },
    });
    let permission = json!({
        "StatementId": "s3", "Action": "lambda:InvokeFunction", "Principal": "s3.amazonaws.com",
        "SourceArn": "arn:aws:s3:::box",
    });
    let send = |path: &str, input: &Value| {
        cloud.0.http("lambda", path, &[], serde_json::to_vec(input).unwrap()).unwrap();
    };
    send("POST /2015-03-31/functions", &function);
    send("POST /2015-03-31/functions/f/policy", &permission);
    cloud
}

fn configuration(function: &str, events: &[&str], rules: &[(&str, &str)]) -> String {
    let events: String = events.iter().map(|event| format!("<Event>{event}</Event>")).collect();
    let rule = |(name, value): &(&str, &str)| {
        format!("<FilterRule><Name>{name}</Name><Value>{value}</Value></FilterRule>")
    };
    let rules: String = rules.iter().map(rule).collect();
    format!(
        "<CloudFunctionConfiguration><Id>c1</Id><CloudFunction>{function}</CloudFunction>{events}\
         <Filter><S3Key>{rules}</S3Key></Filter></CloudFunctionConfiguration>"
    )
}

fn queue_configuration(queue: &str) -> String {
    format!(
        "<QueueConfiguration><Id>q1</Id><Queue>{queue}</Queue><Event>s3:ObjectCreated:*</Event></QueueConfiguration>"
    )
}

fn put(cloud: &Cloud, configuration: &str) {
    let body = format!("<NotificationConfiguration>{configuration}</NotificationConfiguration>");
    cloud.ok("PUT /box?notification", &[], &body);
}

/// What waits for the function: the type of each delivery, and its event.
fn events(cloud: &Cloud) -> Vec<(String, Value)> {
    let lane = format!("function {FUNCTION}");
    let store = cloud.0.store();
    if !lanes(store).unwrap().iter().any(|(name, _)| *name == lane) {
        return Vec::new();
    }
    let claimed = cloud.0.run(|cx| claim(cx, store, &lane, 100));
    let event = |payload: &[u8]| serde_json::from_slice(payload).unwrap();
    claimed.iter().map(|record| (record.event_type.clone(), event(&record.payload))).collect()
}

#[test]
fn a_put_object_tells_the_function_what_aws_would() {
    let cloud = with_function();
    put(&cloud, &configuration(FUNCTION, &["s3:ObjectCreated:*"], &[("prefix", "in/"), ("Suffix", ".txt")]));
    cloud.put("/box/in/a%20b%C3%A9%2B.txt", "hello");
    cloud.put("/box/in/a.png", "not wanted");
    cloud.put("/box/out/a.txt", "not wanted");
    cloud.ok("DELETE /box/in/a%20b%C3%A9%2B.txt", &[], "");
    let told = events(&cloud);
    let [(kind, event)] = &told[..] else { panic!("one event: {told:?}") };
    assert_eq!(kind, "aws.s3.ObjectCreated:Put");
    let sequencer = event["Records"][0]["s3"]["object"]["sequencer"].as_str().unwrap();
    assert_eq!(sequencer.len(), 16);
    let expected = json!({ "Records": [{
        "eventVersion": "2.1",
        "eventSource": "aws:s3",
        "awsRegion": "us-east-1",
        "eventTime": "2026-01-01T00:00:00.000Z",
        "eventName": "ObjectCreated:Put",
        "userIdentity": { "principalId": "000000000000" },
        "requestParameters": { "sourceIPAddress": "" },
        "responseElements": { "x-amz-request-id": "request", "x-amz-id-2": "request" },
        "s3": {
            "s3SchemaVersion": "1.0",
            "configurationId": "c1",
            "bucket": {
                "name": "box", "ownerIdentity": { "principalId": "000000000000" }, "arn": "arn:aws:s3:::box",
            },
            "object": {
                "key": "in/a+b%C3%A9%2B.txt", "size": 5, "eTag": "5d41402abc4b2a76b9719d911017c592",
                "sequencer": sequencer,
            },
        },
    }] });
    assert_eq!(event, &expected);
}

#[test]
fn every_way_to_change_an_object_has_its_event() {
    let cloud = with_function();
    put(
        &cloud,
        &configuration(FUNCTION, &["s3:ObjectCreated:*", "s3:ObjectRemoved:*", "s3:ObjectTagging:*"], &[]),
    );
    cloud.put("/box/k", "x");
    cloud.ok("PUT /box/copy", &[("x-amz-copy-source", "box/k")], "");
    cloud.ok("DELETE /box/k?tagging", &[], "");
    let upload = text(cloud.ok("POST /box/k?uploads", &[], "").text(), "UploadId");
    let part = cloud.ok(&format!("PUT /box/k?partNumber=1&uploadId={upload}"), &[], "x");
    let etag = part.header("etag").unwrap().trim_matches('"');
    let body = format!(
        "<CompleteMultipartUpload><Part><PartNumber>1</PartNumber><ETag>{etag}</ETag></Part></CompleteMultipartUpload>"
    );
    cloud.ok(&format!("POST /box/k?uploadId={upload}"), &[], &body);
    cloud.ok("DELETE /box/none", &[], "");
    cloud.ok("POST /box?delete", &[], "<Delete><Object><Key>k</Key></Object></Delete>");
    cloud.versioning("Enabled");
    cloud.ok("DELETE /box/copy", &[], "");
    let told = events(&cloud);
    let mut kinds: Vec<&str> = told.iter().map(|(kind, _)| kind.trim_start_matches("aws.s3.")).collect();
    kinds.sort_unstable();
    let expected = [
        "ObjectCreated:CompleteMultipartUpload",
        "ObjectCreated:Copy",
        "ObjectCreated:Put",
        "ObjectRemoved:Delete",
        "ObjectRemoved:DeleteMarkerCreated",
        "ObjectTagging:Delete",
    ];
    assert_eq!(kinds, expected);
    let object = |kind: &str| {
        let (_, event) = told.iter().find(|(other, _)| other.ends_with(kind)).unwrap();
        event["Records"][0]["s3"]["object"].clone()
    };
    assert_eq!(object("ObjectRemoved:Delete").get("size"), None);
    assert!(object("DeleteMarkerCreated")["versionId"].is_string());
    let order = |kind: &str| object(kind)["sequencer"].as_str().unwrap().to_owned();
    assert!(order("ObjectCreated:Put") < order("CompleteMultipartUpload"));
    assert!(order("CompleteMultipartUpload") < order("ObjectRemoved:Delete"));
}

#[test]
fn a_configuration_is_held_to_the_rules() {
    let cloud = with_function();
    let refusal = |configuration: &str| {
        let body = format!("<NotificationConfiguration>{configuration}</NotificationConfiguration>");
        cloud.refusal("PUT /box?notification", &[], &body)
    };
    let created = ["s3:ObjectCreated:*"];
    let unable = "Unable to validate the following destination configurations";
    let nobody = format!("{FUNCTION}-other");
    assert_eq!(refusal(&configuration(&nobody, &created, &[])), refused(400, "InvalidArgument", unable));
    let text = "The ARN is not well formed";
    assert_eq!(refusal(&configuration("f", &created, &[])), refused(400, "InvalidArgument", text));
    let text = "The event is not supported for notifications";
    assert_eq!(refusal(&configuration(FUNCTION, &["s3:Made"], &[])), refused(400, "InvalidArgument", text));
    let text = "filter rule name must be either prefix or suffix";
    assert_eq!(
        refusal(&configuration(FUNCTION, &created, &[("infix", "a")])),
        refused(400, "InvalidArgument", text)
    );
    assert_eq!(refusal(&configuration(FUNCTION, &[], &[])).1, "MalformedXML");
    let one = configuration(FUNCTION, &created, &[("prefix", "a")]);
    let two = configuration(FUNCTION, &["s3:ObjectCreated:Put"], &[("prefix", "ab")]).replace("c1", "c2");
    assert!(refusal(&format!("{one}{two}")).2.starts_with("Configurations overlap."));
    let queue = queue_configuration("arn:aws:sqs:us-east-1:000000000000:none");
    assert_eq!(refusal(&queue), refused(400, "InvalidArgument", unable));

    put(&cloud, &one);
    let stored = cloud.get("/box?notification");
    assert_eq!((text_of(&stored, "CloudFunction"), text_of(&stored, "Value")), (FUNCTION.into(), "a".into()));
    put(&cloud, "");
    assert!(texts(cloud.get("/box?notification").text(), "Id").is_empty());
    cloud.put("/box/a", "x");
    assert!(events(&cloud).is_empty());
}

fn text_of(answer: &crate::testing::Answer, name: &str) -> String {
    text(answer.text(), name)
}

#[test]
fn a_queue_is_told_in_the_commit_of_the_object() {
    let cloud = Cloud::new();
    let url =
        cloud.0.call("sqs", "CreateQueue", &json!({ "QueueName": "q" })).unwrap().json()["QueueUrl"].take();
    put(&cloud, &queue_configuration("arn:aws:sqs:us-east-1:000000000000:q"));
    let stored = cloud.get("/box?notification");
    assert_eq!(text_of(&stored, "Queue"), "arn:aws:sqs:us-east-1:000000000000:q");
    let received = || -> Value {
        let got = cloud.0.call("sqs", "ReceiveMessage", &json!({ "QueueUrl": url })).unwrap().json();
        serde_json::from_str(got["Messages"][0]["Body"].as_str().unwrap()).unwrap()
    };
    assert_eq!(received()["Event"], "s3:TestEvent");
    cloud.put("/box/a", "x");
    let event = received();
    assert_eq!(event["Records"][0]["s3"]["object"]["key"], "a");
    cloud.0.call("sqs", "DeleteQueue", &json!({ "QueueUrl": url })).unwrap();
    cloud.put("/box/b", "an object is stored though its queue is gone");
}
