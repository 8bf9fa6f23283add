//! Dependencies: a folder with `requirements.txt` or `package.json` is copied, and the copy gets what they
//! name.
//!
//! The installed packages are kept under `.mayfly/build`, by the digest of what asked for them, so they are
//! installed once per change of that file and not once per deployment. The user's folder is never written to,
//! but for `.mayfly` beside the template.

use super::package::Ignored;
use crate::cli::client::hex;
use crate::cli::output;
use anyhow::{Context as _, bail};
use sha2::{Digest as _, Sha256};
use std::path::{Path, PathBuf};
use std::process::Command;

/// What installs a folder's dependencies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Installer {
    Pip,
    Npm,
}

impl Installer {
    /// The installer that a folder asks for, if it asks for any that fits the runtime.
    fn of(source: &Path, runtime: &str) -> Option<Installer> {
        let has = |name: &str| source.join(name).is_file();
        if runtime.starts_with("python") && has("requirements.txt") {
            return Some(Installer::Pip);
        }
        // A folder that brings its modules along is as its owner wants it.
        let bare =
            runtime.starts_with("nodejs") && has("package.json") && !source.join("node_modules").exists();
        (bare && names_dependencies(&source.join("package.json"))).then_some(Installer::Npm)
    }

    /// The files whose contents decide what is installed.
    fn inputs(self) -> &'static [&'static str] {
        match self {
            Installer::Pip => &["requirements.txt"],
            Installer::Npm => &["package.json", "package-lock.json", ".npmrc"],
        }
    }

    fn command(self, from: &Path, into: &Path) -> Command {
        let mut command;
        match self {
            Installer::Pip => {
                command = Command::new("python3");
                command.args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "-r"]);
                command.arg(from.join("requirements.txt")).arg("-t").arg(into).current_dir(from);
            }
            Installer::Npm => {
                let install = if into.join("package-lock.json").exists() { "ci" } else { "install" };
                command = Command::new("npm");
                command.args([install, "--omit=dev", "--no-audit", "--no-fund", "--loglevel=error"]);
                command.current_dir(into);
            }
        }
        command
    }
}

fn names_dependencies(manifest: &Path) -> bool {
    let text = std::fs::read_to_string(manifest).unwrap_or_default();
    let manifest: serde_json::Value = serde_json::from_str(&text).unwrap_or_default();
    manifest["dependencies"].as_object().is_some_and(|names| !names.is_empty())
}

/// The folder to pack: the source itself if it needs nothing, otherwise a copy with its dependencies.
pub(crate) fn with_dependencies(source: &Path, runtime: &str, root: &Path) -> anyhow::Result<PathBuf> {
    let Some(installer) = Installer::of(source, runtime) else { return Ok(source.to_owned()) };
    let builds = root.join(".mayfly/build");
    let installed = installed(installer, source, runtime, &builds)?;
    let name = hex(&Sha256::digest(source.as_os_str().as_encoded_bytes()))[..16].to_owned();
    let copy = builds.join(format!("copy-{name}"));
    if copy.exists() {
        std::fs::remove_dir_all(&copy).with_context(|| format!("clear {}", copy.display()))?;
    }
    mirror(&installed, &copy, None, &|from, to| std::fs::hard_link(from, to).or_else(|_| copied(from, to)))?;
    // The user's own files go over installed ones of the same name.
    mirror(source, &copy, Some(&Ignored::read(source)?), &|from, to| {
        let _ = std::fs::remove_file(to);
        copied(from, to)
    })?;
    Ok(copy)
}

fn installed(installer: Installer, source: &Path, runtime: &str, builds: &Path) -> anyhow::Result<PathBuf> {
    let mut digest = Sha256::new();
    digest.update(runtime);
    for name in installer.inputs() {
        digest.update(name);
        digest.update(std::fs::read(source.join(name)).unwrap_or_default());
    }
    let done = builds.join(&hex(&digest.finalize())[..32]);
    if done.is_dir() {
        return Ok(done);
    }
    output::note(format!("  installing the dependencies of {}", source.display()));
    let fresh = done.with_extension(format!("{}", std::process::id()));
    std::fs::create_dir_all(&fresh).with_context(|| format!("create {}", fresh.display()))?;
    for name in installer.inputs().iter().filter(|_| installer == Installer::Npm) {
        if source.join(name).exists() {
            std::fs::copy(source.join(name), fresh.join(name))?;
        }
    }
    let mut command = installer.command(source, &fresh);
    let program = command.get_program().to_string_lossy().into_owned();
    let result = command.output().with_context(|| {
        format!("run {program} to install dependencies; --no-build deploys the folder as it is")
    })?;
    if !result.status.success() {
        let _ = std::fs::remove_dir_all(&fresh);
        bail!(
            "{program} could not install the dependencies of {}:\n{}",
            source.display(),
            String::from_utf8_lossy(&result.stderr).trim_end()
        );
    }
    // Another deployment may have been quicker; its result is the same.
    if let Err(error) = std::fs::rename(&fresh, &done)
        && !done.is_dir()
    {
        return Err(error).with_context(|| format!("keep {}", done.display()));
    }
    Ok(done)
}

fn copied(from: &Path, to: &Path) -> std::io::Result<()> {
    std::fs::copy(from, to).map(drop)
}

/// Makes in `to` what is in `from`, each file by `place`.
fn mirror(
    from: &Path,
    to: &Path,
    ignored: Option<&Ignored>,
    place: &dyn Fn(&Path, &Path) -> std::io::Result<()>,
) -> anyhow::Result<()> {
    std::fs::create_dir_all(to).with_context(|| format!("create {}", to.display()))?;
    for entry in std::fs::read_dir(from).with_context(|| format!("read the folder {}", from.display()))? {
        let entry = entry?;
        let name = entry.file_name();
        let own = name.to_string_lossy();
        if ignored.is_some_and(|ignored| ignored.holds(&own, &own)) {
            continue;
        }
        let (source, target) = (entry.path(), to.join(&name));
        let kind = entry.file_type()?;
        if kind.is_dir() {
            mirror(&source, &target, ignored, place)?;
        } else if kind.is_symlink() {
            let _ = std::fs::remove_file(&target);
            std::os::unix::fs::symlink(std::fs::read_link(&source)?, &target)?;
        } else {
            place(&source, &target).with_context(|| format!("copy {}", source.display()))?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_asks_for_what_its_runtime_can_use() {
        let root = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| std::fs::write(root.path().join(name), text).unwrap();
        write("requirements.txt", "");
        write("package.json", r#"{"dependencies": {}}"#);
        assert_eq!(Installer::of(root.path(), "python3.12"), Some(Installer::Pip));
        assert_eq!(Installer::of(root.path(), "nodejs22.x"), None, "it names no dependencies");
        write("package.json", r#"{"dependencies": {"left": "1"}}"#);
        assert_eq!(Installer::of(root.path(), "nodejs22.x"), Some(Installer::Npm));
        assert_eq!(Installer::of(root.path(), "wasm"), None);
        std::fs::create_dir(root.path().join("node_modules")).unwrap();
        assert_eq!(Installer::of(root.path(), "nodejs22.x"), None, "it brings its own");
    }

    #[test]
    fn the_users_files_lie_over_installed_ones_and_installed_ones_stay() {
        let root = tempfile::tempdir().unwrap();
        let source = root.path().join("src");
        std::fs::create_dir_all(&source).unwrap();
        // Nothing to fetch: an empty list of requirements installs nothing, without a network.
        std::fs::write(source.join("requirements.txt"), "").unwrap();
        std::fs::write(source.join("app.py"), "x = 1").unwrap();
        let mut digest = Sha256::new();
        digest.update("python3.12requirements.txt");
        let kept = root.path().join(".mayfly/build").join(&hex(&digest.finalize())[..32]);
        std::fs::create_dir_all(&kept).unwrap();
        std::fs::write(kept.join("left.py"), "installed").unwrap();
        std::fs::write(kept.join("app.py"), "installed").unwrap();

        let copy = with_dependencies(&source, "python3.12", root.path()).unwrap();
        assert_eq!(std::fs::read_to_string(copy.join("app.py")).unwrap(), "x = 1");
        assert_eq!(std::fs::read_to_string(copy.join("left.py")).unwrap(), "installed");
        assert_eq!(std::fs::read_to_string(kept.join("app.py")).unwrap(), "installed");
    }
}
