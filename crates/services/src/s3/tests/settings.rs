use super::{Cloud, refused, text, texts};

#[test]
fn a_bucket_is_made_found_listed_and_deleted() {
    let cloud = Cloud::new();
    assert_eq!(
        cloud.ok("PUT /box", &[], "").reply.status,
        200,
        "us-east-1 answers a second creation as the first"
    );
    assert_eq!(cloud.ok("PUT /can", &[], "").header("location"), Some("/can"));
    assert_eq!(cloud.ok("HEAD /box", &[], "").header("x-amz-bucket-region"), Some("us-east-1"));
    assert_eq!(texts(cloud.get("/").text(), "Name"), ["box", "can"]);
    let page = cloud.get("/?max-buckets=1");
    assert_eq!(texts(page.text(), "Name"), ["box"]);
    let token = text(page.text(), "ContinuationToken");
    assert_eq!(
        texts(cloud.get(&format!("/?max-buckets=1&continuation-token={token}")).text(), "Name"),
        ["can"]
    );
    assert_eq!(texts(cloud.get("/?prefix=c").text(), "Name"), ["can"]);

    cloud.put("/box/k", "x");
    let not_empty = refused(409, "BucketNotEmpty", "The bucket you tried to delete is not empty");
    assert_eq!(cloud.refusal("DELETE /box", &[], ""), not_empty);
    cloud.ok("DELETE /box/k", &[], "");
    assert_eq!(cloud.ok("DELETE /box", &[], "").reply.status, 204);
    let gone = refused(404, "NoSuchBucket", "The specified bucket does not exist");
    assert_eq!(cloud.refusal("DELETE /box", &[], ""), gone);
    assert_eq!(cloud.refusal("PUT /box/k", &[], ""), gone);
    assert_eq!(texts(cloud.get("/").text(), "Name"), ["can"]);
}

#[test]
fn a_creation_is_held_to_the_rules() {
    let cloud = Cloud::new();
    assert_eq!(cloud.code("PUT /Upper", &[], ""), "InvalidBucketName");
    let elsewhere = "<CreateBucketConfiguration><LocationConstraint>eu-west-1</LocationConstraint></CreateBucketConfiguration>";
    assert_eq!(cloud.code("PUT /new", &[], elsewhere), "IllegalLocationConstraintException");
    assert_eq!(cloud.code("PUT /new", &[("x-amz-acl", "public-read")], ""), "AccessControlListNotSupported");
    assert_eq!(
        cloud.code("HEAD /box", &[("x-amz-expected-bucket-owner", "111111111111")], ""),
        "AccessDenied"
    );
    for n in 0..99 {
        cloud.ok(&format!("PUT /many-{n:03}"), &[], "");
    }
    assert_eq!(cloud.code("PUT /one-more", &[], ""), "TooManyBuckets");
}

#[test]
fn a_sub_resource_that_is_missing_never_falls_through() {
    let cloud = Cloud::new();
    cloud.put("/box/k", "kept");
    let calls = [
        "DELETE /box?lifecycle",
        "GET /box?policyStatus",
        "PUT /box?encryption",
        "DELETE /box?versioning",
        "HEAD /box?acl",
    ];
    for call in calls {
        assert_eq!(cloud.code(call, &[], ""), "NotImplemented", "{call}");
    }
    for call in
        ["GET /box/k?torrent", "PUT /box/k?retention", "DELETE /box/k?legal-hold", "PUT /box/k?versions"]
    {
        assert_eq!(cloud.code(call, &[], ""), "NotImplemented", "{call}");
    }
    assert_eq!(cloud.get("/box/k?x-id=GetObject").text(), "kept", "noise of SDKs is no sub-resource");
}

#[test]
fn tags_are_kept_and_held_to_the_rules() {
    let cloud = Cloud::new();
    let tagging = "<Tagging><TagSet><Tag><Key>a</Key><Value>1</Value></Tag></TagSet></Tagging>";
    assert_eq!(
        cloud.refusal("GET /box?tagging", &[], ""),
        refused(404, "NoSuchTagSet", "The TagSet does not exist")
    );
    cloud.ok("PUT /box?tagging", &[], tagging);
    assert_eq!(texts(cloud.get("/box?tagging").text(), "Key"), ["a"]);
    cloud.ok("DELETE /box?tagging", &[], "");
    assert_eq!(cloud.code("GET /box?tagging", &[], ""), "NoSuchTagSet");

    cloud.ok("PUT /box/k", &[("x-amz-tagging", "x=1&y=a%20b")], "body");
    let tags = cloud.get("/box/k?tagging");
    assert_eq!(
        (texts(tags.text(), "Key"), texts(tags.text(), "Value")),
        (vec!["x".into(), "y".into()], vec!["1".into(), "a b".into()])
    );
    assert_eq!(cloud.ok("HEAD /box/k", &[], "").header("x-amz-tagging-count"), Some("2"));
    cloud.ok("PUT /box/k?tagging", &[], tagging);
    assert_eq!(texts(cloud.get("/box/k?tagging").text(), "Key"), ["a"]);
    assert_eq!(cloud.ok("DELETE /box/k?tagging", &[], "").reply.status, 204);
    assert!(texts(cloud.get("/box/k?tagging").text(), "Key").is_empty());
    assert_eq!(cloud.get("/box/k").text(), "body");

    let twice =
        "<Tagging><TagSet><Tag><Key>a</Key><Value/></Tag><Tag><Key>a</Key><Value/></Tag></TagSet></Tagging>";
    let wanted = refused(400, "InvalidTag", "Cannot provide multiple Tags with the same key");
    assert_eq!(cloud.refusal("PUT /box/k?tagging", &[], twice), wanted);
    let many: Vec<String> = (0..11).map(|n| format!("k{n}=v")).collect();
    let wanted = refused(400, "BadRequest", "Object tags cannot be greater than 10");
    assert_eq!(cloud.refusal("PUT /box/k", &[("x-amz-tagging", &many.join("&"))], ""), wanted);
    assert_eq!(cloud.code("PUT /box?tagging", &[], "<Tagging>"), "MalformedXML");
}

#[test]
fn cors_rules_are_kept_and_checked() {
    let cloud = Cloud::new();
    let rules = |origin: &str, method: &str| {
        format!(
            "<CORSConfiguration><CORSRule><AllowedOrigin>{origin}</AllowedOrigin><AllowedMethod>{method}</AllowedMethod>\
             <MaxAgeSeconds>60</MaxAgeSeconds></CORSRule></CORSConfiguration>"
        )
    };
    let none = refused(404, "NoSuchCORSConfiguration", "The CORS configuration does not exist");
    assert_eq!(cloud.refusal("GET /box?cors", &[], ""), none);
    cloud.ok("PUT /box?cors", &[], &rules("https://*.example.org", "GET"));
    assert_eq!(text(cloud.get("/box?cors").text(), "AllowedOrigin"), "https://*.example.org");
    let stored = cloud.0.run(|cx| crate::s3::cors_for(cx, "box"));
    assert!(crate::s3::cors::respond(&stored, "https://a.example.org", "GET", &[]).is_some());
    assert!(cloud.0.run(|cx| crate::s3::cors_for(cx, "no-such")).is_empty());
    assert_eq!(cloud.code("PUT /box?cors", &[], &rules("*", "PATCH")), "InvalidRequest");
    assert_eq!(cloud.code("PUT /box?cors", &[], &rules("*.*", "GET")), "InvalidRequest");
    assert_eq!(cloud.code("PUT /box?cors", &[], "<CORSConfiguration/>"), "MalformedXML");
    cloud.ok("DELETE /box?cors", &[], "");
    assert_eq!(cloud.refusal("GET /box?cors", &[], ""), none);
}

#[test]
fn access_lists_say_the_owner_and_nothing_else() {
    let cloud = Cloud::new();
    cloud.put("/box/k", "x");
    for path in ["/box?acl", "/box/k?acl"] {
        let list = cloud.get(path);
        assert_eq!(text(list.text(), "Permission"), "FULL_CONTROL");
        assert!(list.text().contains("xsi:type=\"CanonicalUser\""));
        cloud.ok(&format!("PUT {path}"), &[("x-amz-acl", "private")], "");
        let off = refused(400, "AccessControlListNotSupported", "The bucket does not allow ACLs");
        assert_eq!(cloud.refusal(&format!("PUT {path}"), &[("x-amz-acl", "public-read")], ""), off);
    }
    assert_eq!(cloud.get("/box?location").text().matches("LocationConstraint").count(), 2);
}
