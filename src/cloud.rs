//! What every door and every background task shares: the services, the store beneath them, and the runtime.
//!
//! This is also where a synchronous handler meets the asynchronous world: [`Cloud::transact`] waits for commits
//! without holding a thread and acts on signals only after them.

use crate::fabric::Lanes;
use crate::gateway::{Directory, Network};
use mayfly_kernel::{Caller, Fault};
use mayfly_runtime::Host;
use mayfly_services::identity::Keyring;
use mayfly_services::runner::{ATTEMPTS, commit_fault, contended};
use mayfly_services::{Catalogue, Cx, Runner, Signal};
use mayfly_store::{Blobs, CommitError, Durability};
use std::sync::OnceLock;
use tokio::sync::{Notify, RwLock};

pub(crate) struct Cloud {
    pub(crate) runner: Runner,
    pub(crate) catalogue: Catalogue,
    pub(crate) keyring: Keyring,
    pub(crate) blobs: Blobs,
    pub(crate) lanes: Lanes,
    pub(crate) garbage: Notify,
    pub(crate) directory: Directory,
    /// Whose X-Forwarded-For is believed.
    pub(crate) trusted_proxies: Vec<Network>,
    /// Held to read while a package is staged and installed, to write while packages are deleted: the same bytes
    /// are the same blob, so one that nobody holds may be wanted again just as it goes.
    pub(crate) packages: RwLock<()>,
    host: OnceLock<Host>,
}

impl Cloud {
    pub(crate) fn new(
        runner: Runner,
        keyring: Keyring,
        blobs: Blobs,
        lanes: Lanes,
        trusted_proxies: Vec<Network>,
    ) -> Cloud {
        let catalogue = mayfly_services::catalogue();
        Cloud {
            directory: Directory::new(runner.store()),
            trusted_proxies,
            runner,
            catalogue,
            keyring,
            blobs,
            lanes,
            garbage: Notify::new(),
            packages: RwLock::new(()),
            host: OnceLock::new(),
        }
    }

    /// The runtime and the cloud need each other, so the runtime comes second.
    pub(crate) fn set_host(&self, host: Host) {
        assert!(self.host.set(host).is_ok(), "the host is set once, at boot");
    }

    pub(crate) fn host(&self) -> &Host {
        self.host.get().expect("boot sets the host before it opens a door")
    }

    /// Runs `f` in a transaction until it commits; when this returns, its effects are durable.
    pub(crate) async fn transact<T>(
        &self,
        caller: &Caller,
        request_id: &str,
        f: impl FnMut(&mut Cx<'_>) -> Result<T, Fault>,
    ) -> Result<T, Fault> {
        self.transact_as(caller, request_id, Durability::Durable, f).await
    }

    /// The same for what may be lost in a power cut, because the store can tell it again: claims and log lines.
    pub(crate) async fn transact_relaxed<T>(
        &self,
        caller: &Caller,
        f: impl FnMut(&mut Cx<'_>) -> Result<T, Fault>,
    ) -> Result<T, Fault> {
        self.transact_as(caller, "", Durability::Relaxed, f).await
    }

    async fn transact_as<T>(
        &self,
        caller: &Caller,
        request_id: &str,
        durability: Durability,
        mut f: impl FnMut(&mut Cx<'_>) -> Result<T, Fault>,
    ) -> Result<T, Fault> {
        for _ in 0..ATTEMPTS {
            let attempt = self.runner.attempt(caller, request_id, durability, &mut f)?;
            let committed = match attempt.ticket {
                Some(ticket) => ticket.await,
                None => Ok(0),
            };
            match committed {
                Ok(_) => {
                    self.act_on(attempt.signals);
                    return Ok(attempt.output);
                }
                Err(CommitError::Conflict) => {}
                Err(failure) => return Err(commit_fault(&failure)),
            }
        }
        Err(contended())
    }

    fn act_on(&self, signals: Vec<Signal>) {
        for signal in signals {
            match signal {
                Signal::Lane(lane, due) => self.lanes.hint(lane, due),
                Signal::Retire(function) => self.host().retire(&function),
                Signal::Garbage => self.garbage.notify_one(),
            }
        }
    }
}
