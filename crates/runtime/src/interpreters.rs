//! How each runtime is started.
//!
//! A managed runtime uses what is installed: the exact version if it is there, otherwise the nearest, with a warning.

use crate::ahead;
use crate::discovery::{self, Family, Interpreter, nearest};
use crate::java;
use crate::launcher::protocol::Bind;
use crate::snapshots::{SNAPSHOT_FLAG, Snapshots};
use mayfly_kernel::function::{Runtime, Version};
use parking_lot::Mutex;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;

/// Texts are put together by plain calls: by default the JVM makes code for each place as it comes to it.
const JAVAC: [&str; 3] = ["--release", "17", "-XDstringConcat=inline"];

/// The clients inside the sandbox, as they are mounted.
pub(crate) const CLIENT: &str = "/var/runtime";

/// What to run in the sandbox, and what it needs of the host.
#[derive(Clone, Debug)]
pub(crate) struct Start {
    pub(crate) boot: Boot,
    /// Variables beside the function's own, and after them.
    pub(crate) variables: Vec<(String, String)>,
    pub(crate) warning: Option<String>,
    /// Whether the command can start before it is known for which version, with [`WAIT`] as its last argument.
    pub(crate) waits: bool,
}

/// What is alike for all versions that are started in this way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Boot {
    pub(crate) command: Vec<String>,
    pub(crate) binds: Vec<Bind>,
}

/// Tells our clients to ask for their assignment first.
pub(crate) const WAIT: &str = "--wait";
/// Tells our Python client to become a template; the descriptor of the socket to its keeper follows.
pub(crate) const TEMPLATE: &str = "--template";
/// Tells it to do what it would do before a snapshot and after a restore, without either.
pub(crate) const HOOKS: &str = "--hooks";

impl Start {
    /// A program of the package's own.
    pub(crate) fn own(command: Vec<String>, binds: Vec<Bind>) -> Start {
        Start { boot: Boot { command, binds }, variables: Vec::new(), warning: None, waits: false }
    }
}

pub(crate) struct Interpreters {
    runtimes_dir: PathBuf,
    python: Family,
    node: Family,
    java: OnceLock<Option<Interpreter>>,
    /// The Python interpreters for which the client has been compiled.
    compiled: Mutex<Vec<PathBuf>>,
    snapshots: Snapshots,
    /// Held by whoever compiles the Java client: the first two functions may come at once.
    compiling: Mutex<()>,
}

impl Interpreters {
    pub(crate) fn new(runtimes_dir: PathBuf) -> Interpreters {
        let (python, node, java) = (Family::python(), Family::node(), OnceLock::new());
        let (compiled, compiling, snapshots) = (Mutex::default(), Mutex::default(), Snapshots::default());
        Interpreters { runtimes_dir, python, node, java, compiled, snapshots, compiling }
    }

    pub(crate) fn python(&self) -> Vec<Interpreter> {
        self.python.all()
    }

    pub(crate) fn node(&self) -> Vec<Interpreter> {
        self.node.all()
    }

    pub(crate) fn java(&self) -> &[Interpreter] {
        self.java.get_or_init(discovery::java).as_slice()
    }

    /// How a version's instance is started; an error in words if this machine cannot.
    pub(crate) fn start(&self, version: &Version, code: &Path) -> Result<Start, String> {
        match &version.runtime {
            Runtime::Python(wanted) => {
                let (found, warning) = self.python.nearest(wanted)?;
                self.compile_python(&found);
                Ok(self.client("python", &found, warning, |program| {
                    vec![program, "-S".into(), "-B".into(), format!("{CLIENT}/bootstrap.py")]
                }))
            }
            Runtime::Node(wanted) => {
                let (found, warning) = self.node.nearest(wanted)?;
                let heap = node_heap(version);
                let fits = !version.environment.keys().any(|name| changes_node(name));
                let folder = self.runtimes_dir.join("node");
                let snapshot = fits.then(|| self.snapshots.find(&folder, &found.program, &heap)).flatten();
                let mut start = self.client("node", &found, warning, |program| {
                    let snapshot = snapshot.into_iter().flat_map(|blob| [SNAPSHOT_FLAG.into(), blob]);
                    let mut command = vec![program, heap];
                    command.extend(snapshot.chain([format!("{CLIENT}/bootstrap.cjs")]));
                    command
                });
                if let Some(cache) = ahead::node_cache(code, version, &start.boot) {
                    start.variables.push(("NODE_COMPILE_CACHE".into(), cache.display().to_string()));
                }
                Ok(start)
            }
            Runtime::Java(wanted) => {
                let (found, warning) = nearest("Java", self.java(), wanted)?;
                self.compile_java(&found)?;
                let client =
                    self.client("java", &found, warning, |program| java::command(&program, code, version));
                Ok(Start { waits: false, ..client })
            }
            Runtime::Provided(_) => {
                let own =
                    if code.join("bootstrap").exists() { "/var/task/bootstrap" } else { "/opt/bootstrap" };
                Ok(Start::own(vec![own.into()], Vec::new()))
            }
            Runtime::Web => Ok(self.web(version, code)),
            Runtime::Wasm => Err("a Wasm function has no process".into()),
            Runtime::Image => Err("an image says itself what is run".into()),
        }
    }

    /// Whether [`start`](Interpreters::start) has nothing to look for, to compile or to wait for.
    pub(crate) fn are_known(&self, runtime: &Runtime) -> bool {
        match runtime {
            Runtime::Python(wanted) => self.python.known(wanted).is_some_and(|(found, _)| {
                // Held while one is compiled for.
                self.compiled.try_lock().is_some_and(|compiled| compiled.contains(&found.program))
            }),
            Runtime::Node(wanted) => self.node.known(wanted).is_some(),
            Runtime::Provided(_) => true,
            Runtime::Java(_) | Runtime::Web | Runtime::Wasm | Runtime::Image => false,
        }
    }

    /// Does once what makes the starts of versions like this one shorter. Blocks for longer than a start may.
    pub(crate) fn prepare(&self, version: &Version) {
        if let Runtime::Node(wanted) = &version.runtime
            && !version.environment.keys().any(|name| changes_node(name))
            && let Ok((found, _)) = self.node.nearest(wanted)
        {
            self.snapshots.make(&self.runtimes_dir.join("node"), &found.program, &node_heap(version));
        }
    }

    /// Whether [`prepare`](Interpreters::prepare) has nothing to do for a version that boots like this.
    pub(crate) fn is_prepared(boot: &Boot) -> bool {
        boot.command.iter().any(|part| part == SNAPSHOT_FLAG)
    }

    fn client(
        &self,
        language: &str,
        interpreter: &Interpreter,
        warning: Option<String>,
        command: impl FnOnce(String) -> Vec<String>,
    ) -> Start {
        let mut binds = vec![Bind { source: self.runtimes_dir.join(language), target: CLIENT.into() }];
        binds.extend(outside(interpreter));
        let command = command(interpreter.program.display().to_string());
        Start { boot: Boot { command, binds }, variables: Vec::new(), warning, waits: true }
    }

    /// A web function is its `bootstrap` or `run.sh`, else its handler as a command line.
    fn web(&self, version: &Version, code: &Path) -> Start {
        for name in ["bootstrap", "run.sh"] {
            if code.join(name).exists() {
                return Start::own(vec![format!("/var/task/{name}")], Vec::new());
            }
        }
        let mut command: Vec<String> = version.handler.split_whitespace().map(String::from).collect();
        let known = match command.first().map(String::as_str) {
            Some("node") => self.node().into_iter().next(),
            Some("python3" | "python") => self.python().into_iter().next(),
            Some("java") => self.java().first().cloned(),
            Some(_) | None => None,
        };
        if let (Some(found), Some(program)) = (&known, command.first_mut()) {
            *program = found.program.display().to_string();
        }
        Start::own(command, known.as_ref().and_then(outside).into_iter().collect())
    }

    /// The Python client is compiled once for each interpreter: inside the sandbox it is read-only, and compiling it
    /// on every start would take longer than the interpreter's own start. Without the result it works as well.
    fn compile_python(&self, python: &Interpreter) {
        let mut compiled = self.compiled.lock();
        if compiled.contains(&python.program) {
            return;
        }
        // Named by hash, because a folder that is copied or unpacked keeps no times.
        let options = ["-I", "-m", "compileall", "-q", "--invalidation-mode", "unchecked-hash"];
        let client = self.runtimes_dir.join("python/mayfly_runtime");
        let done = Command::new(&python.program).args(options).arg(client).stdin(Stdio::null()).output();
        if !done.as_ref().is_ok_and(|done| done.status.success()) {
            tracing::warn!(?done, "the Python client is not compiled ahead");
        }
        compiled.push(python.program.clone());
    }

    /// The Java client is compiled by this machine's compiler, once.
    fn compile_java(&self, java: &Interpreter) -> Result<(), String> {
        let _one = self.compiling.lock();
        let folder = self.runtimes_dir.join("java");
        let jar = folder.join("client.jar");
        if jar.exists() {
            return Ok(());
        }
        let compiler = java.prefix.join("bin/javac");
        let mut sources = Vec::new();
        collect(&folder.join("src"), &mut sources).map_err(|error| error.to_string())?;
        let build = folder.join("build");
        let _ = std::fs::remove_dir_all(&build);
        let done = Command::new(&compiler).args(JAVAC).arg("-d").arg(&build).args(&sources).output();
        let done =
            done.map_err(|error| format!("Java functions need a JDK: {}: {error}", compiler.display()))?;
        if !done.status.success() {
            return Err(format!("javac: {}", String::from_utf8_lossy(&done.stderr)));
        }
        java::write_jar(&build, &jar).map_err(|error| error.to_string())
    }
}

fn collect(folder: &Path, into: &mut Vec<PathBuf>) -> std::io::Result<()> {
    for entry in std::fs::read_dir(folder)?.flatten() {
        let path = entry.path();
        if path.is_dir() {
            collect(&path, into)?;
        } else if path.extension().is_some_and(|extension| extension == "java") {
            into.push(path);
        }
    }
    Ok(())
}

/// An interpreter that is not among the system's own folders has to be brought along.
fn outside(interpreter: &Interpreter) -> Option<Bind> {
    let system = ["/usr", "/bin", "/lib"].iter().any(|folder| interpreter.prefix.starts_with(folder));
    (!system).then(|| Bind { source: interpreter.prefix.clone(), target: interpreter.prefix.clone() })
}

/// Whether Node.js reads a variable of this name as it starts. A snapshot starts under its own flags alone,
/// and `NODE_OPTIONS` brings others.
fn changes_node(name: &str) -> bool {
    name.starts_with("NODE_") && !["NODE_ENV", "NODE_PATH"].contains(&name)
}

fn node_heap(version: &Version) -> String {
    format!("--max-old-space-size={}", version.memory_mib * 9 / 10)
}
