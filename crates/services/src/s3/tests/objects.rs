use super::{Cloud, refused, text, texts};
use crate::blobs;
use crate::operation::{Piece, Upload};
use crate::s3::objects::{self, Named};
use mayfly_wire::Call;
use mayfly_wire::checksum::{Algorithm, Checksums};

const HELLO_MD5: &str = "5d41402abc4b2a76b9719d911017c592";

#[test]
fn an_object_comes_back_as_it_was_put() {
    let cloud = Cloud::new();
    let headers = [
        ("content-type", "text/plain"),
        ("content-encoding", "aws-chunked,gzip"),
        ("cache-control", "max-age=5"),
        ("x-amz-meta-colour", "blue"),
    ];
    let put = cloud.ok("PUT /box/a%20folder//k%C3%A9y/", &headers, "hello");
    assert_eq!(put.header("etag"), Some(&*format!("\"{HELLO_MD5}\"")));
    assert_eq!(put.header("x-amz-version-id"), None);
    assert_eq!(put.header("x-amz-checksum-type"), Some("FULL_OBJECT"));
    assert!(put.header("x-amz-checksum-crc64nvme").is_some(), "the default checksum");

    for method in ["GET", "HEAD"] {
        let got = cloud.ok(
            &format!("{method} /box/a%20folder//k%C3%A9y/"),
            &[("x-amz-checksum-mode", "ENABLED")],
            "",
        );
        assert_eq!(got.reply.status, 200);
        assert_eq!(got.text(), if method == "GET" { "hello" } else { "" });
        let expected = [
            ("content-type", "text/plain"),
            ("content-encoding", "gzip"),
            ("cache-control", "max-age=5"),
            ("x-amz-meta-colour", "blue"),
            ("content-length", "5"),
            ("accept-ranges", "bytes"),
            ("last-modified", "Thu, 01 Jan 2026 00:00:00 GMT"),
        ];
        for (name, value) in expected {
            assert_eq!(got.header(name), Some(value), "{name}");
        }
        assert_eq!(got.header("x-amz-checksum-crc64nvme"), put.header("x-amz-checksum-crc64nvme"));
    }
    let other = cloud.get("/box/a%20folder//k%C3%A9y/?response-content-type=image/png");
    assert_eq!(other.header("content-type"), Some("image/png"));

    cloud.ok("PUT /box/empty", &[], "");
    let empty = cloud.get("/box/empty");
    assert_eq!((empty.text(), empty.header("content-length")), ("", Some("0")));
    assert_eq!(empty.header("content-type"), Some("binary/octet-stream"));
    assert_eq!(
        cloud.refusal("GET /box/none", &[], ""),
        refused(404, "NoSuchKey", "The specified key does not exist.")
    );
    assert_eq!(
        cloud.ok("DELETE /box/none", &[], "").reply.status,
        204,
        "what is not there is deleted already"
    );
}

#[test]
fn a_range_is_a_part_of_the_object() {
    let cloud = Cloud::new();
    cloud.put("/box/k", "0123456789");
    let ask = |range: &str| cloud.ok("GET /box/k", &[("range", range)], "");
    for (range, body, shown) in [
        ("bytes=2-4", "234", "bytes 2-4/10"),
        ("bytes=7-", "789", "bytes 7-9/10"),
        ("bytes=-2", "89", "bytes 8-9/10"),
    ] {
        let answer = ask(range);
        assert_eq!(
            (answer.reply.status, answer.text(), answer.header("content-range")),
            (206, body, Some(shown))
        );
    }
    assert_eq!(ask("bytes=4-2").reply.status, 200);
    let wanted = refused(416, "InvalidRange", "The requested range is not satisfiable");
    assert_eq!(cloud.refusal("GET /box/k", &[("range", "bytes=10-")], ""), wanted);
    assert_eq!(cloud.get("/box/k?partNumber=1").reply.status, 206);
    assert_eq!(cloud.code("GET /box/k?partNumber=2", &[], ""), "InvalidPartNumber");
}

#[test]
fn conditions_are_kept_on_reads_and_writes() {
    let cloud = Cloud::new();
    let quoted = format!("\"{HELLO_MD5}\"");
    cloud.put("/box/k", "hello");
    let unchanged = cloud.ok("GET /box/k", &[("if-none-match", &quoted)], "");
    assert_eq!((unchanged.reply.status, unchanged.text()), (304, ""));
    assert_eq!(unchanged.header("etag"), Some(&*quoted));
    let failed =
        refused(412, "PreconditionFailed", "At least one of the pre-conditions you specified did not hold");
    assert_eq!(cloud.refusal("GET /box/k", &[("if-match", "\"other\"")], ""), failed);
    assert_eq!(cloud.refusal("PUT /box/k", &[("if-none-match", "*")], "new"), failed);
    assert_eq!(cloud.refusal("PUT /box/k", &[("if-match", "\"other\"")], "new"), failed);
    assert_eq!(cloud.code("PUT /box/none", &[("if-match", &quoted)], "new"), "NoSuchKey");
    assert_eq!(cloud.code("PUT /box/k", &[("if-none-match", &quoted)], "new"), "NotImplemented");
    assert_eq!(cloud.refusal("DELETE /box/k", &[("if-match", "\"other\"")], ""), failed);
    assert_eq!(cloud.get("/box/k").text(), "hello");
    cloud.ok("PUT /box/k", &[("if-match", &quoted)], "new");
    cloud.ok("PUT /box/k2", &[("if-none-match", "*")], "first");
    cloud.ok("DELETE /box/k", &[("if-match", "*")], "");
    assert_eq!(cloud.code("GET /box/k", &[], ""), "NoSuchKey");
}

#[test]
fn bytes_that_are_not_the_clients_are_refused() {
    let cloud = Cloud::new();
    let wrong_md5 = "AAAAAAAAAAAAAAAAAAAAAA==";
    let text = "The Content-MD5 you specified did not match what we received.";
    assert_eq!(
        cloud.refusal("PUT /box/k", &[("content-md5", wrong_md5)], "hello"),
        refused(400, "BadDigest", text)
    );
    let text = "The Content-MD5 you specified was invalid.";
    assert_eq!(
        cloud.refusal("PUT /box/k", &[("content-md5", "x")], "hello"),
        refused(400, "InvalidDigest", text)
    );
    let text = "The CRC32 you specified did not match the calculated checksum.";
    let header = [("x-amz-checksum-crc32", "AAAAAA==")];
    assert_eq!(cloud.refusal("PUT /box/k", &header, "hello"), refused(400, "BadDigest", text));
    let text = "Value for x-amz-checksum-crc32 header is invalid.";
    let header = [("x-amz-checksum-crc32", "AAAA")];
    assert_eq!(cloud.refusal("PUT /box/k", &header, "hello"), refused(400, "InvalidRequest", text));
    let two = [("x-amz-checksum-crc32", "NhCmhg=="), ("x-amz-checksum-sha1", "qvTGHdzF6KLavt4PO0gs2a6pQ00=")];
    assert_eq!(cloud.code("PUT /box/k", &two, "hello"), "InvalidRequest");
    assert_eq!(cloud.code("GET /box/k", &[], ""), "NoSuchKey", "nothing of it was kept");
    for header in two {
        let put = cloud.ok("PUT /box/k", &[header], "hello");
        assert_eq!(put.header(header.0), Some(header.1));
    }
}

#[test]
fn promises_that_cannot_be_kept_are_refused() {
    let cloud = Cloud::new();
    let long = "x".repeat(2048);
    for (header, code) in [
        (("x-amz-server-side-encryption", "AES256"), "NotImplemented"),
        (("x-amz-server-side-encryption-customer-algorithm", "AES256"), "NotImplemented"),
        (("x-amz-object-lock-mode", "GOVERNANCE"), "NotImplemented"),
        (("x-amz-checksum-sha512", "x"), "NotImplemented"),
        (("x-amz-acl", "public-read"), "AccessControlListNotSupported"),
        (("x-amz-grant-read", "id=x"), "AccessControlListNotSupported"),
        (("x-amz-storage-class", "GLACIER"), "InvalidStorageClass"),
        (("x-amz-meta-a", long.as_str()), "MetadataTooLarge"),
        (("content-length", "5368709121"), "EntityTooLarge"),
    ] {
        assert_eq!(cloud.code("PUT /box/k", &[header], "x"), code, "{header:?}");
    }
    let key = "k".repeat(1025);
    assert_eq!(
        cloud.refusal(&format!("PUT /box/{key}"), &[], ""),
        refused(400, "KeyTooLongError", "Your key is too long")
    );
    cloud.put(&format!("/box/{}", &key[1..]), "x");
}

#[test]
fn a_copy_takes_what_it_is_told_to() {
    let cloud = Cloud::new();
    cloud.ok(
        "PUT /box/from",
        &[("x-amz-meta-a", "1"), ("x-amz-tagging", "t=1"), ("content-type", "text/x")],
        "hello",
    );
    let copied = cloud.ok("PUT /box/to", &[("x-amz-copy-source", "/box/from")], "");
    assert_eq!(text(copied.text(), "ETag"), format!("&quot;{HELLO_MD5}&quot;"));
    let got = cloud.get("/box/to");
    assert_eq!(
        (got.text(), got.header("x-amz-meta-a"), got.header("content-type")),
        ("hello", Some("1"), Some("text/x"))
    );
    assert_eq!(got.header("x-amz-tagging-count"), Some("1"));

    let replace = [
        ("x-amz-copy-source", "box/from"),
        ("x-amz-metadata-directive", "REPLACE"),
        ("x-amz-tagging-directive", "REPLACE"),
        ("x-amz-meta-b", "2"),
    ];
    cloud.ok("PUT /box/to", &replace, "");
    let got = cloud.get("/box/to");
    assert_eq!((got.header("x-amz-meta-a"), got.header("x-amz-meta-b")), (None, Some("2")));
    assert_eq!(got.header("x-amz-tagging-count"), None);

    let (status, code, _) = cloud.refusal("PUT /box/from", &[("x-amz-copy-source", "box/from")], "");
    assert_eq!((status, code.as_str()), (400, "InvalidRequest"));
    assert_eq!(cloud.code("PUT /box/to", &[("x-amz-copy-source", "box")], ""), "InvalidArgument");
    assert_eq!(cloud.code("PUT /box/to", &[("x-amz-copy-source", "box/none")], ""), "NoSuchKey");
    assert_eq!(cloud.code("PUT /box/to", &[("x-amz-copy-source", "none/k")], ""), "NoSuchBucket");
    let condition = [("x-amz-copy-source", "box/from"), ("x-amz-copy-source-if-none-match", HELLO_MD5)];
    assert_eq!(cloud.code("PUT /box/to", &condition, ""), "PreconditionFailed");
    let sha = [("x-amz-copy-source", "box/from"), ("x-amz-checksum-algorithm", "SHA1")];
    assert_eq!(
        text(cloud.ok("PUT /box/sha", &sha, "").text(), "ChecksumSHA1"),
        "qvTGHdzF6KLavt4PO0gs2a6pQ00="
    );
}

#[test]
fn many_are_deleted_at_once_each_with_its_own_outcome() {
    let cloud = Cloud::new();
    cloud.put("/box/a", "1");
    cloud.put("/box/c%26d", "2");
    let long = "k".repeat(1025);
    let body = format!(
        "<Delete><Object><Key>a</Key></Object><Object><Key>c&amp;d</Key></Object><Object><Key>none</Key></Object>\
         <Object><Key>{long}</Key></Object></Delete>"
    );
    let answer = cloud.ok("POST /box?delete", &[], &body);
    let deleted = texts(answer.text(), "Deleted");
    assert_eq!(deleted, ["<Key>a</Key>", "<Key>c&amp;d</Key>", "<Key>none</Key>"]);
    assert_eq!(texts(answer.text(), "Code"), ["KeyTooLongError"]);
    assert!(texts(cloud.get("/box").text(), "Key").is_empty());
    cloud.put("/box/a", "1");
    let quiet = cloud.ok(
        "POST /box?delete",
        &[],
        "<Delete><Quiet>true</Quiet><Object><Key>a</Key></Object></Delete>",
    );
    assert!(texts(quiet.text(), "Deleted").is_empty());
    assert_eq!(cloud.code("GET /box/a", &[], ""), "NoSuchKey");
    let many = "<Object><Key>k</Key></Object>".repeat(1001);
    for bad in ["<Delete/>", "not xml", &format!("<Delete>{many}</Delete>")] {
        assert_eq!(cloud.code("POST /box?delete", &[], bad), "MalformedXML");
    }
    let body = "<Delete><Object><Key>a</Key></Object></Delete>";
    assert_eq!(
        cloud.code("POST /box?delete", &[("content-md5", "AAAAAAAAAAAAAAAAAAAAAA==")], body),
        "BadDigest"
    );
}

/// Puts an object whose body is a blob, as the binary does with a large one.
fn put_blob(cloud: &Cloud, key: &str, blob: &str) {
    let call = Call {
        operation: "PutObject".into(),
        labels: vec![("Bucket".into(), "box".into())],
        ..Call::default()
    };
    let digests = Checksums::new(&Algorithm::ALL).finish();
    let upload = Upload { piece: Some(Piece::Blob { id: blob.into(), range: 0..100 }), size: 100, digests };
    cloud.0.run(|cx| objects::put(cx, Named { key: key.into(), version_id: None }, &call, &upload));
}

#[test]
fn a_body_lives_as_long_as_anybody_names_it() {
    let cloud = Cloud::new();
    let garbage = || blobs::garbage(cloud.0.store(), 10).unwrap();
    put_blob(&cloud, "a", "blob-one");
    cloud.ok("PUT /box/copy", &[("x-amz-copy-source", "box/a")], "");
    put_blob(&cloud, "a", "blob-two");
    assert!(garbage().is_empty(), "the copy still holds the first");
    cloud.ok("DELETE /box/copy", &[], "");
    assert_eq!(garbage(), ["blob-one"]);
    cloud.put("/box/a", "small");
    assert_eq!(garbage(), ["blob-one", "blob-two"]);
}

#[test]
fn attributes_are_those_that_were_asked_for() {
    let cloud = Cloud::new();
    cloud.put("/box/k", "hello");
    let ask = |names: &str| cloud.ok("GET /box/k?attributes", &[("x-amz-object-attributes", names)], "");
    let all = ask("ETag,Checksum,ObjectParts,StorageClass,ObjectSize");
    assert_eq!((text(all.text(), "ETag"), text(all.text(), "ObjectSize")), (HELLO_MD5.into(), "5".into()));
    assert_eq!(text(all.text(), "ChecksumType"), "FULL_OBJECT");
    assert!(!all.text().contains("ObjectParts"));
    assert!(!ask("ETag").text().contains("ObjectSize"));
    assert_eq!(
        cloud.code("GET /box/k?attributes", &[("x-amz-object-attributes", "Colour")], ""),
        "InvalidArgument"
    );
}
