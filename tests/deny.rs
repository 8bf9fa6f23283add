//! The lists of `deny.toml` (licences, bans, sources) held over everything that is linked in.
//!
//! `cargo deny check` does the same and also knows the advisories, but has to be built first, which costs more than
//! this whole suite; this test is what runs always. Not here: advisories.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

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

/// A package that is linked in: its name, what cargo says of where it is from (nothing for crates.io), its licence.
struct Linked {
    name: String,
    source: String,
    licence: String,
}

/// The packages that are built for a target, our own aside. By `cargo tree`, which knows what features leave out;
/// `cargo metadata` also lists what an optional dependency would bring.
fn packages(target: &str) -> Vec<Linked> {
    let done = Command::new(env!("CARGO"))
        .args(["tree", "--locked", "--workspace", "--target", target])
        .args(["--prefix", "none", "--no-dedupe", "--format", "{p}\t{l}"])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .unwrap();
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    let lines: BTreeSet<&str> = std::str::from_utf8(&done.stdout).unwrap().lines().collect();
    let linked = |line: &str| {
        let (package, licence) = line.split_once('\t')?;
        let mut words = package.split(' ');
        let name = words.next()?.to_owned();
        let source = words.skip(1).filter(|word| *word != "(proc-macro)").collect();
        Some(Linked { name, source, licence: licence.to_owned() })
    };
    let own = concat!("(", env!("CARGO_MANIFEST_DIR"));
    lines.into_iter().filter_map(linked).filter(|one| !one.source.starts_with(own)).collect()
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
        for Linked { name, source, licence } in packages {
            if !allowed(&licence, &rules.licences) {
                wrong.insert(format!("{name}: licence {licence}"));
            }
            if rules.banned.contains(&name) {
                wrong.insert(format!("{name}: banned"));
            }
            if !source.is_empty() {
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
