//! The walls of a sandbox, by name: what `require` asks for and what a started host reports.

use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::fmt;

/// One kind of isolation. Some are always on; the others depend on what the machine lets this user do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Layer {
    /// Private mount, process, network, IPC and host name spaces on a minimal read-only root. Never missing.
    Namespaces,
    /// A user namespace of its own, in which the function has an unprivileged id and no capability.
    UserNamespace,
    /// A system call filter.
    Seccomp,
    /// A limit on memory that the kernel enforces over all processes of an instance.
    MemoryCgroup,
    /// A share of processor time in proportion to memory.
    CpuCgroup,
    /// A limit on the number of processes and threads.
    PidsCgroup,
    /// Idle instances are stood still, so that they cost no processor time.
    Freezer,
}

pub type Layers = BTreeSet<Layer>;

impl Layer {
    pub const ALL: [Layer; 7] = [
        Layer::Namespaces,
        Layer::UserNamespace,
        Layer::Seccomp,
        Layer::MemoryCgroup,
        Layer::CpuCgroup,
        Layer::PidsCgroup,
        Layer::Freezer,
    ];

    /// The layer of this name.
    pub fn parse(name: &str) -> Option<Layer> {
        Layer::ALL.into_iter().find(|layer| layer.name() == name)
    }

    pub fn name(self) -> &'static str {
        match self {
            Layer::Namespaces => "namespaces",
            Layer::UserNamespace => "user-namespace",
            Layer::Seccomp => "seccomp",
            Layer::MemoryCgroup => "memory-cgroup",
            Layer::CpuCgroup => "cpu-cgroup",
            Layer::PidsCgroup => "pids-cgroup",
            Layer::Freezer => "freezer",
        }
    }
}

impl fmt::Display for Layer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// The layers' names with commas between them.
pub(crate) fn list(layers: impl IntoIterator<Item = Layer>) -> String {
    layers.into_iter().map(Layer::name).collect::<Vec<_>>().join(", ")
}
