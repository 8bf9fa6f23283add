//! How Java functions are started, and the archive of their classes that makes that shorter.
//!
//! In an archive (class-data sharing) the JVM keeps what it has parsed and checked of the classes in jars. It takes one
//! only with the class path that it was made with, or with more behind that, and there must be no folder in what it was
//! made with. So the classes that lie in a package one by one are put into a jar, and the package itself, which is where
//! its other files are found, comes last.

use crate::ahead;
use crate::instance::TASK;
use crate::interpreters::CLIENT;
use crate::package::inner_path;
use mayfly_kernel::function::Version;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use zip::CompressionMethod;
use zip::ZipArchive;
use zip::write::{SimpleFileOptions, ZipWriter};

pub(crate) const ARCHIVE: &str = "loaded.jsa";
/// The classes that lie in the package one by one.
const CLASSES: &str = "classes.jar";
const MAIN: &str = "mayfly.Bootstrap";
const MANIFEST: &str = "META-INF/MANIFEST.MF";
const LAYERS: &str = "/opt/java/lib/*";
/// For short lives; the last one keeps the JVM from writing its figures to a file.
const FLAGS: [&str; 4] = ["-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC", "-Xshare:auto", "-XX:-UsePerfData"];
/// Variables from which the JVM takes flags.
const OWN_FLAGS: [&str; 3] = ["JAVA_TOOL_OPTIONS", "JDK_JAVA_OPTIONS", "_JAVA_OPTIONS"];

/// The command of an instance: with the archive of its package if there is one.
pub(crate) fn command(program: &str, code: &Path, version: &Version) -> Vec<String> {
    let mut command = flags(program, version);
    let own_flags = OWN_FLAGS.iter().any(|name| version.environment.contains_key(*name));
    let archive = if own_flags { None } else { ahead::java_archive(code, version, program) };
    let path = match archive {
        Some(folder) => {
            command.push(format!("-XX:SharedArchiveFile={}", folder.join(ARCHIVE).display()));
            format!("{}:{TASK}:{LAYERS}", archived_path(code))
        }
        None => format!("{CLIENT}/client.jar:{TASK}:{TASK}/lib/*:{LAYERS}"),
    };
    command.extend(["-cp".into(), path, MAIN.into()]);
    command
}

/// The command that writes the archive of a package to `file`, but for the last argument. Nothing if the package's
/// files would be found in another order than without. Blocks.
pub(crate) fn archiving(
    program: &str,
    package: &Path,
    version: &Version,
    file: &str,
) -> io::Result<Option<Vec<String>>> {
    let Some(folder) = ahead::folder(package)? else { return Ok(None) };
    for jar in jars(package) {
        if hides_files(&jar, package)? {
            return Ok(None);
        }
    }
    // Other archives were made with the one that is there.
    let classes = folder.join(CLASSES);
    if !classes.exists() {
        write_jar(package, &classes)?;
    }
    let mut command = flags(program, version);
    command.push(format!("-XX:ArchiveClassesAtExit={file}"));
    command.extend(["-cp".into(), archived_path(package), MAIN.into()]);
    Ok(Some(command))
}

fn flags(program: &str, version: &Version) -> Vec<String> {
    let heap = format!("-Xmx{}m", version.memory_mib * 3 / 4);
    [program.to_owned(), heap].into_iter().chain(FLAGS.map(String::from)).collect()
}

/// The class path of an archive.
fn archived_path(package: &Path) -> String {
    let classes = Path::new(ahead::FOLDER).join(CLASSES);
    let mut path = vec![format!("{CLIENT}/client.jar"), format!("{TASK}/{}", classes.display())];
    let names = jars(package).into_iter().filter_map(|jar| Some(jar.file_name()?.to_str()?.to_owned()));
    path.extend(names.map(|name| format!("{TASK}/lib/{name}")));
    path.join(":")
}

/// What `lib/*` stands for in a class path, in an order that stays.
fn jars(package: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(package.join("lib")).into_iter().flatten().flatten();
    let is_jar =
        |path: &PathBuf| path.extension().is_some_and(|extension| extension == "jar" || extension == "JAR");
    let mut jars: Vec<PathBuf> = entries.map(|entry| entry.path()).filter(is_jar).collect();
    jars.sort();
    jars
}

/// Whether a jar has a file, other than a class, by a name that the package has too. Without an archive the package's
/// would be found first.
fn hides_files(jar: &Path, package: &Path) -> io::Result<bool> {
    let jar = ZipArchive::new(File::open(jar)?).map_err(io::Error::other)?;
    for name in jar.file_names() {
        let name = name.map_err(io::Error::other)?;
        let is_other_file = !name.ends_with('/') && !is_class(&name) && name != MANIFEST;
        if is_other_file && inner_path(&name).is_some_and(|inside| package.join(inside).exists()) {
            return Ok(true);
        }
    }
    Ok(false)
}

fn is_class(name: &str) -> bool {
    name.ends_with(".class")
}

/// Puts the classes below a folder into a jar, and nothing else.
pub(crate) fn write_jar(folder: &Path, jar: &Path) -> io::Result<()> {
    let fresh = jar.with_extension("new");
    let mut writer = ZipWriter::new(File::create(&fresh)?);
    add_classes(&mut writer, folder, "")?;
    writer.finish().map_err(io::Error::other)?;
    fs::rename(fresh, jar)
}

fn add_classes(jar: &mut ZipWriter<File>, folder: &Path, inside: &str) -> io::Result<()> {
    let mut entries: Vec<_> = fs::read_dir(folder)?.collect::<io::Result<_>>()?;
    entries.sort_by_key(fs::DirEntry::file_name);
    for entry in entries {
        let (kind, Ok(name)) = (entry.file_type()?, entry.file_name().into_string()) else { continue };
        let name = format!("{inside}{name}");
        if kind.is_dir() && name != ahead::FOLDER {
            add_classes(jar, &entry.path(), &format!("{name}/"))?;
        } else if kind.is_file() && is_class(&name) {
            let stored = SimpleFileOptions::default().compression_method(CompressionMethod::Stored);
            jar.start_file(name, stored).map_err(io::Error::other)?;
            io::copy(&mut File::open(entry.path())?, jar)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write as _;

    fn jar(path: &Path, names: &[&str]) {
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        let mut jar = ZipWriter::new(File::create(path).unwrap());
        for name in names {
            jar.start_file(*name, SimpleFileOptions::default().compression_method(CompressionMethod::Stored))
                .unwrap();
            jar.write_all(b"text").unwrap();
        }
        jar.finish().unwrap();
    }

    #[test]
    fn a_jar_that_hides_the_packages_files_forbids_an_archive() {
        let package = tempfile::tempdir().unwrap();
        for (path, text) in [("shop/App.class", "c"), ("log.xml", "own"), ("META-INF/MANIFEST.MF", "m")] {
            let path = package.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        let library = package.path().join("lib/a.jar");
        jar(&library, &["a/A.class", "shop/App.class", "META-INF/MANIFEST.MF", "other.xml"]);
        assert!(
            !hides_files(&library, package.path()).unwrap(),
            "the first class of a name counts, and it is the package's"
        );
        jar(&library, &["a/A.class", "log.xml"]);
        assert!(hides_files(&library, package.path()).unwrap());
        let classes = package.path().join("classes.jar");
        write_jar(package.path(), &classes).unwrap();
        let classes = ZipArchive::new(File::open(classes).unwrap()).unwrap();
        let names: Vec<String> = classes.file_names().map(|name| name.unwrap().into_owned()).collect();
        assert_eq!(names, ["shop/App.class"]);
    }
}
