use super::super::{NotReady, Prepared, Why};
use super::{ARN, Cloud, ROLE, function, invalid, with, zip};
use mayfly_kernel::function::Concurrency;
use serde_json::{Value, json};

const FUNCTIONS: &str = "/2015-03-31/functions";
const VALIDATION: &str = "ValidationException";
const PARAMETER: &str = "InvalidParameterValueException";

fn create() -> String {
    format!("POST {FUNCTIONS}")
}

#[test]
fn a_new_function_is_shown_as_aws_shows_it() {
    let cloud = Cloud::new();
    let answer = cloud.send(&create(), &function("f")).unwrap();
    assert_eq!(answer.reply.status, 201);
    let mut shown = answer.json();
    let revision = shown.as_object_mut().unwrap().remove("RevisionId").unwrap();
    assert_eq!(revision.as_str().unwrap().len(), 36);
    assert_eq!(
        shown,
        json!({
            "FunctionName": "f",
            "FunctionArn": ARN,
            "Runtime": "python3.12",
            "Role": ROLE,
            "Handler": "app.handler",
            "CodeSize": 5,
            "Description": "",
            "Timeout": 3,
            "MemorySize": 128,
            "LastModified": "2026-01-01T00:00:00.000+0000",
            "CodeSha256": "p5N7ZLjKpY8Dchu2us9ceMsjX+vg5wsbhM2ZVBRhoI4=",
            "Version": "$LATEST",
            "TracingConfig": { "Mode": "PassThrough" },
            "State": "Active",
            "LastUpdateStatus": "InProgress",
            "LastUpdateStatusReason": "The function is being created.",
            "LastUpdateStatusReasonCode": "Creating",
            "PackageType": "Zip",
            "Architectures": ["x86_64"],
            "EphemeralStorage": { "Size": 512 },
            "SnapStart": { "ApplyOn": "None", "OptimizationStatus": "Off" },
            "LoggingConfig": { "LogFormat": "Text", "LogGroup": "/aws/lambda/f" },
        })
    );
    cloud.prepare(&Ok(vec!["python3.12 is not here; python3.13 runs it.".into()]));
    let got = cloud.get(&format!("{FUNCTIONS}/f"));
    assert_eq!(got["Configuration"]["LastUpdateStatus"], "Successful");
    assert_eq!(got["Configuration"]["StateReason"], "python3.12 is not here; python3.13 runs it.");
    assert_eq!(got["Code"]["RepositoryType"], "S3");
    let link = got["Code"]["Location"].as_str().unwrap();
    assert!(
        link.starts_with("http://127.0.0.1:4566/_mayfly/packages/") && link.contains("expires=1767226200")
    );
    assert_eq!(got.get("Tags"), None);
    assert_eq!(
        cloud.refusal(&create(), &function("f")),
        invalid("ResourceConflictException", "Function already exist: f")
    );
}

#[test]
fn settings_that_break_a_rule_are_refused_in_awss_words() {
    let cloud = Cloud::new();
    let refused = |members: Value| cloud.refusal(&create(), &with(function("f"), members));
    let broken = |value: &str, path: &str, constraint: &str| {
        let sentence = format!("Value '{value}' at '{path}' failed to satisfy constraint: {constraint}");
        invalid(VALIDATION, format!("1 validation error detected: {sentence}"))
    };
    assert_eq!(
        refused(json!({ "Timeout": 901 })),
        broken("901", "timeout", "Member must have value less than or equal to 900")
    );
    assert_eq!(
        refused(json!({ "MemorySize": 64 })),
        broken("64", "memorySize", "Member must have value greater than or equal to 128")
    );
    assert_eq!(
        refused(json!({ "EphemeralStorage": { "Size": 100 } })),
        broken("100", "ephemeralStorage.size", "Member must have value greater than or equal to 512")
    );
    assert_eq!(
        refused(json!({ "Role": "nobody" })),
        broken(
            "nobody",
            "role",
            concat!(
                r"Member must satisfy regular expression pattern: arn:(aws[a-zA-Z-]*)?:iam::\d{12}:role/?[a-",
                r"zA-Z_0-9+=,.@\-_/]+",
            )
        )
    );
    assert_eq!(
        refused(json!({ "Handler": "two words" })),
        broken("two words", "handler", r"Member must satisfy regular expression pattern: [^\s]+")
    );
    assert_eq!(
        refused(json!({ "Architectures": ["mips"] })),
        broken(
            "[mips]",
            "architectures",
            "Member must satisfy constraint: \
             [Member must satisfy enum value set: [x86_64, arm64], Member must not be null]"
        )
    );
}

#[test]
fn what_is_missing_or_not_offered_is_said() {
    let cloud = Cloud::new();
    let refused = |members: Value| cloud.refusal(&create(), &with(function("f"), members));
    assert_eq!(
        refused(json!({ "PackageType": "Tar" })),
        invalid(
            VALIDATION,
            "1 validation error detected: Value 'Tar' at 'packageType' failed to satisfy constraint: \
             Member must satisfy enum value set: [Zip, Image]"
        )
    );
    assert_eq!(
        refused(json!({ "Role": null })).1,
        "1 validation error detected: Value null at 'role' failed to satisfy constraint: Member must not \
         be null"
    );
    assert_eq!(
        refused(json!({ "Handler": null })),
        invalid(
            PARAMETER,
            "Runtime and Handler are mandatory parameters for functions created with deployment packages."
        )
    );
    assert_eq!(
        refused(json!({ "Runtime": "cobol" })),
        invalid(
            PARAMETER,
            "Value cobol at 'runtime' failed to satisfy constraint: Member must satisfy enum value set: \
             [python3.*, nodejs*.x, java*, provided, provided.al2, provided.al2023, web, wasm] or be a \
             valid ARN"
        )
    );
    assert_eq!(
        refused(json!({ "Code": {} })),
        invalid(PARAMETER, "Please provide a source for function code.")
    );
    assert_eq!(
        refused(json!({ "Code": { "ZipFile": "" } })),
        invalid(PARAMETER, "Uploaded file must be a non-empty zip")
    );
    assert_eq!(
        refused(json!({ "PackageType": "Image" })),
        invalid(
            PARAMETER,
            "Please don't provide Handler or Runtime or Layer when the intended function PackageType is Image."
        )
    );
    assert_eq!(
        refused(json!({ "VpcConfig": { "SubnetIds": ["subnet-1"], "SecurityGroupIds": [] } })).0,
        "NotImplemented"
    );
    assert_eq!(
        refused(json!({ "FunctionName": "a b" })).1,
        concat!(
            r"1 validation error detected: Value 'a b' at 'functionName' failed to satisfy constraint: M",
            r"ember must satisfy regular expression pattern: (arn:(aws[a-zA-Z-]*)?:lambda:)?([a-z]{2}((-",
            r"gov)|(-iso([a-z]?)))?-[a-z]+-\d{1}:)?(\d{12}:)?(function:)?([a-zA-Z0-9-_]+)(:(\$LATEST|[a-",
            r"zA-Z0-9-_]+))?",
        )
    );
    // What tools send to say "nothing" asks for nothing.
    let vpc = json!({ "SubnetIds": [], "SecurityGroupIds": [] });
    let empty = json!({ "VpcConfig": vpc, "FileSystemConfigs": [], "KMSKeyArn": "" });
    cloud.ok(&create(), &with(function("f"), empty));
}

#[test]
fn the_environment_has_rules_of_its_own() {
    let cloud = Cloud::new();
    let refused = |variables: Value| {
        let members = json!({ "Environment": { "Variables": variables } });
        cloud.refusal(&create(), &with(function("f"), members)).1
    };
    assert_eq!(
        refused(json!({ "AWS_REGION": "x", "AWS_SESSION_TOKEN": "y", "FINE": "z" })),
        "Lambda was unable to configure your environment variables because the environment variables you \
         have \
         provided contains reserved keys that are currently not supported for modification. \
         Reserved keys used in this request: AWS_REGION, AWS_SESSION_TOKEN"
    );
    assert!(refused(json!({ "A-B": "x" })).contains("Map keys must satisfy constraint"));
    assert!(
        refused(json!({ "A": "x" })).contains("Map keys must satisfy constraint"),
        "at least two characters"
    );
    let large = "x".repeat(4096);
    assert_eq!(
        refused(json!({ "LARGE": large })),
        format!(
            "Lambda was unable to configure your environment variables because the environment variables \
             you have \
             provided exceeded the 4KB limit. String measured: {{\"LARGE\":\"{large}\"}}"
        )
    );
    let fine = json!({ "Environment": { "Variables": { "STAGE": "prod", "EMPTY": "" } } });
    let shown = cloud.ok(&create(), &with(function("f"), fine));
    assert_eq!(shown["Environment"]["Variables"], json!({ "STAGE": "prod", "EMPTY": "" }));
}

#[test]
fn a_function_is_found_under_every_form_of_its_name() {
    let cloud = Cloud::with_function();
    for name in ["f", "000000000000:f", "000000000000:function:f", ARN] {
        assert_eq!(cloud.get(&format!("{FUNCTIONS}/{name}/configuration"))["FunctionArn"], ARN);
        let qualified = cloud.get(&format!("{FUNCTIONS}/{name}:$LATEST/configuration"));
        assert_eq!(qualified["FunctionArn"], format!("{ARN}:$LATEST"));
    }
    let refused = |path: &str| cloud.refusal(&format!("GET {FUNCTIONS}/{path}"), &Value::Null);
    let missing = |arn: String| invalid("ResourceNotFoundException", format!("Function not found: {arn}"));
    assert_eq!(refused("g"), missing("arn:aws:lambda:us-east-1:000000000000:function:g".into()));
    assert_eq!(refused("f?Qualifier=1"), missing(format!("{ARN}:1")));
    assert_eq!(refused("f?Qualifier=0"), missing(format!("{ARN}:0")));
    assert_eq!(refused("f?Qualifier=prod"), missing(format!("{ARN}:prod")));
    assert_eq!(
        refused("f:1?Qualifier=2"),
        invalid(
            PARAMETER,
            "The derived qualifier from the function name does not match the specified qualifier."
        )
    );
    assert_eq!(
        refused("arn:aws:lambda:eu-west-1:000000000000:function:f"),
        invalid(
            "ResourceNotFoundException",
            "Functions from 'eu-west-1' are not reachable in this region ('us-east-1')"
        )
    );
    assert_eq!(refused("arn:aws:lambda:us-east-1:111111111111:function:f").0, "AccessDeniedException");
}

#[test]
fn a_revision_that_is_not_the_latest_changes_nothing() {
    let cloud = Cloud::with_function();
    let path = format!("{FUNCTIONS}/f/configuration");
    let revision = cloud.get(&path)["RevisionId"].clone();
    let stale = json!({ "Timeout": 5, "RevisionId": "stale" });
    let fault = cloud.fault(&format!("PUT {path}"), &stale);
    assert_eq!((fault.status, fault.code.as_ref()), (412, "PreconditionFailedException"));
    let shown = cloud.ok(&format!("PUT {path}"), &json!({ "Timeout": 5, "RevisionId": revision }));
    assert_eq!((&shown["Timeout"], &shown["Handler"]), (&json!(5), &json!("app.handler")));
    assert_ne!(shown["RevisionId"], revision);
    let again = cloud
        .fault(&format!("PUT {FUNCTIONS}/f/code"), &json!({ "ZipFile": zip("x"), "RevisionId": revision }));
    assert_eq!(again.code, "PreconditionFailedException");
}

#[test]
fn a_component_is_pending_until_it_is_compiled() {
    let cloud = Cloud::new();
    let component = json!({ "Runtime": "wasm", "Handler": null });
    let shown = cloud.ok(&create(), &with(function("f"), component));
    assert_eq!((&shown["State"], &shown["StateReasonCode"]), (&json!("Pending"), &json!("Creating")));
    let pending = invalid(
        "ResourceConflictException",
        "The operation cannot be performed at this time. The function is currently in the following \
         state: Pending",
    );
    assert_eq!(cloud.refusal(&format!("POST {FUNCTIONS}/f/invocations"), &json!({})), pending);
    assert_eq!(cloud.refusal(&format!("PUT {FUNCTIONS}/f/configuration"), &json!({ "Timeout": 9 })), pending);
    assert_eq!(cloud.refusal(&format!("POST {FUNCTIONS}/f/versions"), &json!({})), pending);

    cloud.prepare(&Err("app.wasm is not a component".into()));
    let failed = cloud.get(&format!("{FUNCTIONS}/f/configuration"));
    assert_eq!(
        (&failed["State"], &failed["StateReason"]),
        (&json!("Failed"), &json!("app.wasm is not a component"))
    );
    let fault = cloud.fault(&format!("POST {FUNCTIONS}/f/invocations"), &json!({}));
    assert!(fault.message.ends_with("Failed"), "{fault}");

    let fixed = cloud.ok(&format!("PUT {FUNCTIONS}/f/code"), &json!({ "ZipFile": zip("second") }));
    assert_eq!(fixed["State"], "Pending");
    cloud.prepare(&Ok(Vec::new()));
    cloud.ok(&format!("PUT {FUNCTIONS}/f/code"), &json!({ "ZipFile": zip("third") }));
    assert_eq!(
        cloud.refusal(&format!("PUT {FUNCTIONS}/f/configuration"), &json!({ "Timeout": 9 })),
        invalid(
            "ResourceConflictException",
            format!(
                "The operation cannot be performed at this time. An update is in progress for resource: {ARN}"
            )
        )
    );
    cloud.prepare(&Err("worse".into()));
    let shown = cloud.get(&format!("{FUNCTIONS}/f/configuration"));
    assert_eq!((&shown["State"], &shown["LastUpdateStatus"]), (&json!("Active"), &json!("Failed")));
    assert_eq!(shown["LastUpdateStatusReason"], "worse");
}

#[test]
fn a_component_goes_on_serving_until_its_update_is_compiled() {
    let cloud = Cloud::new();
    cloud.ok(&create(), &with(function("f"), json!({ "Runtime": "wasm", "Handler": null })));
    cloud.prepare(&Ok(Vec::new()));
    let runs = || cloud.0.run(|cx| Ok(crate::lambda::resolve(cx, "f")?.draw(cx.ids))).id.clone();
    let used = || cloud.get("/2016-08-19/account-settings")["AccountUsage"]["TotalCodeSize"].clone();
    let update = |content: &str| {
        cloud.ok(&format!("PUT {FUNCTIONS}/f/code"), &json!({ "ZipFile": zip(content) }));
    };
    let first = runs();
    update("broken");
    assert_eq!((runs(), used()), (first.clone(), json!(5 + 6)));
    cloud.prepare(&Err("not a component".into()));
    assert_eq!(runs(), first, "a failed update changes nothing for callers");
    let failed = cloud.ok(&format!("POST {FUNCTIONS}/f/versions"), &json!({}));
    assert_eq!((&failed["State"], &failed["StateReason"]), (&json!("Failed"), &json!("not a component")));
    cloud.ok(&format!("DELETE {FUNCTIONS}/f?Qualifier=1"), &Value::Null);

    update("mended");
    assert_eq!((runs(), used()), (first.clone(), json!(5 + 6)));
    cloud.prepare(&Ok(Vec::new()));
    assert_ne!(runs(), first);
    assert_eq!((used(), crate::blobs::garbage(cloud.0.store(), 10).unwrap().len()), (json!(6), 2));
    update("last");
    cloud.ok(&format!("DELETE {FUNCTIONS}/f"), &Value::Null);
    assert_eq!((used(), crate::blobs::garbage(cloud.0.store(), 10).unwrap().len()), (json!(0), 4));
}

#[test]
fn a_preparation_that_was_overtaken_says_nothing() {
    let cloud = Cloud::new();
    cloud.ok(&create(), &function("f"));
    let stale = cloud.claim_due();
    cloud.ok(&format!("PUT {FUNCTIONS}/f/code"), &json!({ "ZipFile": zip("second") }));
    let crate::fabric::Target::Prepare { function, version } = stale[0].target().unwrap() else { panic!() };
    cloud.0.run(|cx| crate::lambda::prepared(cx, &function, &version, &Err("old news".into())));
    assert_eq!(cloud.runs(&stale[0]), None);
    assert_eq!(cloud.get(&format!("{FUNCTIONS}/f/configuration"))["LastUpdateStatus"], "InProgress");
}

#[test]
fn a_version_with_snapstart_is_ready_when_its_module_code_has_run() {
    let cloud = Cloud::new();
    let asked = json!({ "SnapStart": { "ApplyOn": "PublishedVersions" } });
    cloud.ok(&create(), &with(function("f"), asked));
    cloud.prepare(&Ok(Vec::new()));
    let publish = || cloud.ok(&format!("POST {FUNCTIONS}/f/versions"), &json!({}));
    let state = |number: &str| {
        let shown = cloud.get(&format!("{FUNCTIONS}/f/configuration?Qualifier={number}"));
        [&shown["State"], &shown["StateReasonCode"], &shown["SnapStart"]["OptimizationStatus"]]
            .map(Value::clone)
    };
    assert_eq!(publish()["State"], "Pending");
    let invoked = cloud.fault(&format!("POST {FUNCTIONS}/f:1/invocations"), &json!({}));
    assert_eq!((invoked.status, invoked.code.as_ref()), (409, "SnapStartNotReadyException"));
    cloud.end_preparations(&Ok(Prepared { warnings: Vec::new(), snapshot: true }));
    assert_eq!(state("1"), [json!("Active"), Value::Null, json!("On")]);
    assert_eq!(state("$LATEST"), [json!("Active"), Value::Null, json!("Off")]);

    cloud.ok(&format!("PUT {FUNCTIONS}/f/code"), &json!({ "ZipFile": zip("second") }));
    cloud.prepare(&Ok(Vec::new()));
    assert_eq!(publish()["Version"], "2");
    let failed = NotReady { why: Why::InitError, reason: "KeyError".into() };
    cloud.end_preparations(&Err(failed));
    assert_eq!(state("2"), [json!("Failed"), json!("FunctionError.RuntimeInitError"), json!("Off")]);
    assert_eq!(state("1")[2], "On", "a version stays what it is");
}

#[test]
fn a_version_is_published_once_per_change() {
    let cloud = Cloud::with_function();
    let publish = |input: Value| cloud.ok(&format!("POST {FUNCTIONS}/f/versions"), &input);
    let first = publish(json!({ "Description": "one" }));
    assert_eq!((&first["Version"], &first["Description"]), (&json!("1"), &json!("one")));
    assert_eq!(first["FunctionArn"], format!("{ARN}:1"));
    assert_eq!(publish(json!({}))["Version"], "1", "nothing has changed");
    let sha = first["CodeSha256"].as_str().unwrap().to_owned();
    assert_eq!(
        cloud.refusal(&format!("POST {FUNCTIONS}/f/versions"), &json!({ "CodeSha256": "other" })),
        invalid(
            PARAMETER,
            format!(
                "CodeSHA256 (other) is different from current CodeSHA256 in $LATEST ({sha}). \
                 Please try again with the CodeSHA256 in $LATEST."
            )
        )
    );
    let updated =
        cloud.ok(&format!("PUT {FUNCTIONS}/f/code"), &json!({ "ZipFile": zip("2"), "Publish": true }));
    assert_eq!((&updated["Version"], &updated["FunctionArn"]), (&json!("2"), &json!(format!("{ARN}:2"))));
    assert_eq!(cloud.get(&format!("{FUNCTIONS}/f/configuration?Qualifier=1"))["CodeSha256"], sha);

    let listed = cloud.get(&format!("{FUNCTIONS}/f/versions?MaxItems=2"));
    let versions = |listed: &Value| -> Vec<String> {
        listed["Versions"]
            .as_array()
            .unwrap()
            .iter()
            .map(|v| v["Version"].as_str().unwrap().to_owned())
            .collect()
    };
    assert_eq!(versions(&listed), ["$LATEST", "1"]);
    assert_eq!(listed["Versions"][0].get("State"), None, "lists leave the state out");
    let marker = listed["NextMarker"].as_str().unwrap();
    let rest = cloud.get(&format!("{FUNCTIONS}/f/versions?MaxItems=2&Marker={marker}"));
    assert_eq!(versions(&rest), ["2"]);
    assert_eq!(rest.get("NextMarker"), None);

    cloud.ok(&format!("DELETE {FUNCTIONS}/f?Qualifier=2"), &Value::Null);
    cloud.ok(&format!("PUT {FUNCTIONS}/f/code"), &json!({ "ZipFile": zip("3") }));
    assert_eq!(publish(json!({}))["Version"], "3", "numbers are never used again");
}

#[test]
fn functions_are_listed_page_by_page() {
    let cloud = Cloud::new();
    for name in ["a", "b", "c"] {
        cloud.ok(&create(), &with(function(name), json!({ "Publish": name == "b" })));
    }
    let names = |listed: &Value| -> Vec<String> {
        listed["Functions"]
            .as_array()
            .unwrap()
            .iter()
            .map(|f| f["FunctionName"].as_str().unwrap().to_owned())
            .collect()
    };
    let page = cloud.get(&format!("{FUNCTIONS}?MaxItems=2"));
    assert_eq!(names(&page), ["a", "b"]);
    let rest = cloud.get(&format!("{FUNCTIONS}?MaxItems=2&Marker={}", page["NextMarker"].as_str().unwrap()));
    assert_eq!(names(&rest), ["c"]);
    assert_eq!(rest.get("NextMarker"), None);
    let all = cloud.get(&format!("{FUNCTIONS}?FunctionVersion=ALL"));
    assert_eq!(names(&all), ["a", "b", "b", "c"]);
    let page = cloud.get(&format!("{FUNCTIONS}?FunctionVersion=ALL&MaxItems=2"));
    let rest = cloud
        .get(&format!("{FUNCTIONS}?FunctionVersion=ALL&Marker={}", page["NextMarker"].as_str().unwrap()));
    assert_eq!(rest["Functions"][0]["Version"], "1");
    assert_eq!(
        cloud.refusal(&format!("GET {FUNCTIONS}?MaxItems=0"), &Value::Null).1,
        "1 validation error detected: Value '0' at 'maxItems' failed to satisfy constraint: \
         Member must have value greater than or equal to 1"
    );
}

#[test]
fn an_alias_points_shares_and_guards_its_versions() {
    let cloud = Cloud::with_function();
    let aliases = format!("{FUNCTIONS}/f/aliases");
    cloud.ok(&format!("POST {FUNCTIONS}/f/versions"), &json!({}));
    cloud.ok(&format!("PUT {FUNCTIONS}/f/code"), &json!({ "ZipFile": zip("2"), "Publish": true }));
    let made = cloud.ok(&format!("POST {aliases}"), &json!({ "Name": "prod", "FunctionVersion": "1" }));
    assert_eq!(made["AliasArn"], format!("{ARN}:prod"));
    assert_eq!((&made["FunctionVersion"], &made["Description"]), (&json!("1"), &json!("")));
    let refused = |input: Value| cloud.refusal(&format!("POST {aliases}"), &input);
    assert_eq!(
        refused(json!({ "Name": "prod", "FunctionVersion": "1" })),
        invalid("ResourceConflictException", format!("Alias already exists: {ARN}:prod"))
    );
    assert_eq!(
        refused(json!({ "Name": "12", "FunctionVersion": "1" })),
        invalid(
            VALIDATION,
            "1 validation error detected: Value '12' at 'name' failed to satisfy constraint: \
             Member must satisfy regular expression pattern: (?!^[0-9]+$)([a-zA-Z0-9-_]+)"
        )
    );
    assert_eq!(
        refused(json!({ "Name": "x", "FunctionVersion": "9" })),
        invalid("ResourceNotFoundException", format!("Function not found: {ARN}:9"))
    );
    let weights = |weights: Value| json!({ "RoutingConfig": { "AdditionalVersionWeights": weights } });
    let update = format!("PUT {aliases}/prod");
    assert_eq!(
        cloud.refusal(&update, &weights(json!({ "1": 0.5 }))).1,
        "Invalid function version 1. Function version 1 is already included in routing configuration."
    );
    assert_eq!(
        cloud.refusal(&update, &weights(json!({ "2": 0.5, "1": 0.1 }))).1,
        "Number of items in AdditionalVersionWeights cannot be greater than 1"
    );
    assert_eq!(
        cloud.refusal(&update, &weights(json!({ "2": 2.0 }))).1,
        "1 validation error detected: Value '{2=2.0}' at 'routingConfig.additionalVersionWeights' failed \
         to satisfy \
         constraint: Map value must satisfy constraint: [Member must have value less than or equal to 1.0, \
         Member must have value greater than or equal to 0.0, Member must not be null]"
    );
    let shared = cloud.ok(&update, &weights(json!({ "2": 0.25 })));
    assert_eq!(shared["RoutingConfig"]["AdditionalVersionWeights"], json!({ "2": 0.25 }));
    let second = (0..1000)
        .filter(|_| cloud.0.run(|cx| Ok(crate::lambda::resolve(cx, "f:prod")?.draw(cx.ids))).label == "2");
    let second = second.count();
    assert!((200..300).contains(&second), "a quarter of a thousand: {second}");

    assert_eq!(
        cloud.refusal(&format!("DELETE {FUNCTIONS}/f?Qualifier=2"), &Value::Null),
        invalid(
            "ResourceConflictException",
            "Unable to delete version because the following aliases reference it: [prod]"
        )
    );
    assert_eq!(cloud.ok(&update, &weights(json!({}))).get("RoutingConfig"), None);
    assert_eq!(cloud.get(&aliases)["Aliases"][0]["Name"], "prod");
    assert_eq!(cloud.get(&format!("{aliases}?FunctionVersion=2"))["Aliases"], json!([]));
    cloud.ok(&format!("DELETE {aliases}/prod"), &Value::Null);
    assert_eq!(
        cloud.refusal(&format!("GET {aliases}/prod"), &Value::Null),
        invalid("ResourceNotFoundException", format!("Cannot find alias arn: {ARN}:prod"))
    );
    assert_eq!(
        cloud.refusal(&update, &json!({})),
        invalid("ResourceNotFoundException", format!("Alias not found: {ARN}:prod"))
    );
}

#[test]
fn a_deleted_function_leaves_nothing_but_garbage() {
    let cloud = Cloud::with_function();
    cloud.ok(&format!("POST {FUNCTIONS}/f/versions"), &json!({}));
    cloud.ok("POST /2021-10-31/functions/f/url", &json!({ "AuthType": "NONE" }));
    cloud.ok(&format!("POST /2017-03-31/tags/{ARN}"), &json!({ "Tags": { "team": "photos" } }));
    cloud.ok("PUT /2017-10-31/functions/f/concurrency", &json!({ "ReservedConcurrentExecutions": 5 }));
    let settings = || cloud.get("/2016-08-19/account-settings");
    assert_eq!(settings()["AccountUsage"], json!({ "TotalCodeSize": 10, "FunctionCount": 1 }));
    assert_eq!(settings()["AccountLimit"]["UnreservedConcurrentExecutions"], 995);
    assert!(crate::blobs::garbage(cloud.0.store(), 10).unwrap().is_empty());
    assert_eq!(
        cloud.refusal(&format!("DELETE {FUNCTIONS}/f?Qualifier=$LATEST"), &Value::Null),
        invalid(PARAMETER, "$LATEST version cannot be deleted without deleting the function.")
    );
    assert_eq!(cloud.send(&format!("DELETE {FUNCTIONS}/f"), &Value::Null).unwrap().reply.status, 204);
    assert_eq!(settings()["AccountUsage"], json!({ "TotalCodeSize": 0, "FunctionCount": 0 }));
    assert_eq!(settings()["AccountLimit"]["UnreservedConcurrentExecutions"], 1000);
    let garbage = crate::blobs::garbage(cloud.0.store(), 10).unwrap();
    assert_eq!(garbage, ["package-a7937b64b8caa58f03721bb6bacf5c78cb235febe0e70b1b84cd99541461a08e"]);
    assert_eq!(cloud.fault(&format!("DELETE {FUNCTIONS}/f"), &Value::Null).code, "ResourceNotFoundException");

    // The same name starts afresh, and the same bytes are held again.
    cloud.ok(&create(), &function("f"));
    assert_eq!(cloud.ok(&format!("POST {FUNCTIONS}/f/versions"), &json!({}))["Version"], "1");
    assert_eq!(cloud.get(&format!("/2017-03-31/tags/{ARN}"))["Tags"], json!({}));
    assert!(crate::blobs::garbage(cloud.0.store(), 10).unwrap().is_empty());
}

#[test]
fn concurrency_is_reserved_as_far_as_the_account_reaches() {
    let cloud = Cloud::with_function();
    let path = "/2017-10-31/functions/f/concurrency";
    assert_eq!(cloud.get("/2019-09-30/functions/f/concurrency"), json!({}));
    assert_eq!(
        cloud.refusal(&format!("PUT {path}"), &json!({ "ReservedConcurrentExecutions": 901 })),
        invalid(
            PARAMETER,
            "Specified ReservedConcurrentExecutions for function decreases account's \
             UnreservedConcurrentExecution \
             below its minimum value of [100]."
        )
    );
    cloud.ok(&format!("PUT {path}"), &json!({ "ReservedConcurrentExecutions": 900 }));
    cloud.ok(&format!("PUT {path}"), &json!({ "ReservedConcurrentExecutions": 899 }));
    assert_eq!(
        cloud.get(&format!("{FUNCTIONS}/f"))["Concurrency"],
        json!({ "ReservedConcurrentExecutions": 899 })
    );
    let version = cloud.0.run(|cx| Ok(crate::lambda::resolve(cx, "f")?.draw(cx.ids)));
    assert_eq!(version.concurrency, Concurrency::Reserved(899));
    // What others have left is told with the version, and drops with the next reservation.
    cloud.ok("POST /2015-03-31/functions", &function("other"));
    cloud.prepare(&Ok(Vec::new()));
    let shared = || cloud.0.run(|cx| Ok(crate::lambda::resolve(cx, "other")?.draw(cx.ids))).concurrency;
    assert_eq!(shared(), Concurrency::Shared(101));
    cloud.ok(&format!("PUT {path}"), &json!({ "ReservedConcurrentExecutions": 9 }));
    assert_eq!(shared(), Concurrency::Shared(991));
    cloud.ok(&format!("DELETE {path}"), &Value::Null);
    assert_eq!(shared(), Concurrency::Shared(1000));
    assert_eq!(cloud.get("/2019-09-30/functions/f/concurrency"), json!({}));
    assert!(
        cloud.fault(&format!("PUT {path}?"), &json!({})).message.contains("reservedConcurrentExecutions")
    );
}

#[test]
fn tags_belong_to_the_function_as_a_whole() {
    let cloud = Cloud::with_function();
    let path = format!("/2017-03-31/tags/{ARN}");
    cloud.ok(&format!("POST {path}"), &json!({ "Tags": { "a": "1", "b": "2" } }));
    cloud.ok(&format!("DELETE {path}?tagKeys=a&tagKeys=x"), &Value::Null);
    assert_eq!(cloud.get(&path)["Tags"], json!({ "b": "2" }));
    assert_eq!(cloud.get(&format!("{FUNCTIONS}/f"))["Tags"], json!({ "b": "2" }));
    cloud.ok(&format!("DELETE {path}?tagKeys=b"), &Value::Null);
    assert_eq!(cloud.get(&path)["Tags"], json!({}));
    let many: serde_json::Map<String, Value> = (0..51).map(|n| (format!("k{n}"), json!("v"))).collect();
    assert_eq!(
        cloud.refusal(&format!("POST {path}"), &json!({ "Tags": many })),
        invalid(PARAMETER, "Number of tags exceeds resource tag limit.")
    );
    assert_eq!(
        cloud.refusal(&format!("POST {path}:1"), &json!({ "Tags": { "a": "1" } })),
        invalid(
            PARAMETER,
            "Tags on function aliases and versions are not supported. Please specify a function ARN."
        )
    );
}

#[test]
fn every_change_makes_a_version_that_no_old_instance_serves() {
    let cloud = Cloud::with_function();
    let before = cloud.0.run(|cx| Ok(crate::lambda::resolve(cx, "f")?.draw(cx.ids)));
    cloud.ok(&format!("PUT {FUNCTIONS}/f/configuration"), &json!({ "MemorySize": 256 }));
    let after = cloud.0.run(|cx| Ok(crate::lambda::resolve(cx, "f")?.draw(cx.ids)));
    assert_ne!(before.id, after.id);
    assert_eq!((&before.package, after.memory_mib), (&after.package, 256));
}

#[test]
fn functions_are_created_and_deleted_side_by_side() {
    const CLIENTS: usize = 16;
    const EACH: usize = 8;
    let (bench, _dir) = crate::testing::Bench::on_disk(21);
    let cloud = Cloud(bench);
    std::thread::scope(|scope| {
        for client in 0..CLIENTS {
            let cloud = &cloud;
            scope.spawn(move || {
                for number in 0..EACH {
                    let name = format!("f{client}-{number}");
                    let code = json!({ "Code": { "ZipFile": zip(&name) } });
                    cloud.ok("POST /2015-03-31/functions", &with(function(&name), code));
                    if number % 2 == 0 {
                        cloud.send(&format!("DELETE /2015-03-31/functions/{name}"), &Value::Null).unwrap();
                    }
                }
            });
        }
    });
    let stats = cloud.0.store().stats();
    assert!(
        stats.conflicts * 20 < stats.commits,
        "{} conflicts in {} commits",
        stats.conflicts,
        stats.commits
    );
    let usage = cloud.get("/2016-08-19/account-settings")["AccountUsage"].clone();
    assert_eq!(usage["FunctionCount"], CLIENTS * EACH / 2);
    // Every client's code is as long as its functions' names.
    let left =
        (0..CLIENTS).flat_map(|client| (1..EACH).step_by(2).map(move |n| format!("f{client}-{n}").len()));
    assert_eq!(usage["TotalCodeSize"], left.sum::<usize>());
}

#[test]
fn every_function_takes_this_machine_s_runtimes_as_they_are() {
    let cloud = Cloud::with_function();
    let path = "/2021-07-20/functions/f/runtime-management-config";
    let auto = json!({ "UpdateRuntimeOn": "Auto", "FunctionArn": format!("{ARN}:$LATEST") });
    assert_eq!(cloud.get(path), auto);
    let put = format!("PUT {path}");
    assert_eq!(cloud.ok(&put, &json!({ "UpdateRuntimeOn": "Auto" })), auto);
    let runtime = "arn:aws:lambda:us-east-1::runtime:abcd1234";
    for (input, code) in [
        (json!({ "UpdateRuntimeOn": "Never" }), "ValidationException"),
        (json!({ "UpdateRuntimeOn": "Manual", "RuntimeVersionArn": ARN }), "ValidationException"),
        (json!({ "UpdateRuntimeOn": "Manual", "RuntimeVersionArn": "short" }), "ValidationException"),
        (json!({ "UpdateRuntimeOn": "Manual" }), PARAMETER),
        (json!({ "UpdateRuntimeOn": "Auto", "RuntimeVersionArn": runtime }), PARAMETER),
        (json!({ "UpdateRuntimeOn": "FunctionUpdate", "RuntimeVersionArn": runtime }), PARAMETER),
        (json!({ "UpdateRuntimeOn": "Manual", "RuntimeVersionArn": runtime }), "NotImplemented"),
        (json!({ "UpdateRuntimeOn": "FunctionUpdate" }), "NotImplemented"),
    ] {
        assert_eq!(cloud.fault(&put, &input).code, code, "{input}");
    }
    assert_eq!(cloud.get(path), auto);
    assert_eq!(cloud.fault(&format!("GET {}", path.replace("/f/", "/g/")), &Value::Null).status, 404);
}
