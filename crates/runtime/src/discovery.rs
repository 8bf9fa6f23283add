//! Which interpreters this machine has.
//!
//! A command on the search path is asked what it is, because it may be a version manager's wrapper. Such a wrapper
//! takes as long as a whole cold start, so each is asked once, and none before somebody needs it: whoever wants a
//! version that is there by its own name asks for nothing else.

use parking_lot::Mutex;
use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Interpreter {
    pub(crate) version: (u32, u32),
    pub(crate) program: PathBuf,
    /// The folder that holds it and its library.
    pub(crate) prefix: PathBuf,
}

/// An interpreter for a wanted version, and a warning if it is of another.
pub(crate) type Nearest = (Interpreter, Option<String>);

/// The interpreters of one language.
pub(crate) struct Family {
    language: &'static str,
    /// What a command begins with that names its version, and what is called without one.
    commands: (&'static str, &'static [&'static str]),
    /// All that may be there, newest first.
    names: Vec<String>,
    ask: fn(&Path) -> Option<Interpreter>,
    /// What each command has said that was asked.
    asked: Mutex<HashMap<String, Option<Interpreter>>>,
}

impl Family {
    pub(crate) fn python() -> Family {
        let versions = (8..20).rev().map(|minor| format!("3.{minor}"));
        Family::new("Python", ("python", &["python3"]), versions, ask_python)
    }

    pub(crate) fn node() -> Family {
        let versions = (16..40).rev().map(|major| major.to_string());
        Family::new("Node.js", ("node", &["node", "nodejs"]), versions, ask_node)
    }

    fn new(
        language: &'static str,
        commands: (&'static str, &'static [&'static str]),
        versions: impl Iterator<Item = String>,
        ask: fn(&Path) -> Option<Interpreter>,
    ) -> Family {
        let numbered = versions.map(|version| format!("{}{version}", commands.0));
        let names = numbered.chain(commands.1.iter().map(|name| (*name).to_owned())).collect();
        Family { language, commands, names, ask, asked: Mutex::default() }
    }

    /// Each version once. Blocks.
    pub(crate) fn all(&self) -> Vec<Interpreter> {
        let mut asked = self.asked.lock();
        self.versions(|name| Some(self.said(&mut asked, name))).unwrap_or_default()
    }

    /// What to run for this version; an error in words if there is none at all. Blocks.
    pub(crate) fn nearest(&self, wanted: &str) -> Result<Nearest, String> {
        let mut asked = self.asked.lock();
        let found = self.find(wanted, |name| Some(self.said(&mut asked, name)));
        found.unwrap_or_else(|| nearest(self.language, &[], wanted))
    }

    /// The same where nothing has to be asked for it, nor waited for.
    pub(crate) fn known(&self, wanted: &str) -> Option<Nearest> {
        let asked = self.asked.try_lock()?;
        self.find(wanted, |name| asked.get(name).cloned())?.ok()
    }

    /// The version itself by its own name or the plain one, else the nearest of all; nothing if a command that
    /// this takes has not `said` what it is.
    fn find(
        &self,
        wanted: &str,
        mut said: impl FnMut(&str) -> Option<Option<Interpreter>>,
    ) -> Option<Result<Nearest, String>> {
        let (numbered, plain) = self.commands;
        for name in [&format!("{numbered}{wanted}"), plain[0]] {
            if let Some(found) = said(name)?
                && found.version == parse(wanted)
            {
                return Some(Ok((found, None)));
            }
        }
        Some(nearest(self.language, &self.versions(said)?, wanted))
    }

    fn versions(
        &self,
        mut said: impl FnMut(&str) -> Option<Option<Interpreter>>,
    ) -> Option<Vec<Interpreter>> {
        let mut found: Vec<Interpreter> = Vec::new();
        for name in &self.names {
            if let Some(one) = said(name)?
                && !found.iter().any(|other| other.version == one.version)
            {
                found.push(one);
            }
        }
        Some(found)
    }

    fn said(&self, asked: &mut HashMap<String, Option<Interpreter>>, name: &str) -> Option<Interpreter> {
        if let Some(said) = asked.get(name) {
            return said.clone();
        }
        let said = which(name).and_then(|program| (self.ask)(&program));
        asked.insert(name.to_owned(), said.clone());
        said
    }
}

/// The one of the JDK on the search path.
pub(crate) fn java() -> Option<Interpreter> {
    let program = which("java")?.canonicalize().ok()?;
    let home = program.parent()?.parent()?.to_owned();
    let release = std::fs::read_to_string(home.join("release")).unwrap_or_default();
    let version = release.lines().find_map(|line| line.strip_prefix("JAVA_VERSION=\""))?;
    let major = number(version.split(['.', '"']).next()?)?;
    Some(Interpreter { version: (major, 0), program, prefix: home })
}

/// An error in words if there is none at all.
pub(crate) fn nearest(language: &str, found: &[Interpreter], wanted: &str) -> Result<Nearest, String> {
    let version = parse(wanted);
    let distance = |one: &&Interpreter| {
        let (major, minor) = one.version;
        // Newer is nearer than older at the same distance.
        (major.abs_diff(version.0), minor.abs_diff(version.1), one.version < version)
    };
    let Some(best) = found.iter().min_by_key(distance) else {
        return Err(format!(
            "{language} {wanted} is not installed on this machine, nor any other {language}"
        ));
    };
    let (major, minor) = best.version;
    let warning = (best.version != version).then(|| {
        let minor = if language == "Python" { format!(".{minor}") } else { String::new() };
        format!("{language} {wanted} is not installed on this machine; {language} {major}{minor} is used")
    });
    Ok((best.clone(), warning))
}

/// A version in numbers.
fn parse(text: &str) -> (u32, u32) {
    let (major, minor) = text.split_once('.').unwrap_or((text, "0"));
    number(major).zip(number(minor)).unwrap_or_default()
}

fn number(text: &str) -> Option<u32> {
    text.parse().ok()
}

fn ask_python(program: &Path) -> Option<Interpreter> {
    let script = "import sys,os;print('%d.%d'%sys.version_info[:2]);print(os.path.realpath(sys.executable));\
                  print(sys.base_prefix)";
    ask(program, &["-I", "-c", script])
}

fn ask_node(program: &Path) -> Option<Interpreter> {
    let script = "console.log(process.versions.node+'\\n'+process.execPath+'\\n'+\
                  require('path').dirname(require('path').dirname(process.execPath)))";
    let node = ask(program, &["-e", script])?;
    // Of Node only the major version matters.
    Some(Interpreter { version: (node.version.0, 0), ..node })
}

/// Version, program and prefix, one on each line.
fn ask(program: &Path, args: &[&str]) -> Option<Interpreter> {
    let output = Command::new(program).args(args).stdin(Stdio::null()).output().ok()?;
    let text = String::from_utf8(output.stdout).ok().filter(|_| output.status.success())?;
    let mut lines = text.lines();
    let version = lines.next()?;
    let (major, rest) = version.split_once('.')?;
    let minor = rest.split('.').next()?;
    let program = PathBuf::from(lines.next()?);
    Some(Interpreter { version: (number(major)?, number(minor)?), program, prefix: lines.next()?.into() })
}

/// The program of this name on the search path.
fn which(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path).map(|folder| folder.join(name)).find(|program| program.is_file())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn python(minor: u32) -> Interpreter {
        Interpreter { version: (3, minor), program: "p".into(), prefix: "/usr".into() }
    }

    #[test]
    fn the_nearest_version_stands_in_with_a_warning() {
        let found = [python(9), python(11)];
        assert_eq!(nearest("Python", &found, "3.11").unwrap(), (found[1].clone(), None));
        let (best, warning) = nearest("Python", &found, "3.13").unwrap();
        assert_eq!(best.version, (3, 11));
        assert!(warning.unwrap().contains("Python 3.11 is used"));
        assert_eq!(nearest("Python", &found, "3.10").unwrap().0.version, (3, 11));
        assert!(nearest("Python", &[], "3.10").is_err());
    }

    #[test]
    fn a_version_that_is_there_by_its_name_is_known_without_asking_for_others() {
        let family = Family::python();
        assert_eq!(family.known("3.11"), None);
        family.asked.lock().insert("python3.11".into(), Some(python(11)));
        assert_eq!(family.nearest("3.11").unwrap(), (python(11), None));
        assert_eq!(family.known("3.11"), Some((python(11), None)));
        assert_eq!(family.asked.lock().len(), 1, "nobody else was asked");
        // Another stands in only once all have been asked.
        assert_eq!(family.known("3.12"), None);
        for name in &family.names {
            family.asked.lock().entry(name.clone()).or_default();
        }
        assert_eq!(family.known("3.12").unwrap().0, python(11));
    }
}
