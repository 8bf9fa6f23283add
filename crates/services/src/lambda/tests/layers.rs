use super::{Cloud, function, invalid, with, zip};
use serde_json::{Value, json};

const LAYERS: &str = "/2018-10-31/layers";
const LAYER: &str = "arn:aws:lambda:us-east-1:000000000000:layer";

fn publish(cloud: &Cloud, name: &str, content: &str) -> Value {
    let input = json!({
        "Content": { "ZipFile": zip(content) },
        "CompatibleRuntimes": ["python3.12"],
        "Description": content,
    });
    cloud.ok(&format!("POST {LAYERS}/{name}/versions"), &input)
}

#[test]
fn a_layer_grows_by_versions_that_never_change() {
    let cloud = Cloud::new();
    let first = publish(&cloud, "tools", "one");
    assert_eq!(first["LayerArn"], format!("{LAYER}:tools"));
    assert_eq!(first["LayerVersionArn"], format!("{LAYER}:tools:1"));
    assert_eq!(
        (&first["Content"]["CodeSize"], &first["CompatibleRuntimes"]),
        (&json!(3), &json!(["python3.12"]))
    );
    assert_eq!(first.get("LicenseInfo"), None);
    publish(&cloud, "tools", "two");
    publish(&cloud, "other", "three");
    assert_eq!(cloud.get(&format!("{LAYERS}/tools/versions/1")), first);
    assert_eq!(cloud.get(&format!("{LAYERS}?find=LayerVersion&Arn={LAYER}:tools:1")), first);
    let versions = cloud.get(&format!("{LAYERS}/tools/versions"));
    let numbers: Vec<&Value> =
        versions["LayerVersions"].as_array().unwrap().iter().map(|v| &v["Version"]).collect();
    assert_eq!(numbers, [2, 1]);
    let page = cloud.get(&format!("{LAYERS}/tools/versions?MaxItems=1"));
    let rest = cloud.get(&format!("{LAYERS}/tools/versions?Marker={}", page["NextMarker"].as_str().unwrap()));
    assert_eq!(rest["LayerVersions"][0]["Version"], 1);
    let listed = cloud.get(LAYERS);
    assert_eq!(listed["Layers"][1]["LatestMatchingVersion"]["Version"], 2);
    assert_eq!(cloud.get(&format!("{LAYERS}?CompatibleRuntime=nodejs22.x"))["Layers"], json!([]));

    cloud.ok(&format!("DELETE {LAYERS}/tools/versions/2"), &Value::Null);
    cloud.ok(&format!("DELETE {LAYERS}/tools/versions/2"), &Value::Null);
    assert_eq!(cloud.get(LAYERS)["Layers"][1]["LatestMatchingVersion"]["Version"], 1);
    assert_eq!(publish(&cloud, "tools", "four")["Version"], 3, "numbers are never used again");
    assert_eq!(
        cloud.refusal(&format!("GET {LAYERS}/tools/versions/2"), &Value::Null),
        invalid("ResourceNotFoundException", "The resource you requested does not exist.")
    );
    assert_eq!(
        cloud.refusal(&format!("GET {LAYERS}/tools/versions/0"), &Value::Null).1,
        "Layer Version Cannot be less than 1"
    );
    assert_eq!(cloud.get("/2016-08-19/account-settings")["AccountUsage"]["TotalCodeSize"], 3 + 5 + 4);
}

#[test]
fn a_function_keeps_its_layers_and_their_order() {
    let cloud = Cloud::new();
    for (name, content) in [("a", "one"), ("b", "two")] {
        publish(&cloud, name, content);
    }
    publish(&cloud, "a", "newer");
    let layers = |names: Value| with(function("f"), json!({ "Layers": names }));
    let refused = |names: Value| cloud.refusal("POST /2015-03-31/functions", &layers(names)).1;
    let (a1, a2, b1) = (format!("{LAYER}:a:1"), format!("{LAYER}:a:2"), format!("{LAYER}:b:1"));
    assert_eq!(
        refused(json!([format!("{LAYER}:c:1")])),
        format!("Layer version {LAYER}:c:1 does not exist.")
    );
    assert_eq!(
        refused(json!([a1, a2])),
        format!(
            "Two different versions of the same layer are not allowed to be referenced in the same function. \
             {a1} and {a2} are versions of the same layer."
        )
    );
    assert_eq!(refused(json!([a1, a1, a1, a1, a1, a1])), "Cannot reference more than 5 layers.");
    assert!(refused(json!([format!("{LAYER}:a")])).contains("'layers'"));

    let made = cloud.ok("POST /2015-03-31/functions", &layers(json!([b1, a1])));
    assert_eq!(made["Layers"], json!([{ "Arn": b1, "CodeSize": 3 }, { "Arn": a1, "CodeSize": 3 }]));
    cloud.ok(&format!("DELETE {LAYERS}/a/versions/1"), &Value::Null);
    assert!(crate::blobs::garbage(cloud.0.store(), 10).unwrap().is_empty(), "the function holds it");
    let version = cloud.0.run(|cx| Ok(crate::lambda::resolve(cx, "f")?.draw(cx.ids)));
    assert_eq!(version.layers.len(), 2);
    let bare = cloud.ok("PUT /2015-03-31/functions/f/configuration", &json!({ "Layers": [] }));
    assert_eq!(bare.get("Layers"), None);
    assert_eq!(crate::blobs::garbage(cloud.0.store(), 10).unwrap().len(), 1);
}

#[test]
fn a_layer_version_has_a_policy() {
    let cloud = Cloud::new();
    publish(&cloud, "a", "one");
    let path = format!("{LAYERS}/a/versions/1/policy");
    let add = json!({ "StatementId": "all", "Action": "lambda:GetLayerVersion", "Principal": "*" });
    let added = cloud.ok(&format!("POST {path}"), &add);
    let got = cloud.get(&path);
    assert_eq!(got["RevisionId"], added["RevisionId"]);
    assert!(got["Policy"].as_str().unwrap().contains(added["Statement"].as_str().unwrap()));
    assert_eq!(cloud.fault(&format!("POST {path}"), &add).code, "ResourceConflictException");
    assert_eq!(
        cloud.refusal(&format!("GET {LAYERS}/a/versions/9/policy"), &Value::Null).1,
        format!("Layer version {LAYER}:a:9 does not exist.")
    );
    cloud.ok(&format!("DELETE {path}/all"), &Value::Null);
    assert_eq!(
        cloud.refusal(&format!("GET {path}"), &Value::Null).1,
        "No policy is associated with the given resource."
    );
}
