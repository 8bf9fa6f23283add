//! What this machine allows, and what each lack costs: the findings behind `mayfly doctor`.
//!
//! Nothing is guessed: a launcher is started, as the server would, and says which layers it could build.

use crate::discovery::Interpreter;
use crate::host::LauncherCommand;
use crate::interpreters::Interpreters;
use crate::layers::{Layer, Layers};
use crate::sandbox::Launcher;
use std::path::Path;

/// One finding.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Check {
    pub name: String,
    pub ok: bool,
    pub found: String,
    /// What is worse when this is missing.
    pub costs: String,
}

pub fn doctor() -> Vec<Check> {
    // The launcher is spoken to asynchronously, and the caller may have a runtime of its own.
    let probed = std::thread::spawn(probe).join().unwrap_or_else(|_| Err("the probe failed".into()));
    let mut checks: Vec<Check> = match &probed {
        Ok((layers, _)) => Layer::ALL.into_iter().map(|layer| of_layer(layer, layers)).collect(),
        Err(error) => vec![Check {
            name: "launcher".into(),
            ok: false,
            found: error.clone(),
            costs: "no function with a process can run, only Wasm".into(),
        }],
    };
    if let Ok((_, forks)) = &probed {
        checks.push(Check {
            name: "fork from a template".into(),
            ok: *forks,
            found: if *forks { "possible" } else { "not possible here" }.into(),
            costs: "instances of versions with SnapStart run their module code at every start".into(),
        });
    }
    checks.push(control_groups());
    let landlock =
        std::fs::read_to_string("/sys/kernel/security/lsm").unwrap_or_default().contains("landlock");
    checks.push(plain("landlock", landlock, "not used yet"));
    checks.push(plain("kvm", Path::new("/dev/kvm").exists(), "not used yet: no micro-VM tier"));
    let interpreters = Interpreters::new(std::env::temp_dir());
    checks.push(runtime("python", &interpreters.python()));
    checks.push(runtime("nodejs", &interpreters.node()));
    checks.push(runtime("java", interpreters.java()));
    checks
}

/// The layers, and whether instances can be forked.
fn probe() -> Result<(Layers, bool), String> {
    let program = std::env::current_exe().map_err(|error| error.to_string())?;
    let root = std::env::temp_dir().join(format!("mayfly-doctor-{}", std::process::id()));
    std::fs::create_dir_all(&root).map_err(|error| error.to_string())?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let found = runtime.map_err(|error| error.to_string())?.block_on(async {
        let command = LauncherCommand { program, args: vec!["launcher".into()] };
        let launcher = Launcher::start(command, root.clone()).await.map_err(|error| error.to_string())?;
        let found = (launcher.layers().await, launcher.forks().await);
        launcher.stop().await;
        Ok(found)
    });
    let _ = std::fs::remove_dir(&root);
    found
}

fn of_layer(layer: Layer, active: &Layers) -> Check {
    let costs = match layer {
        Layer::Namespaces => "no function with a process can run, only Wasm",
        Layer::UserNamespace => {
            "a function's root user would be a host user without privileges, not a private one"
        }
        Layer::Seccomp => "functions could make every system call of an unprivileged user",
        Layer::MemoryCgroup => {
            "memory is watched per process only; a function can push the node into swapping"
        }
        Layer::CpuCgroup => "a function may use more processor time than its memory buys",
        Layer::PidsCgroup => "a fork bomb is stopped by per-user limits alone",
        Layer::Freezer => "threads of an idle function go on using processor time",
    };
    let ok = active.contains(&layer);
    let found = if ok { "active" } else { "not allowed here" };
    Check { name: layer.name().into(), ok, found: found.into(), costs: costs.into() }
}

fn control_groups() -> Check {
    let mounts = std::fs::read_to_string("/proc/mounts").unwrap_or_default();
    let has = |kind: &str| mounts.lines().any(|line| line.split_whitespace().nth(2) == Some(kind));
    let found = match (has("cgroup"), has("cgroup2")) {
        (true, true) => "v1 and v2",
        (true, false) => "v1",
        (false, true) => "v2",
        (false, false) => "none",
    };
    Check {
        name: "control groups".into(),
        ok: found != "none",
        found: found.into(),
        costs: "no limits on memory, processor time and processes beyond per-process ones".into(),
    }
}

fn plain(name: &str, ok: bool, costs: &str) -> Check {
    let found = if ok { "present" } else { "absent" };
    Check { name: name.into(), ok, found: found.into(), costs: costs.into() }
}

fn runtime(name: &str, found: &[Interpreter]) -> Check {
    let versions: Vec<String> = found
        .iter()
        .map(|one| format!("{}.{} ({})", one.version.0, one.version.1, one.program.display()))
        .collect();
    let ok = !versions.is_empty();
    let found = if ok { versions.join(", ") } else { "none".into() };
    Check { name: format!("runtime {name}"), ok, found, costs: format!("{name} functions cannot run") }
}
