//! Functions of package type Image, on the registry's rows.

use super::{Cloud, ROLE};
use crate::ecr::registry::{self, Finished};
use crate::lambda::{NotReady, Why};
use crate::operation::{Piece, Upload};
use bytes::Bytes;
use mayfly_kernel::function::Runtime;
use mayfly_wire::checksum::{Algorithm, Checksums, sha256_hex};
use serde_json::{Value, json};

const URI: &str = "127.0.0.1:4566/app:v1";
const FUNCTIONS: &str = "/2015-03-31/functions";
/// The layer that a test's images have, whatever is in the registry.
const LAYER: &str = "layer-1111111111111111111111111111111111111111111111111111111111111111";

/// A cloud with an image of one layer under `app:v1`.
fn cloud() -> Cloud {
    let cloud = Cloud::new();
    let t = &cloud.0;
    t.call("ecr", "CreateRepository", &json!({ "repositoryName": "app" })).unwrap();
    let push = |bytes: &'static [u8]| {
        let mut sums = Checksums::new(&[Algorithm::Sha256]);
        sums.update(bytes);
        let (piece, size) = (Some(Piece::Inline(Bytes::from_static(bytes))), bytes.len() as u64);
        let chunk = Upload { piece, size, digests: sums.finish() };
        let id = t.run(|cx| registry::begin(cx, "app"));
        t.run(|cx| registry::append(cx, "app", &id, 0, &chunk));
        let layer = Finished { digest: format!("sha256:{}", sha256_hex(bytes)), size };
        t.run(|cx| registry::finish(cx, "app", &id, &layer));
        json!({ "digest": layer.digest, "size": size })
    };
    let document = json!({ "schemaVersion": 2, "config": push(b"config"), "layers": [push(b"layer")] });
    let (body, kind) = (Bytes::from(document.to_string()), "application/vnd.oci.image.manifest.v1+json");
    t.run(|cx| registry::put_manifest(cx, "app", "v1", kind, &body));
    cloud
}

fn imaged(more: Value) -> Value {
    let mut input = json!({ "FunctionName": "f", "Role": ROLE, "PackageType": "Image",
                            "Code": { "ImageUri": URI } });
    input.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    input
}

#[test]
fn an_image_is_what_its_configuration_and_the_function_say() {
    let cloud = cloud();
    let made = cloud.ok(&format!("POST {FUNCTIONS}"), &imaged(json!({})));
    assert_eq!((&made["State"], &made["CodeSize"]), (&json!("Pending"), &json!(0)));
    let early = cloud.fault(&format!("POST {FUNCTIONS}/f/invocations"), &json!({}));
    assert!(early.message.ends_with("Pending"), "{early}");
    cloud.prepare(&Ok(Vec::new()));
    let runs = || cloud.0.run(|cx| Ok(crate::lambda::resolve(cx, "f")?.draw(cx.ids)));
    let version = runs();
    let image = version.image.as_ref().unwrap();
    assert_eq!(version.runtime, Runtime::Image);
    assert_eq!(image.command, ["/entry", "app.handler"]);
    assert_eq!((image.environment["OWN"].as_str(), image.working_directory.as_str()), ("image", "/work"));

    let config = json!({ "ImageConfig": { "Command": ["other", "word"], "WorkingDirectory": "/else" } });
    let shown = cloud.ok(&format!("PUT {FUNCTIONS}/f/configuration"), &config);
    assert_eq!(shown["ImageConfigResponse"], config);
    assert_eq!(runs().id, version.id, "the old serves until the new is ready");
    cloud.prepare(&Ok(Vec::new()));
    let image = runs().image.clone().unwrap();
    assert_eq!(
        (image.command.join(" "), image.working_directory),
        ("/entry other word".into(), "/else".into())
    );
    cloud.ok(&format!("PUT {FUNCTIONS}/f/configuration"), &json!({ "ImageConfig": {} }));
    let reason = "gone".to_owned();
    cloud.prepare(&Err(NotReady { why: Why::ImageDeleted, reason }));
    let shown = cloud.get(&format!("{FUNCTIONS}/f/configuration"));
    assert_eq!(shown["LastUpdateStatusReasonCode"], "ImageDeleted");
    assert_eq!(shown["ImageConfigResponse"], Value::Null);
    assert_eq!(runs().image, Some(runs().image.clone().unwrap()));
}

#[test]
fn a_version_holds_its_images_layers() {
    let cloud = cloud();
    cloud.ok(&format!("POST {FUNCTIONS}"), &imaged(json!({ "Publish": true })));
    cloud.prepare(&Ok(Vec::new()));
    let force = json!({ "repositoryName": "app", "force": true });
    cloud.0.call("ecr", "DeleteRepository", &force).unwrap();
    let garbage = || crate::blobs::garbage(cloud.0.store(), 10).unwrap();
    assert!(!garbage().contains(&LAYER.to_owned()));
    cloud.ok(&format!("DELETE {FUNCTIONS}/f"), &Value::Null);
    assert!(garbage().contains(&LAYER.to_owned()));
}

#[test]
fn a_web_image_and_what_does_not_go_with_images() {
    let cloud = cloud();
    let create = format!("POST {FUNCTIONS}");
    for odd in [json!({ "Handler": "a.b" }), json!({ "Runtime": "python3.12" }), json!({ "Layers": ["x"] })] {
        let (code, text) = cloud.refusal(&create, &imaged(odd));
        assert_eq!(code, "InvalidParameterValueException");
        assert!(text.contains("PackageType is Image"), "{text}");
    }
    let (_, text) =
        cloud.refusal(&create, &imaged(json!({ "Code": { "ImageUri": "127.0.0.1:4566/app:no" } })));
    assert!(text.contains("does not exist"), "{text}");
    let web = cloud.ok(&create, &imaged(json!({ "Runtime": "web" })));
    assert_eq!((&web["Runtime"], &web["PackageType"]), (&json!("web"), &json!("Image")));
    cloud.prepare(&Ok(Vec::new()));
    let version = cloud.0.run(|cx| Ok(crate::lambda::resolve(cx, "f")?.draw(cx.ids)));
    assert_eq!((version.runtime.clone(), version.image.is_some()), (Runtime::Web, true));
}
