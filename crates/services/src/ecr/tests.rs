//! The registry through its transactions and the API over it.

use super::registry::{self, Finished};
use super::{expire, open_password};
use crate::operation::{Piece, Upload};
use crate::testing::Bench;
use bytes::Bytes;
use mayfly_kernel::Fault;
use mayfly_wire::checksum::{Algorithm, Checksums, from_base64, sha256_hex};
use serde_json::{Value, json};
use std::time::Duration;

const DAY: Duration = Duration::from_secs(24 * 3600);
const IMAGE: &str = "application/vnd.oci.image.manifest.v1+json";

fn digest(bytes: &[u8]) -> String {
    format!("sha256:{}", sha256_hex(bytes))
}

fn received(bytes: &[u8]) -> Upload {
    let mut sums = Checksums::new(&[Algorithm::Sha256]);
    sums.update(bytes);
    let piece = Some(Piece::Inline(Bytes::copy_from_slice(bytes)));
    Upload { piece, size: bytes.len() as u64, digests: sums.finish() }
}

fn push_layer(t: &Bench, repository: &str, bytes: &[u8]) -> String {
    let id = t.run(|cx| registry::begin(cx, repository));
    t.run(|cx| registry::append(cx, repository, &id, 0, &received(bytes)));
    let layer = Finished { digest: digest(bytes), size: bytes.len() as u64 };
    t.run(|cx| registry::finish(cx, repository, &id, &layer));
    layer.digest
}

fn manifest(config: &[u8], layer: &[u8]) -> Bytes {
    let named = |bytes: &[u8]| json!({ "mediaType": "x", "digest": digest(bytes), "size": bytes.len() });
    let document = json!({ "schemaVersion": 2, "mediaType": IMAGE, "config": named(config),
                           "layers": [named(layer)] });
    document.to_string().into()
}

fn with_repository(names: &[&str]) -> Bench {
    let t = Bench::seed(11);
    for name in names {
        t.call("ecr", "CreateRepository", &json!({ "repositoryName": name })).unwrap();
    }
    t
}

fn call(t: &Bench, operation: &str, mut input: Value) -> Result<Value, Fault> {
    input["repositoryName"] = json!("team/app");
    t.call("ecr", operation, &input).map(|answer| answer.json())
}

#[test]
fn an_image_is_pushed_tagged_listed_and_deleted() {
    let t = with_repository(&["team/app"]);
    push_layer(&t, "team/app", b"config");
    push_layer(&t, "team/app", b"layer");
    let rule = json!({ "Name": "images", "EventPattern": r#"{"source": ["aws.ecr"]}"# });
    t.call("sqs", "CreateQueue", &json!({ "QueueName": "told" })).unwrap();
    t.call("events", "PutRule", &rule).unwrap();
    let target = json!([{ "Id": "q", "Arn": "arn:aws:sqs:us-east-1:000000000000:told" }]);
    t.call("events", "PutTargets", &json!({ "Rule": "images", "Targets": target })).unwrap();
    let body = manifest(b"config", b"layer");
    let pushed = t.run(|cx| registry::put_manifest(cx, "team/app", "v1", IMAGE, &body));
    assert_eq!(t.run(|cx| registry::put_manifest(cx, "team/app", "v2", IMAGE, &body)), pushed);
    let found = t.run(|cx| registry::manifest(cx, "team/app", "v1"));
    assert_eq!((found.digest.as_str(), found.body), (pushed.as_str(), body));

    let described = call(&t, "DescribeImages", json!({})).unwrap();
    let detail = &described["imageDetails"][0];
    assert_eq!(detail["imageTags"], json!(["v1", "v2"]));
    assert_eq!(detail["imageSizeInBytes"], json!(11));
    assert_eq!(t.run(|cx| registry::tags(cx, "team/app", None, Some(1))), (vec!["v1".to_owned()], true));

    // The tag moves, and the image it leaves behind keeps the others.
    push_layer(&t, "team/app", b"newer");
    let newer = manifest(b"config", b"newer");
    t.run(|cx| registry::put_manifest(cx, "team/app", "v2", IMAGE, &newer));
    let gone = call(&t, "BatchDeleteImage", json!({ "imageIds": [{ "imageTag": "v1" }] })).unwrap();
    assert_eq!(gone["imageIds"], json!([{ "imageDigest": pushed, "imageTag": "v1" }]));
    let input = json!({ "QueueUrl": "/000000000000/told", "MaxNumberOfMessages": 10 });
    let told = t.call("sqs", "ReceiveMessage", &input).unwrap().json();
    let mut told: Vec<Value> = told["Messages"]
        .as_array()
        .unwrap()
        .iter()
        .map(|message| serde_json::from_str(message["Body"].as_str().unwrap()).unwrap())
        .collect();
    told.sort_by_key(|event: &Value| event["detail"].to_string());
    let mut details: Vec<(&str, &str)> = told
        .iter()
        .map(|event| {
            (event["detail"]["action-type"].as_str().unwrap(), event["detail"]["image-tag"].as_str().unwrap())
        })
        .collect();
    details.sort_unstable();
    assert_eq!(told[0]["detail-type"], "ECR Image Action");
    assert_eq!(told[0]["detail"]["image-digest"], pushed.as_str());
    assert_eq!(details, [("DELETE", "v1"), ("PUSH", "v1"), ("PUSH", "v2"), ("PUSH", "v2")]);
    let missing = call(&t, "DescribeImages", json!({ "imageIds": [{ "imageTag": "v1" }] })).unwrap_err();
    assert_eq!(missing.code, "ImageNotFoundException");
    let full = call(&t, "DeleteRepository", json!({})).unwrap_err();
    assert_eq!(full.code, "RepositoryNotEmptyException");
    call(&t, "DeleteRepository", json!({ "force": true })).unwrap();
    assert_eq!(call(&t, "ListImages", json!({})).unwrap_err().code, "RepositoryNotFoundException");
}

#[test]
fn a_manifest_names_what_is_there_and_a_digest_what_it_is() {
    let t = with_repository(&["team/app"]);
    push_layer(&t, "team/app", b"config");
    let put = |reference: &str, body: Bytes| {
        t.attempt(|cx| registry::put_manifest(cx, "team/app", reference, IMAGE, &body)).unwrap_err()
    };
    assert_eq!(put("v1", manifest(b"config", b"layer")).code, "MANIFEST_BLOB_UNKNOWN");
    push_layer(&t, "team/app", b"layer");
    assert_eq!(put(&digest(b"other"), manifest(b"config", b"layer")).code, "DIGEST_INVALID");
    assert_eq!(put("v1", Bytes::from_static(b"{}")).code, "MANIFEST_INVALID");
    assert_eq!(put("-", manifest(b"config", b"layer")).code, "MANIFEST_INVALID");
    let index = json!({ "schemaVersion": 2, "manifests": [{ "digest": digest(b"none"), "size": 4 }] });
    assert_eq!(put("v1", index.to_string().into()).code, "MANIFEST_UNKNOWN");
    let unknown = t.attempt(|cx| registry::manifest(cx, "team/none", "v1")).unwrap_err();
    assert_eq!((unknown.status, unknown.code.as_ref()), (404, "NAME_UNKNOWN"));
}

#[test]
fn a_chunk_begins_where_the_last_one_ended() {
    let t = with_repository(&["team/app", "other"]);
    let id = t.run(|cx| registry::begin(cx, "team/app"));
    let append = |from, bytes: &[u8]| {
        let chunk = received(bytes);
        t.attempt(|cx| registry::append(cx, "team/app", &id, from, &chunk))
    };
    assert_eq!(append(0, b"abc"), Ok(3));
    assert_eq!(append(0, b"abc").unwrap_err().code, "RANGE_INVALID");
    assert_eq!(append(3, b"de"), Ok(5));
    let pending = t.run(|cx| registry::pending(cx, "team/app", &id));
    assert_eq!((pending.size, pending.pieces.len(), pending.sha256), (5, 2, None));
    let elsewhere = t.attempt(|cx| registry::pending(cx, "other", &id)).unwrap_err();
    assert_eq!(elsewhere.code, "BLOB_UPLOAD_UNKNOWN");
    t.run(|cx| registry::cancel(cx, "team/app", &id));
    assert_eq!(append(5, b"f").unwrap_err().code, "BLOB_UPLOAD_UNKNOWN");
}

#[test]
fn what_no_image_names_goes_when_its_time_is_over() {
    let t = with_repository(&["team/app", "other"]);
    push_layer(&t, "team/app", b"config");
    let layer = push_layer(&t, "team/app", b"layer");
    let unused = push_layer(&t, "team/app", b"unused");
    assert!(t.run(|cx| registry::mount(cx, "other", &unused, "team/app")));
    assert!(!t.run(|cx| registry::mount(cx, "other", &digest(b"none"), "team/app")));
    let body = manifest(b"config", b"layer");
    let pushed = t.run(|cx| registry::put_manifest(cx, "team/app", "v1", IMAGE, &body));
    t.run(|cx| registry::begin(cx, "team/app"));
    assert_eq!(t.run(|cx| expire(cx, 100)), 0);

    t.advance(DAY + Duration::from_secs(1));
    assert_eq!(t.run(|cx| expire(cx, 100)), 5);
    let blob = |repository: &str, digest: &str| t.attempt(|cx| registry::blob(cx, repository, digest)).ok();
    assert_eq!((blob("team/app", &unused), blob("other", &unused)), (None, None));
    assert_eq!(blob("team/app", &layer), Some(5));
    assert_eq!(crate::blobs::garbage(t.store(), 10).unwrap(), [super::layer_blob(&unused)]);

    let in_use = t.attempt(|cx| registry::delete_blob(cx, "team/app", &layer)).unwrap_err();
    assert_eq!(in_use.code, "DENIED");
    t.run(|cx| registry::delete_manifest(cx, "team/app", &pushed));
    assert_eq!(blob("team/app", &layer), Some(5), "a client that pushes may count on it for a while");
    t.advance(DAY + Duration::from_secs(1));
    assert_eq!(t.run(|cx| expire(cx, 100)), 2);
    assert_eq!(blob("team/app", &layer), None);
}

#[test]
fn an_immutable_tag_stays_where_it_is() {
    let t = with_repository(&["team/app"]);
    for bytes in [&b"config"[..], b"layer", b"newer"] {
        push_layer(&t, "team/app", bytes);
    }
    call(&t, "PutImageTagMutability", json!({ "imageTagMutability": "IMMUTABLE" })).unwrap();
    let put = |body: Bytes| t.attempt(|cx| registry::put_manifest(cx, "team/app", "v1", IMAGE, &body));
    put(manifest(b"config", b"layer")).unwrap();
    put(manifest(b"config", b"layer")).unwrap();
    assert_eq!(put(manifest(b"config", b"newer")).unwrap_err().code, "TAG_INVALID");
    let newer = String::from_utf8(manifest(b"config", b"newer").to_vec()).unwrap();
    let input = json!({ "imageManifest": newer, "imageTag": "v1" });
    assert_eq!(call(&t, "PutImage", input).unwrap_err().code, "ImageTagAlreadyExistsException");
    let input = json!({ "imageManifest": newer, "imageTag": "v2" });
    assert_eq!(call(&t, "PutImage", input).unwrap()["image"]["imageId"]["imageTag"], "v2");
}

#[test]
fn the_registrys_password_opens_until_it_expires() {
    let t = Bench::seed(3);
    let got = t.call("ecr", "GetAuthorizationToken", &json!({})).unwrap().json();
    let token = got["authorizationData"][0]["authorizationToken"].as_str().unwrap();
    let pair = String::from_utf8(from_base64(token).unwrap()).unwrap();
    let password = pair.strip_prefix("AWS:").unwrap();
    let opened = |password: &str| t.run(|cx| Ok(open_password(cx.site, password, cx.now)));
    assert_eq!(opened(password).unwrap().account, "000000000000");
    for cut in 0..password.len() {
        assert!(opened(&password[..cut]).is_none(), "{cut}");
    }
    t.advance(Duration::from_secs(12 * 3600 + 1));
    assert!(opened(password).is_none());
}

#[test]
fn records_keep_their_bytes_for_ever() {
    use super::model::{Chunk, Layer, Manifest, Repository, Tag, Upload};
    use prost::Message as _;
    let text = |message: &dyn Fn() -> Vec<u8>| hex::encode(message());
    let repository = Repository { uid: "u".into(), created_ms: 1, immutable: true, ..Default::default() };
    assert_eq!(text(&|| repository.encode_to_vec()), "0a017510011801");
    let manifest = Manifest {
        media_type: "m".into(),
        body: Bytes::from_static(b"b"),
        pushed_ms: 2,
        artifact_type: "a".into(),
        layers: vec!["l".into()],
        manifests: vec!["n".into()],
        size: 3,
        tags: vec!["t".into()],
    };
    assert_eq!(text(&|| manifest.encode_to_vec()), "0a016d12016218022201612a016c32016e3803420174");
    assert_eq!(text(&|| Tag { digest: "d".into() }.encode_to_vec()), "0a0164");
    assert_eq!(text(&|| Layer { size: 1, users: 2 }.encode_to_vec()), "08011002");
    let chunk = Chunk { blob: "b".into(), inline: Bytes::new(), size: 1, sha256: "s".into() };
    let upload = Upload { repository: "r".into(), chunks: vec![chunk], layer: "l".into() };
    assert_eq!(text(&|| upload.encode_to_vec()), "0a017212080a016218012201731a016c");
}
