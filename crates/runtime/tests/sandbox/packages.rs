//! Archives that mean harm.

use crate::world::write_zip;
use mayfly_kernel::Limits;
use mayfly_runtime::{PackageError, PackageInfo, inspect_package};
use std::io::Write as _;
use std::path::Path;
use tempfile::TempDir;
use zip::write::SimpleFileOptions;

fn inspect(make: impl FnOnce(&Path), limits: &Limits) -> Result<PackageInfo, PackageError> {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("package.zip");
    make(&path);
    inspect_package(&path, limits)
}

fn with_link(target: &'static str) -> impl FnOnce(&Path) {
    move |path| {
        let mut zip = zip::ZipWriter::new(std::fs::File::create(path).unwrap());
        zip.add_symlink("lib/link", target, SimpleFileOptions::default()).unwrap();
        zip.finish().unwrap();
    }
}

#[test]
fn a_good_package_is_counted() {
    let info =
        inspect(|path| write_zip(path, &[("a", "12345"), ("b/c", "678")]), &Limits::default()).unwrap();
    assert_eq!((info.files, info.unpacked_bytes), (2, 8));
    assert!(inspect(with_link("../inside"), &Limits::default()).is_ok());
}

#[test]
fn what_is_no_zip_is_refused_in_awss_words() {
    let error = inspect(|path| std::fs::write(path, "not a zip").unwrap(), &Limits::default()).unwrap_err();
    let text = "Could not unzip uploaded file. Please check your file, then try to upload again.";
    assert_eq!(error.to_string(), text);
}

#[test]
fn paths_and_links_that_leave_are_refused() {
    for name in ["../evil", "a/../../evil", "/etc/evil"] {
        let error = inspect(|path| write_zip(path, &[(name, "x")]), &Limits::default()).unwrap_err();
        assert!(matches!(error, PackageError::LeavesFolder { .. }), "{name}: {error}");
    }
    for target in ["../../evil", "/etc/passwd", "x/../../../evil"] {
        let error = inspect(with_link(target), &Limits::default()).unwrap_err();
        assert!(matches!(error, PackageError::LinkLeavesFolder { .. }), "{target}: {error}");
    }
}

#[test]
fn bombs_are_defused() {
    let limits = Limits { package_unpacked_bytes: 1 << 20, package_files: 10, ..Limits::default() };
    let large = "0".repeat(2 << 20);
    let error = inspect(|path| write_zip(path, &[("zeros", &large)]), &limits).unwrap_err();
    assert_eq!(error.to_string(), "Unzipped size must be smaller than 1048576 bytes");
    let names: Vec<String> = (0..11).map(|n| n.to_string()).collect();
    let files: Vec<(&str, &str)> = names.iter().map(|name| (name.as_str(), "")).collect();
    let error = inspect(|path| write_zip(path, &files), &limits).unwrap_err();
    assert!(matches!(error, PackageError::TooManyFiles { limit: 10 }), "{error}");
}

#[test]
fn an_archive_that_lies_about_its_sizes_is_refused() {
    let limits = Limits { package_unpacked_bytes: 1 << 20, ..Limits::default() };
    let large = "0".repeat(2 << 20);
    let lying = |path: &Path| {
        write_zip(path, &[("zeros", &large)]);
        // Wherever the true size stands, in the entry's own header and in the directory, say that it is ten bytes.
        let mut bytes = std::fs::read(path).unwrap();
        let size = u32::try_from(large.len()).unwrap().to_le_bytes();
        let places: Vec<usize> = (0..bytes.len() - 4).filter(|at| bytes[*at..*at + 4] == size).collect();
        assert!(!places.is_empty());
        for at in places {
            bytes[at..at + 4].copy_from_slice(&10_u32.to_le_bytes());
        }
        std::fs::File::create(path).unwrap().write_all(&bytes).unwrap();
    };
    assert!(inspect(lying, &limits).is_err());
}
