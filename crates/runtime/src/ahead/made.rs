//! What a run of a package's initialisation leaves behind, kept in `.compiled` within the package.
//!
//! The run has neither a network nor the function's variables, and may fail early: what was loaded until then counts.
//! A result fits one handler, its layers and one way of starting, by which it is named; runtimes ignore what does not
//! fit after all.

use super::{Order, Plan, mark, spend};
use crate::instance::{DEFAULTS, TASK};
use crate::interpreters::Boot;
use crate::java;
use crate::package::inner_path;
use mayfly_kernel::function::Version;
use sha2::{Digest as _, Sha256};
use std::fs::{self, Permissions};
use std::io::{self, BufRead as _, BufReader, Read};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

/// Within a package, as instances see it too.
pub(crate) const FOLDER: &str = ".compiled";
/// Where the run puts its results, within the sandbox.
const MADE: &str = "/tmp/mayfly";
/// The clients' word for such a run.
const LOAD: &str = "--load";
/// Runs a command, whatever it prints, and prints the files that it made: name, size and bytes of each, and an
/// empty line.
const HAND_OVER: &str = "mkdir \"$0\" && \"$@\" >/dev/null 2>&1 </dev/null; cd \"$0\" && find . -type f | \
                         while read -r file; do echo \"$file\"; wc -c <\"$file\"; cat \"$file\"; done; echo";
/// A name or a size of what is handed over.
const LINE_BYTES: u64 = 4096;
const MIB: u64 = 1 << 20;
/// For what is made and what the function writes.
const TMP_BYTES: u64 = 256 * MIB;
/// What a runtime needs beside the function's own memory.
const SPARE_BYTES: u64 = 256 * MIB;
const PROCESSES: u32 = 256;

/// The compiled code of the modules that a Node.js function loads.
pub(super) fn node(folders: &[PathBuf], version: &Version, boot: &Boot) -> Option<Plan> {
    let cache = ("NODE_COMPILE_CACHE".to_owned(), MADE.to_owned());
    let command = boot.command.iter().cloned().chain([LOAD.into()]).collect();
    plan(folders, version, boot, name(&boot.command, version), move |_| Ok(Some((command, vec![cache]))))
}

/// Where an instance that boots like this finds it.
pub(crate) fn node_cache(code: &Path, version: &Version, boot: &Boot) -> Option<PathBuf> {
    find(code, &name(&boot.command, version))
}

/// An archive of the classes that a Java function loads.
pub(super) fn java(folders: &[PathBuf], version: &Version, boot: &Boot) -> Option<Plan> {
    let (program, owned) = (boot.command.first()?.clone(), version.clone());
    let name = name(std::slice::from_ref(&program), version);
    plan(folders, version, boot, name, move |package| {
        let file = format!("{MADE}/{}", java::ARCHIVE);
        Ok(java::archiving(&program, package, &owned, &file)?.map(|mut command| {
            command.push(LOAD.into());
            (command, Vec::new())
        }))
    })
}

/// The folder of the archive for instances that this JVM runs.
pub(crate) fn java_archive(code: &Path, version: &Version, program: &str) -> Option<PathBuf> {
    find(code, &name(&[program.to_owned()], version))
}

type Run = (Vec<String>, Vec<(String, String)>);

fn plan(
    folders: &[PathBuf],
    version: &Version,
    boot: &Boot,
    name: String,
    run: impl FnOnce(&Path) -> io::Result<Option<Run>> + Send + 'static,
) -> Option<Plan> {
    let (package, layers) = folders.split_first()?;
    let mark = mark(package, boot, &name)?;
    let (into, layers, binds) = (package.clone(), layers.to_vec(), boot.binds.clone());
    let own = [
        ("_HANDLER", version.handler.as_str()),
        ("LAMBDA_TASK_ROOT", TASK),
        // Nobody listens.
        ("AWS_LAMBDA_RUNTIME_API", "127.0.0.1:1"),
        // What constructors of clients ask for most.
        ("AWS_REGION", &version.function.region),
        ("AWS_DEFAULT_REGION", &version.function.region),
    ];
    let own = own.into_iter().chain(DEFAULTS).map(|(name, value)| (name.to_owned(), value.to_owned()));
    let own: Vec<(String, String)> = own.collect();
    let memory_bytes = u64::from(version.memory_mib) * MIB + TMP_BYTES + SPARE_BYTES;
    let order = move || {
        let Some((command, more)) = run(&into)? else { return Ok(None) };
        let shell = ["/bin/sh", "-c", HAND_OVER, MADE].map(String::from);
        Ok(Some(Order {
            command: shell.into_iter().chain(command).collect(),
            environment: own.into_iter().chain(more).collect(),
            layers,
            binds,
            tmp_bytes: TMP_BYTES,
            memory_bytes,
            processes: PROCESSES,
            take_in: Box::new(move |results, limit| take_in(results, &into, &name, limit)),
        }))
    };
    Some(Plan { package: package.clone(), mark, order: Box::new(order) })
}

fn name(command: &[String], version: &Version) -> String {
    let mut hash = Sha256::new();
    // Another release may bring other clients.
    hash.update(env!("CARGO_PKG_VERSION"));
    let layers = version.layers.iter().map(|layer| &layer.0);
    for part in command.iter().chain([&version.handler]).chain(layers) {
        hash.update(part.len().to_le_bytes());
        hash.update(part);
    }
    hash.finalize().iter().take(8).map(|byte| format!("{byte:02x}")).collect()
}

fn find(code: &Path, name: &str) -> Option<PathBuf> {
    let inside = Path::new(FOLDER).join(name);
    code.join(&inside).is_dir().then(|| Path::new(TASK).join(inside))
}

/// The package's folder of results. Nothing if something of the function's own is in its place.
pub(crate) fn folder(package: &Path) -> io::Result<Option<PathBuf>> {
    let folder = package.join(FOLDER);
    match fs::symlink_metadata(&folder) {
        Ok(meta) => Ok(meta.is_dir().then_some(folder)),
        Err(_) => fs::create_dir(&folder).map(|()| Some(folder)),
    }
}

/// Puts the files that were handed over into a folder of this name, which appears whole or not at all.
fn take_in(results: &mut dyn Read, package: &Path, name: &str, limit: u64) -> io::Result<usize> {
    let Some(folder) = folder(package)? else { return Ok(0) };
    let fresh = folder.join(format!(".{name}"));
    let _ = fs::remove_dir_all(&fresh);
    fs::create_dir(&fresh)?;
    let taken = write_all(&mut BufReader::new(results), &fresh, limit);
    if !matches!(taken, Ok(1..)) {
        let _ = fs::remove_dir_all(&fresh);
        return taken;
    }
    fs::rename(&fresh, folder.join(name))?;
    taken
}

fn write_all(results: &mut BufReader<&mut dyn Read>, into: &Path, limit: u64) -> io::Result<usize> {
    let (mut left, mut count) = (limit, 0);
    loop {
        let path = line(results)?;
        if path.is_empty() {
            return Ok(count);
        }
        let broken = || io::Error::from(io::ErrorKind::InvalidData);
        let path = into.join(inner_path(&path).ok_or_else(broken)?);
        let size: u64 = line(results)?.trim().parse().map_err(|_| broken())?;
        spend(&mut left, size)?;
        fs::create_dir_all(path.parent().unwrap_or(into))?;
        let mut file = fs::File::create_new(&path)?;
        if io::copy(&mut results.by_ref().take(size), &mut file)? != size {
            return Err(io::Error::from(io::ErrorKind::UnexpectedEof));
        }
        fs::set_permissions(&path, Permissions::from_mode(0o444))?;
        count += 1;
    }
}

fn line(results: &mut BufReader<&mut dyn Read>) -> io::Result<String> {
    let mut line = String::new();
    results.by_ref().take(LINE_BYTES).read_line(&mut line)?;
    match line.pop() {
        Some('\n') => Ok(line),
        Some(_) | None => Err(io::Error::from(io::ErrorKind::UnexpectedEof)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_handed_over_appears_whole_within_the_package_or_not_at_all() {
        let package = tempfile::tempdir().unwrap();
        let take = |text: &str, limit| take_in(&mut text.as_bytes(), package.path(), "name", limit);
        let made = package.path().join(".compiled/name");
        for (broken, limit) in [
            ("./a\n3\nabc./b\n9\nabc", 10_000),
            ("./a\n3\nabc", 10_000),
            ("../a\n3\nabc\n", 10_000),
            ("./a\nmany\nabc\n", 10_000),
            ("./a\n3\nabc./a\n3\nabc\n", 10_000),
            ("./a\n3\nabc\n", 100),
        ] {
            assert!(take(broken, limit).is_err(), "{broken}");
            assert!(!made.exists());
        }
        assert_eq!(take("\n", 10_000).unwrap(), 0);
        assert!(!made.exists(), "an empty folder would say that there is something");
        assert_eq!(take("./a\n3\nabc./b/c\n 0\n\n", 10_000).unwrap(), 2);
        assert_eq!(fs::read(made.join("a")).unwrap(), b"abc");
        assert_eq!(fs::read(made.join("b/c")).unwrap(), b"");
    }

    #[test]
    fn a_folder_of_the_packages_own_is_left_alone() {
        let (package, elsewhere) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        std::os::unix::fs::symlink(elsewhere.path(), package.path().join(FOLDER)).unwrap();
        let mut results: &[u8] = b"./a\n3\nabc\n";
        assert_eq!(take_in(&mut results, package.path(), "name", 10_000).unwrap(), 0);
        assert_eq!(fs::read_dir(elsewhere.path()).unwrap().count(), 0);
    }
}
