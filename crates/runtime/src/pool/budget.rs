//! What the node has to give: memory, places for instances, and processors to start them with.
//!
//! Memory is counted by the sizes that the functions were given, not by what they hold at the moment: a size
//! is a promise. Most functions stay far below theirs, so a node may promise more than it has; see
//! [`super::pressure`] for what happens when too many promises are called in.

use mayfly_kernel::Arn;
use mayfly_kernel::function::{Concurrency, Version};
use std::borrow::Cow;
use std::collections::HashMap;

/// What one instance takes of the node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Claim {
    pub(super) function: Arn,
    pub(super) version: String,
    /// What instances of this key may stand in for each other.
    pub(super) key: String,
    pub(super) bytes: u64,
    /// The most instances of the version at once, busy and idle, over all of its tenants.
    pub(super) most: u32,
}

/// As on AWS: 2,500 instances for every 1,000 invocations that may run at once.
const TENANTS_SHARE: (u64, u64) = (5, 2);

impl Claim {
    pub(super) fn of(version: &Version, tenant: Option<&str>) -> Claim {
        let (Concurrency::Reserved(limit) | Concurrency::Shared(limit)) = version.concurrency;
        let (times, by) = TENANTS_SHARE;
        let most = (u64::from(limit) * times).div_ceil(by);
        Claim {
            function: version.function.clone(),
            version: version.id.clone(),
            key: key(version, tenant).into_owned(),
            bytes: u64::from(version.memory_mib) * 1024 * 1024,
            most: tenant.map_or(u32::MAX, |_| u32::try_from(most).unwrap_or(u32::MAX)),
        }
    }
}

/// What tells the instances of a version's tenants apart. No version's id has a space, so whatever a tenant
/// is called, no two have the same key.
pub(super) fn key<'a>(version: &'a Version, tenant: Option<&str>) -> Cow<'a, str> {
    match tenant {
        None => Cow::Borrowed(&version.id),
        Some(tenant) => Cow::Owned(format!("{} {tenant}", version.id)),
    }
}

pub(super) struct Budget {
    pub(super) memory_bytes: u64,
    pub(super) instances: u32,
    pub(super) starts: u32,
    used_bytes: u64,
    used: u32,
    starting: u32,
    /// Bytes by function, and instances by version; only of those that have any.
    functions: HashMap<Arn, u64>,
    versions: HashMap<String, Count>,
}

/// The instances of one version.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Count {
    /// All, those that are being made included.
    pub(super) places: u32,
    /// Those that have initialised.
    pub(super) ready: u32,
}

impl Budget {
    pub(super) fn new(memory_bytes: u64, instances: u32, starts: u32) -> Budget {
        Budget {
            memory_bytes,
            instances,
            starts,
            used_bytes: 0,
            used: 0,
            starting: 0,
            functions: HashMap::default(),
            versions: HashMap::default(),
        }
    }

    pub(super) fn fits(&self, bytes: u64) -> bool {
        self.used < self.instances && self.used_bytes + bytes <= self.memory_bytes
    }

    /// Whether an empty node could take it.
    pub(super) fn could_fit(&self, bytes: u64) -> bool {
        self.instances > 0 && bytes <= self.memory_bytes
    }

    pub(super) fn may_start(&self) -> bool {
        self.starting < self.starts
    }

    /// Takes a place and one of the starts.
    pub(super) fn take(&mut self, claim: &Claim) {
        self.starting += 1;
        self.used += 1;
        self.used_bytes += claim.bytes;
        *self.functions.entry(claim.function.clone()).or_default() += claim.bytes;
        self.versions.entry(claim.version.clone()).or_default().places += 1;
    }

    pub(super) fn started(&mut self) {
        self.starting -= 1;
    }

    pub(super) fn ready(&mut self, claim: &Claim) {
        if let Some(count) = self.versions.get_mut(&claim.version) {
            count.ready += 1;
        }
    }

    pub(super) fn give_back(&mut self, claim: &Claim, ready: bool) {
        self.used -= 1;
        self.used_bytes -= claim.bytes;
        if let Some(bytes) = self.functions.get_mut(&claim.function) {
            *bytes -= claim.bytes;
            if *bytes == 0 {
                self.functions.remove(&claim.function);
            }
        }
        if let Some(count) = self.versions.get_mut(&claim.version) {
            count.places -= 1;
            count.ready -= u32::from(ready);
            if count.places == 0 {
                self.versions.remove(&claim.version);
            }
        }
    }

    /// The bytes that a function's instances take.
    pub(super) fn share(&self, function: &Arn) -> u64 {
        self.functions.get(function).copied().unwrap_or(0)
    }

    pub(super) fn count(&self, version: &str) -> Count {
        self.versions.get(version).copied().unwrap_or_default()
    }

    pub(super) fn used(&self) -> u32 {
        self.used
    }
}
