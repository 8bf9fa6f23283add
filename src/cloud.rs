//! What every door and every background task shares: the services, the store beneath them, and the runtime.
//!
//! This is also where a synchronous handler meets the asynchronous world: [`Cloud::transact`] waits for
//! commits without holding a thread and acts on signals only after them.

use crate::destinations::Destinations;
use crate::fabric::Lanes;
use crate::gateway::Directory;
use crate::images::Registries;
use crate::logs::LogSink;
use crate::mappings::Mappings;
use crate::outgoing::Trust;
use crate::outlets::Outlets;
use crate::secrets::Secrets;
use crate::turns::Turns;
use mayfly_kernel::function::{Invocation, Outcome, Refusal, Version};
use mayfly_kernel::{Caller, Fault, Network};
use mayfly_runtime::Host;
use mayfly_services::identity::Keyring;
use mayfly_services::operation::Pause;
use mayfly_services::runner::{ATTEMPTS, LOSSES_BEFORE_TURNS, commit_fault, contended};
use mayfly_services::{Catalogue, Cx, Runner, Signal};
use mayfly_store::{Blobs, CommitError, Durability, Watch};
use std::sync::{Arc, OnceLock};
use tokio::sync::{Notify, RwLock};

pub(crate) struct Cloud {
    pub(crate) runner: Runner,
    pub(crate) catalogue: Catalogue,
    pub(crate) keyring: Keyring,
    pub(crate) blobs: Blobs,
    pub(crate) lanes: Lanes,
    pub(crate) mappings: Mappings,
    pub(crate) trust: Trust,
    pub(crate) registries: Registries,
    pub(crate) outlets: Outlets,
    pub(crate) destinations: Destinations,
    pub(crate) secrets: Secrets,
    pub(crate) logs: LogSink,
    pub(crate) garbage: Notify,
    pub(crate) directory: Directory,
    /// Whose X-Forwarded-For is believed.
    pub(crate) trusted_proxies: Vec<Network>,
    /// What is to be ready ahead of demand has changed.
    pub(crate) provision: Notify,
    /// Held to read while a package is staged and installed, to write while packages are deleted: the same
    /// bytes are the same blob, so one that nobody holds may be wanted again just as it goes.
    pub(crate) packages: RwLock<()>,
    /// Of those whose transactions lose against others.
    turns: Turns,
    host: OnceLock<Host>,
}

impl Cloud {
    pub(crate) fn new(
        runner: Runner,
        keyring: Keyring,
        blobs: Blobs,
        (lanes, mappings): (Lanes, Mappings),
        (trust, registries, outlets, secrets): (Trust, Registries, Outlets, Secrets),
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
            mappings,
            outlets,
            destinations: Destinations::new(&trust),
            trust,
            registries,
            secrets,
            logs: LogSink::default(),
            garbage: Notify::new(),
            provision: Notify::new(),
            packages: RwLock::new(()),
            turns: Turns::new(),
            host: OnceLock::new(),
        }
    }

    /// The runtime and the cloud need each other, so the runtime comes second.
    pub(crate) fn set_host(&self, host: Host) {
        assert!(self.host.set(host).is_ok(), "the host is set once, at boot");
    }

    /// Runs a function with an event that counts as done afterwards. What it has logged is in the store by then,
    /// because nobody runs it again to say it.
    pub(crate) async fn run_event(
        &self,
        version: Version,
        invocation: Invocation,
    ) -> Result<Outcome, Refusal> {
        let ran = self.host().invoke(Arc::new(version), invocation).await;
        self.logs.flush(self).await;
        ran
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

    /// The same for what may be lost in a power cut, because the store can tell it again: claims and log
    /// lines.
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
        let mut turn = None;
        for losses in 1..=ATTEMPTS {
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
                Err(CommitError::Conflict(over)) if losses >= LOSSES_BEFORE_TURNS => {
                    turn = Some(self.turns.after(turn.take(), losses, over).await);
                }
                Err(CommitError::Conflict(_)) => {}
                Err(failure) => return Err(commit_fault(&failure)),
            }
        }
        drop(turn);
        Err(contended())
    }

    /// Runs `f` until it has something to say, or as long as it wants to wait: again whenever what it watches
    /// has changed. A caller who goes away drops this, and nothing more is taken in its name.
    pub(crate) async fn poll<T>(
        &self,
        caller: &Caller,
        request_id: &str,
        mut f: impl FnMut(&mut Cx<'_>) -> Result<(T, Option<Pause>), Fault>,
    ) -> Result<T, Fault> {
        let began = self.runner.clock().now();
        let mut watched: Vec<(Vec<u8>, Watch)> = Vec::new();
        loop {
            let (output, pause) = self.transact(caller, request_id, &mut f).await?;
            let Some(pause) = pause else { return Ok(output) };
            let now = self.runner.clock().now();
            let deadline = began + pause.wait;
            if now >= deadline {
                return Ok(output);
            }
            // What changed between the reading and the watching would be missed: so the first round is read
            // twice.
            if !watched.iter().map(|(prefix, _)| prefix).eq(&pause.watch) {
                let watch = |prefix: Vec<u8>| (prefix.clone(), self.runner.store().watch(&prefix));
                watched = pause.watch.into_iter().map(watch).collect();
                continue;
            }
            let until = pause.due.map_or(deadline, |due| due.min(deadline));
            let changed = watched.iter_mut().map(|(_, watch)| Box::pin(watch.changed()));
            tokio::select! {
                _ = futures_util::future::select_all(changed) => {}
                () = tokio::time::sleep(until.since(now)) => {}
            }
        }
    }

    fn act_on(&self, signals: Vec<Signal>) {
        for signal in signals {
            match signal {
                Signal::Lane(lane, due) => self.lanes.hint(lane, due),
                Signal::Retire(version) => self.host().retire(&version),
                Signal::Reader(reader) => self.mappings.changed(reader),
                Signal::Provision => self.provision.notify_one(),
                Signal::Garbage => self.garbage.notify_one(),
            }
        }
    }
}
