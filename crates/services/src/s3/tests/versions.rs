use super::{Cloud, refused, text, texts};
use proptest::prelude::*;

#[test]
fn a_deleted_object_is_hidden_and_can_be_restored() {
    let cloud = Cloud::versioned();
    let first = cloud.put("/box/k", "one");
    let second = cloud.put("/box/k", "two");
    assert_ne!(first, second);
    assert_eq!(cloud.get("/box/k").header("x-amz-version-id"), Some(&*second));
    assert_eq!(cloud.get(&format!("/box/k?versionId={first}")).text(), "one");

    let deleted = cloud.ok("DELETE /box/k", &[], "");
    assert_eq!(deleted.header("x-amz-delete-marker"), Some("true"));
    let marker = deleted.header("x-amz-version-id").unwrap().to_owned();
    let hidden = cloud.get("/box/k");
    assert_eq!((hidden.reply.status, hidden.header("x-amz-delete-marker")), (404, Some("true")));
    assert_eq!(text(hidden.text(), "Code"), "NoSuchKey");
    let named = cloud.get(&format!("/box/k?versionId={marker}"));
    assert_eq!((named.reply.status, named.header("allow")), (405, Some("DELETE")));
    assert!(texts(cloud.get("/box").text(), "Key").is_empty());

    cloud.ok(&format!("DELETE /box/k?versionId={marker}"), &[], "");
    assert_eq!(cloud.get("/box/k").text(), "two");
    cloud.ok(&format!("DELETE /box/k?versionId={second}"), &[], "");
    assert_eq!(cloud.get("/box/k").text(), "one");
    let gone = refused(404, "NoSuchVersion", "The specified version does not exist.");
    assert_eq!(cloud.refusal(&format!("GET /box/k?versionId={second}"), &[], ""), gone);
    let malformed = refused(400, "InvalidArgument", "Invalid version id specified");
    assert_eq!(cloud.refusal("GET /box/k?versionId=x", &[], ""), malformed);
    assert_eq!(cloud.refusal("DELETE /box", &[], "").1, "BucketNotEmpty");
}

#[test]
fn tags_belong_to_a_version_and_old_versions_can_be_copied() {
    let cloud = Cloud::versioned();
    let first = cloud.put("/box/k", "one");
    let second = cloud.put("/box/k", "two");
    let tagging = "<Tagging><TagSet><Tag><Key>a</Key><Value>1</Value></Tag></TagSet></Tagging>";
    let tagged = cloud.ok(&format!("PUT /box/k?tagging&versionId={first}"), &[], tagging);
    assert_eq!(tagged.header("x-amz-version-id"), Some(&*first));
    assert!(texts(cloud.get("/box/k?tagging").text(), "Key").is_empty());
    assert_eq!(texts(cloud.get(&format!("/box/k?tagging&versionId={first}")).text(), "Key"), ["a"]);
    let source = format!("box/k?versionId={first}");
    let copied = cloud.ok("PUT /box/k", &[("x-amz-copy-source", &source)], "");
    assert_eq!(copied.header("x-amz-copy-source-version-id"), Some(&*first));
    assert_eq!(cloud.get("/box/k").text(), "one");
    assert_eq!(cloud.get(&format!("/box/k?versionId={second}")).text(), "two");
    assert_eq!(
        cloud.code("PUT /box?versioning", &[], "<VersioningConfiguration/>"),
        "IllegalVersioningConfigurationException"
    );
}

#[test]
fn a_listing_of_versions_pages_through_every_one() {
    let cloud = Cloud::versioned();
    let mut ids = Vec::new();
    for (key, body) in [("a", "1"), ("a", "2"), ("b", "3"), ("c/1", "4"), ("c/2", "5")] {
        ids.push(cloud.put(&format!("/box/{key}"), body));
    }
    let marker = cloud.ok("DELETE /box/a", &[], "").header("x-amz-version-id").unwrap().to_owned();
    let order = [&marker, &ids[1], &ids[0], &ids[2], &ids[3], &ids[4]];
    let all = cloud.get("/box?versions");
    assert_eq!(texts(all.text(), "VersionId").iter().collect::<Vec<_>>(), order);
    assert_eq!(texts(all.text(), "IsLatest"), ["true", "false", "false", "true", "true", "true"]);
    for page_size in 1..=6 {
        let (mut shown, mut rest) = (Vec::new(), String::new());
        loop {
            let page = cloud.get(&format!("/box?versions&max-keys={page_size}{rest}"));
            shown.extend(texts(page.text(), "VersionId"));
            if text(page.text(), "IsTruncated") == "false" {
                break;
            }
            let (key, id) = (text(page.text(), "NextKeyMarker"), text(page.text(), "NextVersionIdMarker"));
            rest = format!("&key-marker={key}&version-id-marker={id}");
        }
        assert_eq!(shown.iter().collect::<Vec<_>>(), order, "in pages of {page_size}");
    }
    assert_eq!(cloud.get("/box?versions&delimiter=/").text().matches("<CommonPrefixes>").count(), 1);
    assert_eq!(texts(cloud.get("/box?versions&key-marker=b").text(), "Key"), ["c/1", "c/2"]);
}

/// What a key's history should be, told by the simplest means.
#[derive(Default)]
struct Model {
    /// Oldest first: the id as callers know it, and the body; none for a delete marker.
    versions: Vec<(String, Option<String>)>,
    suspended: bool,
}

impl Model {
    fn push(&mut self, id: String, body: Option<String>) {
        if id == "null" {
            self.versions.retain(|(other, _)| other != "null");
        }
        self.versions.push((id, body));
    }
}

#[derive(Clone, Debug)]
enum Step {
    Put(u8),
    Delete,
    DeleteVersion(prop::sample::Index),
    Suspend(bool),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        3 => any::<u8>().prop_map(Step::Put),
        2 => Just(Step::Delete),
        3 => any::<prop::sample::Index>().prop_map(Step::DeleteVersion),
        2 => any::<bool>().prop_map(Step::Suspend),
    ]
}

/// The version id that callers see; a version without one is the null version.
fn id_of(answer: &crate::testing::Answer) -> String {
    answer.header("x-amz-version-id").unwrap_or("null").to_owned()
}

fn perform(cloud: &Cloud, model: &mut Model, step: &Step, versioned: &mut bool) {
    match step {
        Step::Put(n) => {
            let body = format!("body {n}");
            let id = id_of(&cloud.ok("PUT /box/k", &[], &body));
            assert_eq!(id == "null", !*versioned || model.suspended);
            model.push(id, Some(body));
        }
        Step::Delete if !*versioned => {
            cloud.ok("DELETE /box/k", &[], "");
            model.versions.clear();
        }
        Step::Delete => model.push(id_of(&cloud.ok("DELETE /box/k", &[], "")), None),
        Step::DeleteVersion(index) => {
            if !model.versions.is_empty() {
                let (id, _) = model.versions.remove(index.index(model.versions.len()));
                cloud.ok(&format!("DELETE /box/k?versionId={id}"), &[], "");
            }
        }
        Step::Suspend(suspend) => {
            *versioned = true;
            model.suspended = *suspend;
            cloud.versioning(if *suspend { "Suspended" } else { "Enabled" });
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn histories_are_those_of_the_model(steps in prop::collection::vec(step(), 1..24)) {
        let cloud = Cloud::new();
        let (mut model, mut versioned) = (Model::default(), false);
        for step in &steps {
            perform(&cloud, &mut model, step, &mut versioned);
            let listed = texts(cloud.get("/box?versions").text(), "VersionId");
            let newest_first: Vec<String> = model.versions.iter().rev().map(|(id, _)| id.clone()).collect();
            prop_assert_eq!(listed, newest_first);
            let current = cloud.send("GET /box/k", &[], "").ok().filter(|answer| answer.reply.status == 200);
            let wanted = model.versions.last().and_then(|(_, body)| body.clone());
            prop_assert_eq!(current.map(|answer| answer.text().to_owned()), wanted);
            for (id, body) in &model.versions {
                let got = cloud.get(&format!("/box/k?versionId={id}"));
                match body {
                    Some(body) => prop_assert_eq!(got.text(), body),
                    None => prop_assert_eq!(got.reply.status, 405),
                }
            }
        }
    }
}
