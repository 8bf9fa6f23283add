//! The lists of `deny.toml` (licences, bans, sources) held over everything that is linked in.
//!
//! `cargo deny check` does the same and also knows the advisories, but has to be built first, which costs more than
//! this whole suite; this test is what runs always. Not here: advisories.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use serde_json::Value;
use std::collections::BTreeSet;
use std::process::Command;

struct Rules {
    licences: BTreeSet<String>,
    banned: Vec<String>,
    targets: Vec<String>,
}

fn rules() -> Rules {
    let text = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/deny.toml")).unwrap();
    let rules: toml::Value = toml::from_str(&text).unwrap();
    let strings = |list: &toml::Value, key: Option<&str>| -> Vec<String> {
        let one = |item: &toml::Value| key.map_or(item, |key| &item[key]).as_str().unwrap().to_owned();
        list.as_array().unwrap().iter().map(one).collect()
    };
    Rules {
        licences: strings(&rules["licenses"]["allow"], None).into_iter().collect(),
        banned: strings(&rules["bans"]["deny"], Some("crate")),
        targets: strings(&rules["graph"]["targets"], None),
    }
}

/// The packages that are built for a target, our own aside.
fn packages(target: &str) -> Vec<Value> {
    let done = Command::new(env!("CARGO"))
        .args(["metadata", "--locked", "--format-version", "1", "--filter-platform", target])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .unwrap();
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    let metadata: Value = serde_json::from_slice(&done.stdout).unwrap();
    let nodes = metadata["resolve"]["nodes"].as_array().unwrap();
    let used: BTreeSet<&str> = nodes.iter().map(|node| node["id"].as_str().unwrap()).collect();
    let all = metadata["packages"].as_array().unwrap().iter();
    all.filter(|one| !one["source"].is_null() && used.contains(one["id"].as_str().unwrap()))
        .cloned()
        .collect()
}

/// Whether an SPDX expression can be met by the allowed licences. AND binds closer than OR; `/` is its old form.
fn allowed(expression: &str, licences: &BTreeSet<String>) -> bool {
    let spaced = expression.replace('(', " ( ").replace(')', " ) ").replace('/', " OR ");
    let words: Vec<&str> = spaced.split_whitespace().collect();
    let (met, rest) = any(&words, licences);
    met && rest.is_empty()
}

fn any<'a>(words: &'a [&'a str], licences: &BTreeSet<String>) -> (bool, &'a [&'a str]) {
    let (mut met, mut rest) = all(words, licences);
    while let ["OR", more @ ..] = rest {
        let (other, after) = all(more, licences);
        (met, rest) = (met || other, after);
    }
    (met, rest)
}

fn all<'a>(words: &'a [&'a str], licences: &BTreeSet<String>) -> (bool, &'a [&'a str]) {
    let (mut met, mut rest) = one(words, licences);
    while let ["AND", more @ ..] = rest {
        let (other, after) = one(more, licences);
        (met, rest) = (met && other, after);
    }
    (met, rest)
}

fn one<'a>(words: &'a [&'a str], licences: &BTreeSet<String>) -> (bool, &'a [&'a str]) {
    match words {
        ["(", inside @ ..] => {
            let (met, rest) = any(inside, licences);
            (met && rest.first() == Some(&")"), rest.get(1..).unwrap_or_default())
        }
        [licence, "WITH", exception, rest @ ..] => {
            (licences.contains(&format!("{licence} WITH {exception}")), rest)
        }
        [licence, rest @ ..] => (licences.contains(*licence), rest),
        [] => (false, &[]),
    }
}

#[test]
fn what_is_linked_in_is_allowed() {
    let rules = rules();
    let mut wrong = BTreeSet::new();
    for target in &rules.targets {
        let packages = packages(target);
        assert!(packages.len() > 100, "only {} packages were found", packages.len());
        for package in packages {
            let name = package["name"].as_str().unwrap();
            let licence = package["license"].as_str().unwrap_or("none");
            if !allowed(licence, &rules.licences) {
                wrong.insert(format!("{name}: licence {licence}"));
            }
            if rules.banned.iter().any(|banned| banned == name) {
                wrong.insert(format!("{name}: banned"));
            }
            let source = package["source"].as_str().unwrap();
            if source != "registry+https://github.com/rust-lang/crates.io-index" {
                wrong.insert(format!("{name}: source {source}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn licence_expressions_are_read_as_spdx_says() {
    let licences = ["MIT", "Apache-2.0", "Apache-2.0 WITH LLVM-exception"].map(String::from).into();
    for good in [
        "MIT",
        "MIT OR GPL-3.0",
        "GPL-3.0/MIT",
        "(MIT OR GPL-3.0) AND Apache-2.0",
        "Apache-2.0 WITH LLVM-exception",
    ] {
        assert!(allowed(good, &licences), "{good}");
    }
    for bad in
        ["GPL-3.0", "MIT AND GPL-3.0", "GPL-3.0 OR AGPL-3.0", "MIT AND (GPL-3.0 OR AGPL-3.0)", "none", ""]
    {
        assert!(!allowed(bad, &licences), "{bad}");
    }
}
