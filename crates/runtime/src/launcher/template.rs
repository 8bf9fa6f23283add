//! The root that every sandbox starts from.
//!
//! Mounted once, in the launcher's own mount namespace: the system's program folders read-only, a small `/etc`, the
//! harmless devices, and empty places for what each sandbox brings itself. A sandbox's copy of the namespace has all
//! of it already, and adds a handful of mounts. Functions see the host's programs and libraries, and nothing else of it.

use super::sys::make_read_only;
use rustix::mount::{MountFlags, MountPropagationFlags, mount, mount_bind_recursive, mount_change};
use std::ffi::CString;
use std::fs;
use std::io;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};

/// Folders of the host that hold programs and libraries. Where the host has links, so does the sandbox.
const SYSTEM: [&str; 7] = ["usr", "bin", "sbin", "lib", "lib64", "lib32", "libx32"];
/// Empty places that a sandbox mounts over. The two `lib` are there for interpreters that start before the code is
/// attached: the loader remembers which folders of its search path were missing when it started.
const PLACES: [&str; 7] = ["proc", "dev", "tmp", "opt/lib", "var/task/lib", "var/runtime", "etc"];
const DEVICES: [&str; 5] = ["null", "zero", "full", "random", "urandom"];
/// What programs read of `/etc` and what tells nothing about the host's users or network.
const ETC: [&str; 8] = [
    "ld.so.cache",
    "ld.so.conf",
    "localtime",
    "mime.types",
    "ssl/certs",
    "ssl/openssl.cnf",
    "alternatives",
    "pki",
];

pub(crate) struct Template {
    root: PathBuf,
}

impl Template {
    /// Builds the root in `root`, an empty folder. The caller must be in a mount namespace of its own.
    pub(crate) fn mount(root: &Path) -> io::Result<Template> {
        mount_change("/", MountPropagationFlags::REC | MountPropagationFlags::PRIVATE)?;
        // On a tmpfs of its own, so that nothing of the host's disk shows and nothing is left behind.
        mount("tmpfs", root, "tmpfs", MountFlags::NOSUID, Some(c"size=4m,mode=755"))?;
        let template = Template { root: root.to_owned() };
        for place in PLACES {
            fs::create_dir_all(root.join(place))?;
        }
        for folder in SYSTEM {
            template.system_folder(folder)?;
        }
        template.etc()?;
        template.devices()?;
        Ok(template)
    }

    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    /// Makes the place for a mount at `target`, a path of the sandbox. Later sandboxes find it there.
    pub(crate) fn place(&self, source: &Path, target: &Path) -> io::Result<PathBuf> {
        let inside = self.root.join(target.strip_prefix("/").unwrap_or(target));
        if inside.symlink_metadata().is_err() {
            if source.is_dir() {
                fs::create_dir_all(&inside)?;
            } else {
                fs::create_dir_all(inside.parent().unwrap_or(&self.root))?;
                fs::write(&inside, "")?;
            }
        }
        Ok(inside)
    }

    fn system_folder(&self, name: &str) -> io::Result<()> {
        let source = Path::new("/").join(name);
        match fs::symlink_metadata(&source) {
            Err(_) => Ok(()),
            Ok(meta) if meta.is_symlink() => symlink(fs::read_link(&source)?, self.root.join(name)),
            Ok(_) => self.bind(&source, &source),
        }
    }

    fn bind(&self, source: &Path, target: &Path) -> io::Result<()> {
        let inside = self.place(source, target)?;
        mount_bind_recursive(source, &inside)?;
        make_read_only(&c_path(&inside)?, true, false)
    }

    fn etc(&self) -> io::Result<()> {
        let etc = self.root.join("etc");
        let files = [
            ("passwd", "root:x:0:0:root:/root:/sbin/nologin\nsandbox:x:993:993:sandbox:/tmp:/sbin/nologin\n"),
            ("group", "root:x:0:\nsandbox:x:993:\n"),
            ("hosts", "127.0.0.1 localhost\n"),
            ("nsswitch.conf", "passwd: files\ngroup: files\nhosts: files\n"),
            ("resolv.conf", ""),
        ];
        for (name, text) in files {
            fs::write(etc.join(name), text)?;
        }
        for name in ETC {
            let source = Path::new("/etc").join(name);
            if source.exists() {
                // What `localtime` links to is wanted, not the link.
                self.bind(&source.canonicalize()?, &source)?;
            }
        }
        for entry in fs::read_dir("/etc")?.flatten() {
            // A Debian JDK keeps its configuration there.
            if entry.file_name().to_string_lossy().starts_with("java-") {
                self.bind(&entry.path(), &entry.path())?;
            }
        }
        Ok(())
    }

    fn devices(&self) -> io::Result<()> {
        let dev = self.root.join("dev");
        for name in DEVICES {
            fs::write(dev.join(name), "")?;
            mount_bind_recursive(Path::new("/dev").join(name), dev.join(name))?;
            make_read_only(&c_path(&dev.join(name))?, false, true)?;
        }
        symlink("/proc/self/fd", dev.join("fd"))?;
        symlink("/proc/self/fd/0", dev.join("stdin"))?;
        symlink("/proc/self/fd/1", dev.join("stdout"))?;
        symlink("/proc/self/fd/2", dev.join("stderr"))?;
        // Shared memory counts as temporary files do, and needs no limit of its own.
        symlink("/tmp", dev.join("shm"))?;
        fs::set_permissions(&dev, fs::Permissions::from_mode(0o755))
    }
}

pub(crate) fn c_path(path: &Path) -> io::Result<CString> {
    use std::os::unix::ffi::OsStrExt as _;
    CString::new(path.as_os_str().as_bytes()).map_err(io::Error::other)
}
