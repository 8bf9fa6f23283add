//! Python bytecode: the modules of a package are compiled once, rather than by every instance anew.
//!
//! A package is read-only in its sandbox, and what Python compiles there is lost with the instance; for a large
//! package that takes longer than all the rest of a start. The results are put where Python looks for them:
//! `__pycache__` beside each module.

use super::{Order, Plan, mark, spend};
use crate::interpreters::{Boot, CLIENT};
use crate::package::inner_path;
use std::fs::{self, Permissions};
use std::io::{self, Read};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

/// So much source is compiled in the time that a start takes anyway.
const WORTHWHILE_BYTES: u64 = 64 << 10;
const MEMORY_BYTES: u64 = 512 << 20;
const PROCESSES: u32 = 16;
/// A path, or the tag of an interpreter's bytecode.
const NAME_BYTES: u32 = 4096;
/// The bytecode of one module; `compile.py` leaves longer ones out.
const CODE_BYTES: u32 = 16 << 20;

/// Compiles an unpacked package for the interpreter that `boot` starts.
pub(super) fn plan(package: &Path, boot: &Boot) -> Option<Plan> {
    let (folder, boot) = (package.to_owned(), boot.clone());
    let mark = mark(package, &boot, "")?;
    Some(Plan { package: package.to_owned(), mark, order: Box::new(move || Ok(order(folder, boot))) })
}

fn order(package: PathBuf, boot: Boot) -> Option<Order> {
    if source_bytes(&package, WORTHWHILE_BYTES) < WORTHWHILE_BYTES {
        return None;
    }
    // Warnings would be printed among the results.
    let options = ["-I", "-S", "-B", "-W", "ignore"].map(String::from);
    let script = format!("{CLIENT}/compile.py");
    Some(Order {
        command: boot.command.into_iter().take(1).chain(options).chain([script]).collect(),
        environment: Vec::new(),
        layers: Vec::new(),
        binds: boot.binds,
        tmp_bytes: 1 << 20,
        memory_bytes: MEMORY_BYTES,
        processes: PROCESSES,
        take_in: Box::new(move |results, limit| take_in(results, &package, limit)),
    })
}

/// The size of all Python sources below a folder, or of enough of them.
fn source_bytes(folder: &Path, enough: u64) -> u64 {
    let mut sum = 0;
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let Ok(kind) = entry.file_type() else { continue };
        if kind.is_dir() {
            sum += source_bytes(&entry.path(), enough - sum);
        } else if kind.is_file() && entry.path().extension().is_some_and(|extension| extension == "py") {
            sum += entry.metadata().map_or(0, |meta| meta.len());
        }
        if sum >= enough {
            break;
        }
    }
    sum
}

/// Puts what `compile.py` prints beside the sources; how many files that were.
fn take_in(results: &mut dyn Read, package: &Path, limit: u64) -> io::Result<usize> {
    let package = package.canonicalize()?;
    let tag = String::from_utf8(item(results, NAME_BYTES)?).unwrap_or_default();
    if tag.is_empty() || !tag.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-') {
        return Err(io::Error::from(io::ErrorKind::InvalidData));
    }
    let (mut left, mut count) = (limit, 0);
    loop {
        let path = item(results, NAME_BYTES)?;
        if path.is_empty() {
            return Ok(count);
        }
        let code = item(results, CODE_BYTES)?;
        spend(&mut left, code.len() as u64)?;
        count += usize::from(put(&package, Path::new(std::ffi::OsStr::from_bytes(&path)), &tag, &code)?);
    }
}

/// The next item, which must not be longer than `limit`.
fn item(results: &mut dyn Read, limit: u32) -> io::Result<Vec<u8>> {
    let mut length = [0; 4];
    results.read_exact(&mut length)?;
    let length = u32::from_be_bytes(length);
    if length > limit {
        return Err(io::Error::from(io::ErrorKind::FileTooLarge));
    }
    let mut bytes = Vec::new();
    if results.take(length.into()).read_to_end(&mut bytes)? as u64 != u64::from(length) {
        return Err(io::Error::from(io::ErrorKind::UnexpectedEof));
    }
    Ok(bytes)
}

/// Whether there was such a source, by whose side the bytecode lies now.
fn put(package: &Path, source: &Path, tag: &str, code: &[u8]) -> io::Result<bool> {
    let Some(inside) = source.to_str().and_then(inner_path) else { return Ok(false) };
    let source = package.join(inside);
    // Neither it nor a folder above it is a link.
    let is_there = source.canonicalize().is_ok_and(|real| real == source) && source.is_file();
    let (true, Some(folder), Some(stem)) = (is_there, source.parent(), source.file_stem()) else {
        return Ok(false);
    };
    let folder = folder.join("__pycache__");
    match fs::symlink_metadata(&folder) {
        Ok(meta) if meta.is_dir() => {}
        Ok(_) => return Ok(false),
        Err(_) => fs::create_dir(&folder)?,
    }
    let name = format!("{}.{tag}.pyc", stem.to_string_lossy());
    let fresh = folder.join(format!(".{name}"));
    let _ = fs::remove_file(&fresh);
    fs::write(&fresh, code)?;
    fs::set_permissions(&fresh, Permissions::from_mode(0o444))?;
    fs::rename(fresh, folder.join(name))?;
    Ok(true)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    fn printed(items: &[&[u8]]) -> Vec<u8> {
        let length = |item: &&[u8]| u32::try_from(item.len()).unwrap().to_be_bytes();
        items.iter().flat_map(|item| [&length(item)[..], item].concat()).collect()
    }

    #[test]
    fn results_go_beside_their_sources_and_nowhere_else() {
        let (package, elsewhere) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let at = |path: &str| package.path().join(path);
        for folder in ["one", "two", "three"] {
            fs::create_dir(at(folder)).unwrap();
            fs::write(at(folder).join("m.py"), "").unwrap();
        }
        fs::write(elsewhere.path().join("m.py"), "").unwrap();
        symlink(elsewhere.path(), at("out")).unwrap();
        symlink(elsewhere.path(), at("two/__pycache__")).unwrap();
        fs::create_dir(at("three/__pycache__")).unwrap();
        symlink(elsewhere.path().join("x"), at("three/__pycache__/m.cpython-311.pyc")).unwrap();
        let absolute = elsewhere.path().join("m.py");
        let mut all: Vec<&[u8]> = vec![b"cpython-311"];
        let names = ["one/m.py", "two/m.py", "three/m.py", "out/m.py", "../m.py", "absent.py"];
        let names = names.into_iter().chain([absolute.to_str().unwrap()]);
        all.extend(names.flat_map(|name| [name.as_bytes(), b"code"]));
        all.push(b"");
        let take = |bytes: &[u8], limit| take_in(&mut &bytes[..], package.path(), limit);
        assert_eq!(take(&printed(&all), 10_000).unwrap(), 2);
        for folder in ["one", "three"] {
            assert_eq!(fs::read(at(folder).join("__pycache__/m.cpython-311.pyc")).unwrap(), b"code");
        }
        assert_eq!(fs::read_dir(elsewhere.path()).unwrap().count(), 1, "nothing was written there");
        assert!(take(&printed(&all), 10).is_err(), "more than may be");
        assert!(take(&printed(&all[..3]), 10_000).is_err(), "the end is missing");
        assert!(take(&printed(&[b"../tag", b""]), 10_000).is_err());
    }
}
