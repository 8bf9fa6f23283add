use super::{Cloud, refused, text, texts};
use mayfly_wire::checksum::{Algorithm, Checksums};

const MIN: usize = 5 * 1024 * 1024;

fn begin(cloud: &Cloud, headers: super::Headers<'_>) -> String {
    text(cloud.ok("POST /box/k?uploads", headers, "").text(), "UploadId")
}

/// Uploads a part and returns its entity tag, without quotes.
fn part(cloud: &Cloud, upload: &str, number: u32, body: &str) -> String {
    let answer = cloud.ok(&format!("PUT /box/k?partNumber={number}&uploadId={upload}"), &[], body);
    answer.header("etag").unwrap().trim_matches('"').to_owned()
}

fn completion(parts: &[(u32, &str)]) -> String {
    let part = |(number, etag): &(u32, &str)| {
        format!("<Part><PartNumber>{number}</PartNumber><ETag>&quot;{etag}&quot;</ETag></Part>")
    };
    let parts: String = parts.iter().map(part).collect();
    format!("<CompleteMultipartUpload>{parts}</CompleteMultipartUpload>")
}

fn digest(algorithm: Algorithm, body: &str) -> String {
    let mut sums = Checksums::new(&[algorithm]);
    sums.update(body.as_bytes());
    sums.finish().base64(algorithm).unwrap()
}

#[test]
fn parts_become_one_object() {
    let cloud = Cloud::new();
    let upload = begin(&cloud, &[("x-amz-meta-a", "1"), ("content-type", "text/plain")]);
    let (one, two) = ("1".repeat(MIN), "2".to_owned());
    part(&cloud, &upload, 2, "replaced");
    let tags = [part(&cloud, &upload, 1, &one), part(&cloud, &upload, 2, &two)];
    part(&cloud, &upload, 9, "left out");
    let listed = cloud.get(&format!("/box/k?uploadId={upload}&max-parts=2"));
    assert_eq!(texts(listed.text(), "PartNumber"), ["1", "2"]);
    assert_eq!(
        (text(listed.text(), "IsTruncated"), text(listed.text(), "NextPartNumberMarker")),
        ("true".into(), "2".into())
    );
    assert_eq!(cloud.code("GET /box/k", &[], ""), "NoSuchKey", "not before it is complete");

    let body = completion(&[(1, &tags[0]), (2, &tags[1])]);
    let done = cloud.ok(&format!("POST /box/k?uploadId={upload}"), &[], &body);
    let etag = text(done.text(), "ETag");
    assert!(etag.ends_with("-2&quot;"), "{etag}");
    let whole = format!("{one}{two}");
    assert_eq!(text(done.text(), "ChecksumCRC64NVME"), digest(Algorithm::Crc64Nvme, &whole));
    assert_eq!(text(done.text(), "Location"), "http://127.0.0.1:4566/box/k");
    let got = cloud.get("/box/k");
    assert_eq!(got.text(), whole);
    assert_eq!((got.header("x-amz-meta-a"), got.header("content-type")), (Some("1"), Some("text/plain")));

    let second = cloud.get("/box/k?partNumber=2");
    assert_eq!(
        (second.reply.status, second.text(), second.header("x-amz-mp-parts-count")),
        (206, "2", Some("2"))
    );
    let across = format!("bytes={}-{}", MIN - 2, MIN);
    assert_eq!(cloud.ok("GET /box/k", &[("range", &across)], "").text(), "112");
    let attributes = cloud.ok("GET /box/k?attributes", &[("x-amz-object-attributes", "ObjectParts")], "");
    assert_eq!(text(attributes.text(), "PartsCount"), "2");

    let again = cloud.ok(&format!("POST /box/k?uploadId={upload}"), &[], &body);
    assert_eq!(text(again.text(), "ETag"), etag, "a completion that is sent again finds what it made");
    assert_eq!(cloud.code(&format!("GET /box/k?uploadId={upload}"), &[], ""), "NoSuchUpload");
}

#[test]
fn a_completion_is_held_to_the_rules_and_changes_nothing_when_refused() {
    let cloud = Cloud::new();
    let upload = begin(&cloud, &[]);
    let tags = [part(&cloud, &upload, 1, "small"), part(&cloud, &upload, 2, "last")];
    let complete = |body: &str| cloud.refusal(&format!("POST /box/k?uploadId={upload}"), &[], body);
    let small =
        refused(400, "EntityTooSmall", "Your proposed upload is smaller than the minimum allowed size");
    assert_eq!(complete(&completion(&[(1, &tags[0]), (2, &tags[1])])), small);
    assert_eq!(complete(&completion(&[(2, &tags[1]), (1, &tags[0])])).1, "InvalidPartOrder");
    assert_eq!(complete(&completion(&[(3, &tags[1])])).1, "InvalidPart");
    assert_eq!(complete(&completion(&[(1, "other")])).1, "InvalidPart");
    assert_eq!(complete(&completion(&[])).1, "MalformedXML");
    assert_eq!(complete("x").1, "MalformedXML");
    let size = [("x-amz-mp-object-size", "7")];
    let body = completion(&[(1, &tags[0])]);
    assert_eq!(cloud.code(&format!("POST /box/k?uploadId={upload}"), &size, &body), "InvalidRequest");
    cloud.ok(&format!("POST /box/k?uploadId={upload}"), &[], &body);
    assert_eq!(cloud.get("/box/k").text(), "small");

    let upload = begin(&cloud, &[]);
    let put =
        |number: u32| cloud.code(&format!("PUT /box/k?partNumber={number}&uploadId={upload}"), &[], "x");
    assert_eq!((put(0), put(10_001)), ("InvalidArgument".into(), "InvalidArgument".into()));
    assert_eq!(cloud.ok(&format!("DELETE /box/k?uploadId={upload}"), &[], "").reply.status, 204);
    assert_eq!(put(1), "NoSuchUpload");
    assert_eq!(cloud.code(&format!("DELETE /box/k?uploadId={upload}"), &[], ""), "NoSuchUpload");
    assert_eq!(cloud.get("/box/k").text(), "small");
}

#[test]
fn an_upload_keeps_to_the_checksum_that_it_chose() {
    let cloud = Cloud::new();
    let upload = begin(&cloud, &[("x-amz-checksum-algorithm", "SHA256")]);
    let path = format!("PUT /box/k?partNumber=1&uploadId={upload}");
    let text_of = |actual: &str| {
        format!(
            "Checksum Type mismatch occurred, expected checksum Type: sha256, actual checksum Type: {actual}"
        )
    };
    assert_eq!(cloud.refusal(&path, &[], "hello"), refused(400, "InvalidRequest", &text_of("null")));
    let crc = digest(Algorithm::Crc32, "hello");
    let wrong = cloud.refusal(&path, &[("x-amz-checksum-crc32", &crc)], "hello");
    assert_eq!(wrong, refused(400, "InvalidRequest", &text_of("crc32")));
    let sha = digest(Algorithm::Sha256, "hello");
    let put = cloud.ok(&path, &[("x-amz-checksum-sha256", &sha)], "hello");
    assert_eq!(put.header("x-amz-checksum-sha256"), Some(&*sha));
    let etag = put.header("etag").unwrap().trim_matches('"').to_owned();
    let done = cloud.ok(&format!("POST /box/k?uploadId={upload}"), &[], &completion(&[(1, &etag)]));
    assert_eq!(text(done.text(), "ChecksumType"), "COMPOSITE");
    assert!(text(done.text(), "ChecksumSHA256").ends_with("-1"));

    let upload = begin(&cloud, &[]);
    let path = format!("PUT /box/k?partNumber=1&uploadId={upload}");
    let put = cloud.ok(&path, &[("x-amz-checksum-crc32", &crc)], "hello");
    assert_eq!(
        put.header("x-amz-checksum-crc32"),
        Some(&*crc),
        "a part may name another if nothing was chosen"
    );
    let body = completion(&[(1, &etag)]);
    let bad = [("x-amz-checksum-crc64nvme", "AAAAAAAAAAA=")];
    assert_eq!(cloud.code(&format!("POST /box/k?uploadId={upload}"), &bad, &body), "BadDigest");
    let good = digest(Algorithm::Crc64Nvme, "hello");
    cloud.ok(&format!("POST /box/k?uploadId={upload}"), &[("x-amz-checksum-crc64nvme", &good)], &body);
    let kind = [("x-amz-checksum-algorithm", "SHA1"), ("x-amz-checksum-type", "FULL_OBJECT")];
    assert_eq!(cloud.code("POST /box/k?uploads", &kind, ""), "InvalidRequest");
}

#[test]
fn a_part_can_be_a_stretch_of_another_object() {
    let cloud = Cloud::new();
    cloud.put("/box/source", &"0123456789".repeat(MIN / 10 + 1));
    let upload = begin(&cloud, &[]);
    let copy = |number: u32, range: &str| {
        let headers = [("x-amz-copy-source", "box/source"), ("x-amz-copy-source-range", range)];
        cloud.send(&format!("PUT /box/k?partNumber={number}&uploadId={upload}"), &headers, "")
    };
    let etag = |answer: &crate::testing::Answer| text(answer.text(), "ETag").replace("&quot;", "");
    let one = etag(&copy(1, &format!("bytes=0-{}", MIN - 1)).unwrap());
    let two = etag(&copy(2, "bytes=3-5").unwrap());
    assert_eq!(copy(3, "bytes=0-99999999").unwrap_err().code, "InvalidArgument");
    assert_eq!(copy(3, "bytes=0-").unwrap_err().code, "InvalidArgument");
    let body = completion(&[(1, &one), (2, &two)]);
    let done = cloud.ok(&format!("POST /box/k?uploadId={upload}"), &[], &body);
    assert_eq!(text(done.text(), "ChecksumType"), "", "nobody has read the bytes");
    let got = cloud.get("/box/k");
    assert_eq!(got.body.len(), MIN + 3);
    assert!(got.text().ends_with("345"));
}

#[test]
fn an_unfinished_upload_does_not_keep_a_bucket_alive() {
    let cloud = Cloud::new();
    let upload = begin(&cloud, &[]);
    part(&cloud, &upload, 1, "x");
    cloud.ok("DELETE /box", &[], "");
    cloud.ok("PUT /box", &[], "");
    assert!(texts(cloud.get("/box?uploads").text(), "UploadId").is_empty());
    assert_eq!(cloud.code(&format!("GET /box/k?uploadId={upload}"), &[], ""), "NoSuchUpload");
}
