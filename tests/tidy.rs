//! The house rules as an ordinary test: sizes, layering, imports, key spaces, and that the architecture page names
//! tests which exist.
//!
//! Each rule has a list of exceptions for what breaks it today. A list may only shrink: an exception that is no longer
//! needed fails the test, and so does one that got worse.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

const FILE_LINES: usize = 800;
const LINE_COLUMNS: usize = 110;
const SERVICE_DEPTH: usize = 3;

/// Files over [`FILE_LINES`].
const LONG_FILES: &[&str] = &[];
/// Files with code over [`LINE_COLUMNS`].
const LONG_LINES: &[&str] = &[];
/// How many lines of comments, over all files, are wider. Lower it when they become fewer.
const WIDE_COMMENTS: usize = 230;
/// Files that import with a glob outside tests.
const GLOBS: &[&str] = &[];

/// Who may depend on whom, of our own crates.
const MAY_USE: &[(&str, &[&str])] = &[
    ("kernel", &[]),
    ("store", &["kernel"]),
    ("wire", &["kernel"]),
    ("runtime", &["kernel"]),
    ("services", &["kernel", "store", "wire"]),
];

struct Source {
    /// From the root of the repository, with `/`.
    path: String,
    text: String,
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn read(path: impl AsRef<Path>) -> String {
    let path = root().join(path);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn walk(folder: &Path, keep: &dyn Fn(&Path) -> bool, found: &mut Vec<Source>) {
    let mut entries: Vec<PathBuf> = fs::read_dir(folder)
        .unwrap_or_else(|error| panic!("{}: {error}", folder.display()))
        .map(|entry| entry.expect("an entry of a folder of ours").path())
        .collect();
    entries.sort();
    for path in entries {
        if path.is_dir() {
            walk(&path, keep, found);
        } else if keep(&path) {
            let relative = path.strip_prefix(root()).expect("it lies below the root");
            let name = relative.to_string_lossy().replace('\\', "/");
            found.push(Source { text: read(&path), path: name });
        }
    }
}

fn is_rust(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension == "rs")
}

/// The Rust files of the binary and the crates, tests beside them not included.
fn sources() -> Vec<Source> {
    let mut found = Vec::new();
    walk(&root().join("src"), &is_rust, &mut found);
    for (name, _) in MAY_USE {
        walk(&root().join("crates").join(name).join("src"), &is_rust, &mut found);
    }
    assert!(found.len() > 100, "the sources were not found");
    found
}

/// Tests come last in our files, behind `#[cfg(test)]`, or in files of their own.
fn without_tests(source: &Source) -> &str {
    let own_file = source.path.ends_with("/tests.rs") || source.path.contains("/tests/");
    match source.text.find("#[cfg(test)]\nmod tests {") {
        _ if own_file => "",
        Some(tests) => &source.text[..tests],
        None => &source.text,
    }
}

/// Fails unless what breaks the rule is exactly what may.
fn compare(rule: &str, found: BTreeSet<String>, allowed: BTreeSet<String>) {
    let new: Vec<_> = found.difference(&allowed).collect();
    let gone: Vec<_> = allowed.difference(&found).collect();
    assert!(new.is_empty(), "{rule}:\n{new:#?}");
    assert!(gone.is_empty(), "no longer needed, so take it off the list of exceptions ({rule}):\n{gone:#?}");
}

fn owned(names: &[&str]) -> BTreeSet<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

#[test]
fn files_are_short() {
    let long = sources().into_iter().filter(|source| source.text.lines().count() > FILE_LINES);
    compare("a file has more than 800 lines", long.map(|source| source.path).collect(), owned(LONG_FILES));
}

#[test]
fn lines_are_short() {
    // A line with a text in it may be one that cannot wrap.
    let too_long = |line: &&str| line.chars().count() > LINE_COLUMNS && !line.contains('"');
    let is_comment = |line: &str| line.trim_start().starts_with("//");
    let (mut comments, mut code) = (0, BTreeSet::new());
    for source in sources() {
        for line in source.text.lines().filter(too_long) {
            match is_comment(line) {
                true => comments += 1,
                false => _ = code.insert(source.path.clone()),
            }
        }
    }
    compare("code of more than 110 columns", code, owned(LONG_LINES));
    assert!(comments <= WIDE_COMMENTS, "{comments} lines of comments have more than 110 columns");
}

#[test]
fn globs_are_for_tests() {
    let is_glob = |line: &str| {
        let line = line.trim_start();
        (line.starts_with("use ") || line.starts_with("pub use ")) && line.contains("::*")
    };
    let found = sources().into_iter().filter(|source| without_tests(source).lines().any(is_glob));
    compare("a glob import outside tests", found.map(|source| source.path).collect(), owned(GLOBS));
}

/// The dependencies that a manifest's table names, by their names there.
fn dependencies(manifest: &str, table: &str) -> Vec<String> {
    let header = format!("[{table}]");
    let lines = manifest.lines().skip_while(|line| line.trim() != header).skip(1);
    let lines = lines.take_while(|line| !line.starts_with('['));
    lines
        .filter(|line| !line.trim_start().starts_with('#'))
        .filter_map(|line| line.split(['.', '=', ' ']).next())
        .filter(|name| !name.is_empty())
        .map(str::to_owned)
        .collect()
}

#[test]
fn crates_depend_downwards() {
    for (name, may_use) in MAY_USE {
        let used = dependencies(&read(format!("crates/{name}/Cargo.toml")), "dependencies");
        assert!(!used.is_empty(), "{name} names no dependencies, which cannot be");
        for ours in used.iter().filter_map(|used| used.strip_prefix("mayfly-")) {
            assert!(may_use.contains(&ours), "{name} must not depend on {ours}");
        }
    }
    let kernel = dependencies(&read("crates/kernel/Cargo.toml"), "dependencies");
    assert_eq!(kernel, ["serde"], "the kernel is shared by everything, so it stands on serde alone");
    let folders = fs::read_dir(root().join("crates")).expect("the crates").count();
    assert_eq!(folders, MAY_USE.len(), "a new crate needs a line in MAY_USE");
}

#[test]
fn key_spaces_are_unique_and_ascending() {
    let text = read("crates/services/src/spaces.rs");
    let numbers = text.lines().filter_map(|line| {
        let (_, number) = line.split_once("= Space(")?;
        number.strip_suffix(");")?.parse::<u32>().ok()
    });
    let numbers: Vec<u32> = numbers.collect();
    assert_eq!(numbers.len(), text.matches("= Space(").count(), "a line could not be read");
    assert!(numbers.len() > 30, "the spaces were not found");
    for pair in numbers.windows(2) {
        assert!(pair[0] < pair[1], "{} stands before {}: unique, ascending, append only", pair[0], pair[1]);
    }
    for source in sources().iter().filter(|source| source.path.starts_with("crates/services/")) {
        let elsewhere = !source.path.ends_with("/spaces.rs") && without_tests(source).contains("Space(");
        assert!(!elsewhere, "{} makes a key space of its own", source.path);
    }
}

#[test]
fn services_are_shallow() {
    let inside = |source: &Source| source.path.strip_prefix("crates/services/src/").map(str::to_owned);
    for path in sources().iter().filter_map(inside) {
        assert!(path.matches('/').count() <= SERVICE_DEPTH, "{path} lies too deep");
    }
}

/// The names in backquotes that look like those of tests: at least two underscores, nothing but letters.
fn tests_named(page: &str) -> BTreeSet<&str> {
    let table =
        page.split("## Invariants").nth(1).and_then(|rest| rest.split("\n## ").next()).unwrap_or_default();
    let looks_like_a_test = |name: &&str| {
        name.matches('_').count() >= 2 && name.chars().all(|c| c == '_' || c.is_ascii_alphanumeric())
    };
    table.split('`').skip(1).step_by(2).filter(looks_like_a_test).collect()
}

#[test]
fn the_architecture_page_names_tests_that_exist() {
    let mut tests = Vec::new();
    let is_code = |path: &Path| is_rust(path) || path.extension().is_some_and(|extension| extension == "py");
    walk(&root().join("tests"), &is_code, &mut tests);
    walk(&root().join("src"), &is_rust, &mut tests);
    for (name, _) in MAY_USE {
        for part in ["src", "tests"] {
            let folder = root().join("crates").join(name).join(part);
            if folder.is_dir() {
                walk(&folder, &is_rust, &mut tests);
            }
        }
    }
    let page = read("ARCHITECTURE.md");
    let named = tests_named(&page);
    assert!(named.len() > 30, "the table of invariants was not found");
    for name in named {
        let (rust, python) = (format!("fn {name}("), format!("def {name}("));
        let exists = tests.iter().any(|source| source.text.contains(&rust) || source.text.contains(&python));
        assert!(exists, "ARCHITECTURE.md names {name}, and there is no such test");
    }
}
