//! Calls into inputs, outputs and faults into bytes.

use bytes::Bytes;
use http::{HeaderMap, HeaderName};
use mayfly_kernel::{Fault, Time};
use mayfly_wire::{Call, Protocol, decode, decode_head, encode, parse_query, render_fault, with};
use proptest::prelude::*;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

fn call(query: &str, headers: &[(&str, &str)], body: &str) -> Call {
    let mut map = HeaderMap::new();
    for (name, value) in headers {
        map.append(HeaderName::from_bytes(name.as_bytes()).unwrap(), value.parse().unwrap());
    }
    Call { query: parse_query(query), headers: map, body: Bytes::from(body.to_owned()), ..Call::default() }
}

fn refusal<T>(outcome: Result<T, Fault>) -> String {
    let fault = outcome.err().expect("a fault");
    format!("{} {}: {}", fault.status, fault.code, fault.message)
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Create {
    function_name: String,
    code: Code,
    memory_size: Option<u32>,
    #[serde(default)]
    publish: bool,
    #[serde(default)]
    layers: Vec<String>,
    #[serde(default)]
    tags: BTreeMap<String, String>,
    #[serde(default)]
    package_type: PackageType,
}

#[derive(Debug, Default, Deserialize)]
enum PackageType {
    #[default]
    Zip,
    Image,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Code {
    #[serde(default, with = "with::base64::option")]
    zip_file: Option<Vec<u8>>,
    #[serde(rename = "S3Bucket")]
    s3_bucket: Option<String>,
    s3_key: Option<String>,
}

#[test]
fn json_is_read_strictly() {
    let read = |body: &str| decode::<Create>(Protocol::RestJson, &call("", &[], body));
    let made = read(
        r#"{"FunctionName":"f","Code":{"ZipFile":"aGk=","S3Key":null},"MemorySize":256,"Publish":null,
            "Layers":["a","b"],"Tags":{"k":"v"},"Unknown":[false,{"x":""}],"PackageType":"Image"}"#,
    )
    .unwrap();
    assert_eq!((made.function_name.as_str(), made.memory_size, made.publish), ("f", Some(256), false));
    assert_eq!(made.code.zip_file.as_deref(), Some(b"hi".as_slice()));
    assert_eq!((made.code.s3_bucket, made.code.s3_key), (None, None));
    assert_eq!((made.layers.len(), made.tags["k"].as_str()), (2, "v"));
    assert!(matches!(made.package_type, PackageType::Image));

    let unread = r#"{"FunctionName":"f","Code":{"Unknown":{"x":2}}}"#;
    insta::assert_snapshot!(refusal(read(unread)), @"501 NotImplemented: Mayfly does not implement the member Code.Unknown. See docs/coverage.md.");
    insta::assert_snapshot!(refusal(read("{")), @"400 SerializationException: Could not parse request body into json: EOF while parsing an object at line 1 column 1");
    insta::assert_snapshot!(refusal(read("[]")), @"400 SerializationException: Unexpected value: a request's body is a JSON object");
    insta::assert_snapshot!(refusal(read("")), @"400 ValidationException: 1 validation error detected: Value null at 'functionName' failed to satisfy constraint: Member must not be null");
    insta::assert_snapshot!(refusal(read(r#"{"FunctionName":7,"Code":{}}"#)), @"400 SerializationException: NUMBER_VALUE can not be converted to a string");
    insta::assert_snapshot!(refusal(read(r#"{"FunctionName":"f","Code":{},"MemorySize":"256"}"#)), @"400 SerializationException: STRING_VALUE can not be converted to u32");
    insta::assert_snapshot!(refusal(read(r#"{"FunctionName":"f","Code":"x"}"#)), @"400 SerializationException: STRING_VALUE can not be converted to a structure");
    insta::assert_snapshot!(refusal(read(r#"{"FunctionName":"f","Code":{},"PackageType":"Tar"}"#)), @"400 ValidationException: 1 validation error detected: Value 'Tar' at 'packageType' failed to satisfy constraint: Member must satisfy enum value set: [Zip, Image]");
    insta::assert_snapshot!(refusal(read(r#"{"FunctionName":"f","Code":{"ZipFile":"%"}}"#)), @"400 ValidationException: not of the form base64");
    let deep = "[".repeat(200) + &"]".repeat(200);
    assert!(
        refusal(read(&format!(r#"{{"FunctionName":{deep}}}"#))).starts_with("400 SerializationException")
    );
}

#[test]
fn a_missing_member_is_named_with_its_path() {
    #[derive(Debug, Deserialize)]
    #[serde(rename_all = "PascalCase")]
    struct Outer {
        #[expect(dead_code, reason = "only its absence is read")]
        items: Vec<Inner>,
    }
    #[derive(Debug, Deserialize)]
    #[serde(rename_all = "PascalCase")]
    struct Inner {
        #[expect(dead_code, reason = "only its absence is read")]
        bucket_name: String,
    }
    let read = |body| refusal(decode::<Outer>(Protocol::Json11, &call("", &[], body)));
    insta::assert_snapshot!(read(r#"{"Items":[{"BucketName":"b"},{}]}"#), @"400 ValidationException: 1 validation error detected: Value null at 'items.2.member.bucketName' failed to satisfy constraint: Member must not be null");
}

#[derive(Debug, Deserialize, PartialEq)]
struct List {
    #[serde(rename = "Bucket")]
    bucket: String,
    #[serde(rename = "max-keys")]
    max_keys: Option<u32>,
    #[serde(rename = "fetch-owner", default)]
    fetch_owner: bool,
    #[serde(default)]
    tag: Vec<String>,
    #[serde(rename = "x-amz-expected-bucket-owner")]
    owner: Option<String>,
}

#[test]
fn text_of_requests_becomes_what_the_member_is() {
    let mut list = call(
        "max-keys=7&fetch-owner=true&tag=a&tag=b%20c&Bucket=forged",
        &[("x-amz-expected-bucket-owner", "0")],
        "<not-read/>",
    );
    list.labels = vec![("Bucket".into(), "photos".into())];
    let read: List = decode(Protocol::RestXml, &list).unwrap();
    let tag = vec!["a".to_owned(), "b c".to_owned()];
    let owner = Some("0".to_owned());
    assert_eq!(read, List { bucket: "photos".into(), max_keys: Some(7), fetch_owner: true, tag, owner });
    let one: List = decode(Protocol::RestXml, &call("Bucket=b&tag=x", &[], "")).unwrap();
    assert_eq!(one.tag, ["x"]);
    let refused = |query| refusal(decode::<List>(Protocol::RestXml, &call(query, &[], "")));
    insta::assert_snapshot!(refused("Bucket=b&max-keys=many"), @"400 InvalidArgument: Provided max-keys not an integer or within integer range");
    insta::assert_snapshot!(refused("Bucket=b&max-keys=-1"), @"400 InvalidArgument: Provided max-keys not an integer or within integer range");
    insta::assert_snapshot!(refused(""), @"400 InvalidRequest: Missing required parameter or header: Bucket");
}

#[test]
fn what_remains_can_be_flattened() {
    #[derive(Deserialize)]
    struct Put {
        #[serde(rename = "content-length")]
        length: u64,
        #[serde(flatten)]
        rest: BTreeMap<String, String>,
    }
    let headers =
        [("content-length", "5"), ("x-amz-meta-a", "1"), ("X-Amz-Meta-B", "x"), ("x-amz-meta-b", "y")];
    let call = call("", &headers, "");
    let put: Put = decode(Protocol::RestXml, &call).unwrap();
    assert_eq!((put.length, put.rest["x-amz-meta-a"].as_str()), (5, "1"));
    let metadata = call.headers_with_prefix("x-amz-meta-");
    assert_eq!(metadata, [("a".to_owned(), "1".to_owned()), ("b".to_owned(), "x,y".to_owned())]);
}

#[test]
fn a_payload_is_not_taken_for_members() {
    #[derive(Deserialize)]
    struct Invoke {
        #[serde(rename = "FunctionName")]
        function: String,
        #[serde(rename = "x-amz-invocation-type")]
        kind: Option<String>,
    }
    let mut invoke = call("", &[("X-Amz-Invocation-Type", "Event")], r#"{"FunctionName":"forged"}"#);
    invoke.labels = vec![("FunctionName".into(), "f".into())];
    let read: Invoke = decode_head(Protocol::RestJson, &invoke).unwrap();
    assert_eq!((read.function.as_str(), read.kind.as_deref()), ("f", Some("Event")));
    invoke.body = Bytes::from_static(b"not json");
    assert!(decode_head::<Invoke>(Protocol::RestJson, &invoke).is_ok());
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Stack {
    stack_name: String,
    #[serde(default)]
    parameters: Vec<Parameter>,
    #[serde(default)]
    attributes: BTreeMap<String, String>,
    timeout: Option<u32>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Parameter {
    parameter_key: String,
    #[serde(default)]
    use_previous_value: bool,
}

#[test]
fn forms_become_trees() {
    let read = |body| decode::<Stack>(Protocol::Query, &call("", &[], body));
    let wrapped = read(
        "Action=CreateStack&StackName=a+b%26&Parameters.member.2.ParameterKey=two\
         &Parameters.member.10.ParameterKey=ten&Parameters.member.2.UsePreviousValue=true\
         &Attributes.entry.1.key=K&Attributes.entry.1.value=V&Timeout=30",
    )
    .unwrap();
    assert_eq!((wrapped.stack_name.as_str(), wrapped.timeout), ("a b&", Some(30)));
    let keys: Vec<_> =
        wrapped.parameters.iter().map(|one| (one.parameter_key.as_str(), one.use_previous_value)).collect();
    assert_eq!(keys, [("two", true), ("ten", false)]);
    assert_eq!(wrapped.attributes["K"], "V");

    let flat =
        read("StackName=s&Parameters.1.ParameterKey=k&Attributes.1.Name=K&Attributes.1.Value=V").unwrap();
    assert_eq!((flat.parameters.len(), flat.attributes["K"].as_str()), (1, "V"));
    let empty = read("StackName=s&Parameters=&Attributes=").unwrap();
    assert!(empty.parameters.is_empty() && empty.attributes.is_empty());

    insta::assert_snapshot!(refusal(read("StackName=s&Timeout=soon")), @"400 MalformedInput: STRING_VALUE can not be converted to u32");
    insta::assert_snapshot!(refusal(read("Timeout=1")), @"400 MissingParameter: The request must contain the parameter StackName.");
    let deep = format!("{}=1", ["A"; 40].join("."));
    assert!(
        refusal(decode::<Stack>(Protocol::Query, &call("", &[], &deep)))
            .starts_with("400 MalformedQueryString")
    );
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Described {
    name: &'static str,
    absent: Option<u32>,
    #[serde(with = "with::epoch_seconds")]
    created: Time,
    list: Vec<u32>,
    #[serde(rename = "Map")]
    map: BTreeMap<&'static str, Option<&'static str>>,
}

fn described() -> Described {
    Described {
        name: "a<b>&\"c\"",
        absent: None,
        created: Time::from_ms(1_369_353_600_042),
        list: vec![1, 2],
        map: BTreeMap::from([("k", Some("v"))]),
    }
}

fn text(outcome: Result<(&'static str, Bytes), Fault>) -> String {
    let (content_type, body) = outcome.unwrap();
    format!("{content_type}\n{}", std::str::from_utf8(&body).unwrap())
}

#[test]
fn outputs_are_written_in_each_protocol() {
    let write = |protocol| text(encode(protocol, "Describe", Some("urn:x"), &described(), "id-1"));
    insta::assert_snapshot!(write(Protocol::Json11), @r#"
    application/x-amz-json-1.1
    {"Name":"a<b>&\"c\"","Created":1369353600.042,"List":[1,2],"Map":{"k":"v"}}
    "#);
    insta::assert_snapshot!(write(Protocol::Query), @r#"
    text/xml
    <?xml version="1.0" encoding="UTF-8"?>
    <DescribeResponse xmlns="urn:x"><DescribeResult><Name>a&lt;b&gt;&amp;&quot;c&quot;</Name><Created>1369353600.042</Created><List><member>1</member><member>2</member></List><Map><entry><key>k</key><value>v</value></entry></Map></DescribeResult><ResponseMetadata><RequestId>id-1</RequestId></ResponseMetadata></DescribeResponse>
    "#);
    let nothing = |protocol| text(encode(protocol, "Delete", None, &(), "id-1"));
    insta::assert_snapshot!(nothing(Protocol::Query), @r#"
    text/xml
    <?xml version="1.0" encoding="UTF-8"?>
    <DeleteResponse><ResponseMetadata><RequestId>id-1</RequestId></ResponseMetadata></DeleteResponse>
    "#);
    assert_eq!(nothing(Protocol::Json10), "application/x-amz-json-1.0\n{}");
    assert_eq!(nothing(Protocol::RestJson), "\n");
}

#[test]
fn a_flattened_output_has_no_nulls_but_a_map_may() {
    #[derive(Serialize)]
    struct Inner {
        absent: Option<u32>,
        present: u32,
    }
    #[derive(Serialize)]
    struct Outer {
        #[serde(flatten)]
        inner: Inner,
        document: serde_json::Value,
    }
    let outer = Outer {
        inner: Inner { absent: None, present: 1 },
        document: serde_json::json!({ "x": null, "y": -1.5 }),
    };
    let (_, body) = encode(Protocol::RestJson, "Get", None, &outer, "id").unwrap();
    assert_eq!(body, r#"{"present":1,"document":{"x":null,"y":-1.5}}"#);
}

fn rendered(protocol: Protocol, fault: &Fault) -> String {
    let (status, headers, body) = render_fault(protocol, fault, "id-1", "/photos/a&b");
    let headers: Vec<String> = headers.iter().map(|(name, value)| format!("{name}: {value}")).collect();
    format!("{status}\n{}\n\n{}", headers.join("\n"), std::str::from_utf8(&body).unwrap())
}

#[test]
fn faults_are_written_in_each_protocol() {
    let missing = Fault::new(404, "ResourceNotFoundException", "Function not found: f").with_detail("secret");
    insta::assert_snapshot!(rendered(Protocol::Json11, &missing), @r#"
    404
    content-type: application/x-amz-json-1.1
    x-amzn-requestid: id-1
    x-amzn-errortype: ResourceNotFoundException

    {"__type":"ResourceNotFoundException","message":"Function not found: f"}
    "#);
    insta::assert_snapshot!(rendered(Protocol::RestJson, &missing.clone().with_field("Type", "User")), @r#"
    404
    content-type: application/json
    x-amzn-requestid: id-1
    x-amzn-errortype: ResourceNotFoundException

    {"__type":"ResourceNotFoundException","message":"Function not found: f","Message":"Function not found: f","Type":"User"}
    "#);
    insta::assert_snapshot!(rendered(Protocol::Query, &missing), @r#"
    404
    content-type: text/xml
    x-amzn-requestid: id-1

    <?xml version="1.0" encoding="UTF-8"?>
    <ErrorResponse><Error><Type>Sender</Type><Code>ResourceNotFoundException</Code><Message>Function not found: f</Message></Error><RequestId>id-1</RequestId></ErrorResponse>
    "#);
    let internal = Fault::internal("read", "secret").with_field("BucketName", "photos");
    insta::assert_snapshot!(rendered(Protocol::RestXml, &internal), @r#"
    500
    content-type: application/xml
    x-amz-request-id: id-1
    x-amz-id-2: aWQtMQ==

    <?xml version="1.0" encoding="UTF-8"?>
    <Error><Code>InternalError</Code><Message>We encountered an internal error. Please try again.</Message><BucketName>photos</BucketName><Resource>/photos/a&amp;b</Resource><RequestId>id-1</RequestId><HostId>aWQtMQ==</HostId></Error>
    "#);
}

proptest! {
    #[test]
    fn no_call_makes_it_panic(body: Vec<u8>, query in ".{0,80}", name in "[A-Za-z.0-9]{0,30}", label: String) {
        let mut call = call(&format!("{query}&{name}={query}"), &[], "");
        call.labels = vec![("Bucket".into(), label.clone()), ("FunctionName".into(), label)];
        for body in [Bytes::from(body), Bytes::from(format!("StackName=s&Parameters.{name}=1&{name}=2"))] {
            call.body = body;
            let _ = decode::<Create>(Protocol::RestJson, &call);
            let _ = decode::<Create>(Protocol::Json10, &call);
            let _ = decode::<List>(Protocol::RestXml, &call);
            let _ = decode::<Stack>(Protocol::Query, &call);
        }
    }

    #[test]
    fn a_form_of_text_is_read_back(name: String) {
        let encoded: String = name.bytes().map(|byte| format!("%{byte:02x}")).collect();
        let stack: Stack = decode(Protocol::Query, &call("", &[], &format!("StackName={encoded}"))).unwrap();
        prop_assert_eq!(stack.stack_name, name);
    }
}
