//! Control groups: what the kernel limits and counts over all processes of a sandbox.
//!
//! Version 1 has one hierarchy per controller, version 2 one for all; machines of both kinds, and mixed ones,
//! are in the field. The launcher makes `mayfly-<its pid>` below the group it runs in, so that a limit on the
//! server holds for all functions together, and one group below that for each sandbox. What cannot be had is
//! left out and reported.

use super::protocol::{ControlGroup, Freeze, GroupVersion};
use crate::layers::{Layer, Layers};
use nix::unistd::Pid;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

const PREFIX: &str = "mayfly-";

/// The launcher's groups, one for each controller that can be used.
pub(crate) struct Groups {
    version: GroupVersion,
    memory: Option<PathBuf>,
    cpu: Option<PathBuf>,
    pids: Option<PathBuf>,
    freezer: Option<PathBuf>,
}

/// The groups of one sandbox.
pub(crate) struct Group {
    version: GroupVersion,
    memory: Option<PathBuf>,
    cpu: Option<PathBuf>,
    pids: Option<PathBuf>,
    freezer: Option<PathBuf>,
}

impl Groups {
    /// Finds out what can be used. Never fails: a machine without control groups has none of these layers.
    pub(crate) fn find() -> Groups {
        let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
        let own = fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
        Groups::find_in(&mounts, &own, &format!("{PREFIX}{}", std::process::id()))
    }

    /// The same, of what the kernel's files say is mounted and is ours.
    fn find_in(mounts: &str, own: &str, name: &str) -> Groups {
        let v1 = |controller: &str| {
            let mount = mount_point(mounts, "cgroup", Some(controller))?;
            home_v1(&mount, &own_path(own, controller)?, name)
        };
        let (memory, cpu, pids, freezer) = (v1("memory"), v1("cpu"), v1("pids"), v1("freezer"));
        if memory.is_some() || cpu.is_some() || pids.is_some() {
            return Groups { version: GroupVersion::V1, memory, cpu, pids, freezer };
        }
        let home = mount_point(mounts, "cgroup2", None)
            .and_then(|mount| own_path(own, "").map(|path| join(&mount, &path)))
            .and_then(|base| home_v2(&base, name));
        let controllers =
            home.as_ref().map(|home| read(&home.join("cgroup.controllers"))).unwrap_or_default();
        let has = |name: &str| home.clone().filter(|_| controllers.split_whitespace().any(|c| c == name));
        let (memory, cpu, pids) = (has("memory"), has("cpu"), has("pids"));
        // Version 2 freezes without a controller.
        let freezer = home.clone().filter(|home| home.join("cgroup.freeze").exists());
        Groups { version: GroupVersion::V2, memory, cpu, pids, freezer }
    }

    pub(crate) fn layers(&self) -> Layers {
        let found = [
            (&self.memory, Layer::MemoryCgroup),
            (&self.cpu, Layer::CpuCgroup),
            (&self.pids, Layer::PidsCgroup),
            (&self.freezer, Layer::Freezer),
        ];
        found.into_iter().filter_map(|(home, layer)| home.as_ref().map(|_| layer)).collect()
    }

    /// Makes the groups of one sandbox. They limit nothing yet.
    pub(crate) fn create(&self, number: u64) -> io::Result<Group> {
        let child = |home: &Option<PathBuf>| home.as_ref().map(|home| home.join(number.to_string()));
        let group = Group {
            version: self.version,
            memory: child(&self.memory),
            cpu: child(&self.cpu),
            pids: child(&self.pids),
            freezer: child(&self.freezer),
        };
        for folder in group.folders() {
            make_folder(folder)?;
        }
        Ok(group)
    }

    /// Removes what a launcher that was killed has left behind, and with `own` this launcher's groups too.
    pub(crate) fn sweep(&self, own: bool) {
        for home in [&self.memory, &self.cpu, &self.pids, &self.freezer].into_iter().flatten() {
            let Some(base) = home.parent() else { continue };
            for entry in fs::read_dir(base).into_iter().flatten().flatten() {
                let name = entry.file_name();
                let Some(pid) = name.to_str().and_then(|name| name.strip_prefix(PREFIX)) else { continue };
                let mine = entry.path() == *home;
                if if mine { own } else { !Path::new("/proc").join(pid).exists() } {
                    remove_tree(&entry.path(), self.version);
                }
            }
        }
    }
}

impl Group {
    fn folders(&self) -> impl Iterator<Item = &PathBuf> {
        let all = [&self.memory, &self.cpu, &self.pids, &self.freezer].into_iter().flatten();
        let mut seen: Vec<&PathBuf> = Vec::new();
        for folder in all {
            if !seen.contains(&folder) {
                seen.push(folder);
            }
        }
        seen.into_iter()
    }

    pub(crate) fn limit(&self, memory_bytes: u64, max_processes: u32) -> io::Result<()> {
        if let Some(memory) = &self.memory {
            match self.version {
                GroupVersion::V1 => {
                    write(memory, "memory.limit_in_bytes", memory_bytes)?;
                    // Absent where the kernel does not count swap; then nothing is to be limited.
                    let _ = write(memory, "memory.memsw.limit_in_bytes", memory_bytes);
                }
                GroupVersion::V2 => {
                    write(memory, "memory.max", memory_bytes)?;
                    let _ = write(memory, "memory.swap.max", 0_u64);
                }
            }
        }
        match &self.pids {
            Some(pids) => write(pids, "pids.max", u64::from(max_processes)),
            None => Ok(()),
        }
    }

    /// Moves the calling process in. A child that it makes later is born inside.
    pub(crate) fn enter(&self) -> io::Result<()> {
        self.folders().try_for_each(|folder| fs::write(folder.join("cgroup.procs"), "0"))
    }

    /// Moves a process in that stands still.
    pub(crate) fn take(&self, process: Pid) -> io::Result<()> {
        self.folders().try_for_each(|folder| fs::write(folder.join("cgroup.procs"), process.to_string()))
    }

    pub(crate) fn public(&self) -> Option<ControlGroup> {
        let any = self.memory.is_some() || self.cpu.is_some() || self.freezer.is_some();
        any.then(|| ControlGroup {
            version: self.version,
            memory: self.memory.clone(),
            cpu: self.cpu.clone(),
            freeze: self.freeze(),
        })
    }

    fn freeze(&self) -> Option<Freeze> {
        let folder = self.freezer.clone()?;
        Some(Freeze { version: self.version, folder })
    }

    /// Lets go on what is frozen here: otherwise a process that was killed would not end.
    pub(crate) fn thaw(&self) {
        if let Some(freeze) = self.freeze() {
            // A group that is gone holds nobody.
            let _ = freeze.write(false);
        }
    }

    /// Whether the kernel has killed a process here for want of memory.
    pub(crate) fn out_of_memory(&self) -> bool {
        let Some(memory) = &self.memory else { return false };
        let file = match self.version {
            GroupVersion::V1 => "memory.oom_control",
            GroupVersion::V2 => "memory.events",
        };
        let text = read(&memory.join(file));
        let kills = text.lines().find_map(|line| line.strip_prefix("oom_kill "));
        kills.is_some_and(|count| count.trim() != "0")
    }

    /// The most memory that was held here, in bytes.
    pub(crate) fn memory_peak(&self) -> u64 {
        let file = match self.version {
            GroupVersion::V1 => "memory.max_usage_in_bytes",
            GroupVersion::V2 => "memory.peak",
        };
        self.memory.as_ref().and_then(|memory| read(&memory.join(file)).trim().parse().ok()).unwrap_or(0)
    }

    /// Removes the groups. Works only when no process is left inside.
    pub(crate) fn remove(&self) -> io::Result<()> {
        for folder in self.folders() {
            match fs::remove_dir(folder) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                Ok(()) | Err(_) => {}
            }
        }
        Ok(())
    }
}

fn home_v1(mount: &Path, own: &str, name: &str) -> Option<PathBuf> {
    // Inside a container the path of our own group may not exist under the mount; then the mount is our
    // group.
    [join(mount, own), mount.to_owned()]
        .into_iter()
        .filter(|base| base.join("cgroup.procs").exists())
        .map(|base| base.join(name))
        .find(|home| make_folder(home).is_ok())
}

/// Version 2 lets only groups without processes of their own pass controllers on, so the server and the
/// launcher first move into a group beside the functions'. They do that only where nobody else lives.
fn home_v2(base: &Path, name: &str) -> Option<PathBuf> {
    const WANTED: &str = "+memory +cpu +pids";
    let control = base.join("cgroup.subtree_control");
    if fs::write(&control, WANTED).is_err() {
        let ours = [std::process::id(), std::os::unix::process::parent_id()].map(|pid| pid.to_string());
        let inside = read(&base.join("cgroup.procs"));
        if !inside.lines().all(|pid| ours.iter().any(|our| our == pid)) {
            return None;
        }
        let server = base.join("mayfly-server");
        make_folder(&server).ok()?;
        for pid in inside.lines() {
            fs::write(server.join("cgroup.procs"), pid).ok()?;
        }
        fs::write(&control, WANTED).ok()?;
    }
    let home = base.join(name);
    make_folder(&home).ok()?;
    fs::write(home.join("cgroup.subtree_control"), WANTED).ok()?;
    Some(home)
}

/// Where a hierarchy is mounted; for version 1, the one with this controller.
fn mount_point(mountinfo: &str, kind: &str, controller: Option<&str>) -> Option<PathBuf> {
    mountinfo.lines().find_map(|line| {
        let (before, after) = line.split_once(" - ")?;
        let mut after = after.split(' ');
        if after.next()? != kind {
            return None;
        }
        let options = after.nth(1)?;
        let fits = controller.is_none_or(|wanted| options.split(',').any(|option| option == wanted));
        fits.then(|| before.split(' ').nth(4).map(PathBuf::from))?
    })
}

/// The path of our own group: a line of `/proc/self/cgroup` is `number:controllers:path`.
fn own_path(own: &str, controller: &str) -> Option<String> {
    own.lines().find_map(|line| {
        let mut parts = line.splitn(3, ':').skip(1);
        let controllers = parts.next()?;
        let fits = controllers.split(',').any(|one| one == controller);
        fits.then(|| parts.next().map(str::to_owned))?
    })
}

fn join(mount: &Path, path: &str) -> PathBuf {
    mount.join(path.trim_start_matches('/'))
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_default()
}

fn write(folder: &Path, file: &str, value: u64) -> io::Result<()> {
    fs::write(folder.join(file), value.to_string())
}

fn make_folder(path: &Path) -> io::Result<()> {
    match fs::create_dir(path) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(error),
        Ok(()) | Err(_) => Ok(()),
    }
}

/// What was frozen in it has been killed together with its launcher, and ends now.
fn remove_tree(home: &Path, version: GroupVersion) {
    const PAUSE: Duration = Duration::from_millis(5);
    for entry in fs::read_dir(home).into_iter().flatten().flatten() {
        if !entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            continue;
        }
        let folder = entry.path();
        let _ = Freeze { version, folder: folder.clone() }.write(false);
        for _ in 0..20 {
            match fs::remove_dir(&folder) {
                Err(error) if error.kind() == io::ErrorKind::ResourceBusy => std::thread::sleep(PAUSE),
                Ok(()) | Err(_) => break,
            }
        }
    }
    let _ = fs::remove_dir(home);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hierarchies_are_found_by_controller() {
        let mounts = "\
30 29 0:26 / /sys/fs/cgroup/cpu,cpuacct rw,relatime - cgroup cgroup rw,cpu,cpuacct
31 29 0:27 / /sys/fs/cgroup/memory rw,relatime - cgroup cgroup rw,memory
32 29 0:28 / /sys/fs/cgroup/unified rw,relatime - cgroup2 cgroup2 rw
";
        assert_eq!(
            mount_point(mounts, "cgroup", Some("cpu")).unwrap(),
            Path::new("/sys/fs/cgroup/cpu,cpuacct")
        );
        assert_eq!(
            mount_point(mounts, "cgroup", Some("memory")).unwrap(),
            Path::new("/sys/fs/cgroup/memory")
        );
        assert_eq!(mount_point(mounts, "cgroup2", None).unwrap(), Path::new("/sys/fs/cgroup/unified"));
        assert_eq!(mount_point(mounts, "cgroup", Some("pids")), None);
    }

    #[test]
    fn the_own_group_is_read_from_both_versions() {
        let own = "4:memory:/user/1\n2:cpu,cpuacct:/x\n0::/user.slice/a\n";
        assert_eq!(own_path(own, "memory").unwrap(), "/user/1");
        assert_eq!(own_path(own, "cpuacct").unwrap(), "/x");
        assert_eq!(own_path(own, "").unwrap(), "/user.slice/a");
        assert_eq!(own_path(own, "pids"), None);
    }

    /// Version 2 as it is seen through its files; a folder of plain ones stands for the kernel's.
    #[test]
    fn version_2_gets_its_limits_and_is_asked_what_happened() {
        let base = tempfile::tempdir().unwrap();
        let (own, wanted) = (base.path().join("user.slice"), "+memory +cpu +pids");
        let home = own.join("mayfly-7");
        fs::create_dir_all(&home).unwrap();
        fs::write(home.join("cgroup.controllers"), "cpu memory pids").unwrap();
        let mounts = format!("32 29 0:28 / {} rw - cgroup2 cgroup2 rw\n", base.path().display());
        let groups = Groups::find_in(&mounts, "0::/user.slice\n", "mayfly-7");
        assert_eq!(read(&own.join("cgroup.subtree_control")), wanted);
        assert_eq!(read(&home.join("cgroup.subtree_control")), wanted);
        let limits = [Layer::MemoryCgroup, Layer::CpuCgroup, Layer::PidsCgroup];
        assert!(groups.layers().is_superset(&Layers::from(limits)));
        let group = groups.create(3).unwrap();
        group.limit(1 << 20, 64).unwrap();
        let folder = home.join("3");
        assert_eq!(group.folders().collect::<Vec<_>>(), [&folder], "one folder holds all controllers");
        let limits = ["memory.max", "memory.swap.max", "pids.max"].map(|file| read(&folder.join(file)));
        assert_eq!(limits, ["1048576", "0", "64"]);
        group.enter().unwrap();
        assert_eq!(read(&folder.join("cgroup.procs")), "0");
        fs::write(folder.join("memory.events"), "low 0\noom 1\noom_kill 0\n").unwrap();
        assert!(!group.out_of_memory(), "what was only refused was not killed");
        fs::write(folder.join("memory.events"), "low 0\noom 1\noom_kill 2\n").unwrap();
        fs::write(folder.join("memory.peak"), "4096\n").unwrap();
        assert!(group.out_of_memory());
        assert_eq!(group.memory_peak(), 4096);
    }
}
