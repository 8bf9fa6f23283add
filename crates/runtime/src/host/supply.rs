//! An instance for an event: a warm one, or a new one, whichever comes first; and instances ahead of demand.

use super::{Held, Inner};
use crate::instance::{Broken, explain};
use crate::pool::{Asked, Denied, Place, Pooled as _, Turn};
use crate::start::{Cold, Purpose, Started};
use mayfly_kernel::function::{Refusal, Version};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::oneshot;

/// How often provisioned versions that fail are looked at again.
const LOOK_AGAIN: Duration = Duration::from_secs(1);

/// An instance to use, and what is to be said of its making.
pub(super) struct Made {
    pub(super) held: Held,
    /// How that went, unless it was there.
    pub(super) cold: Option<Cold>,
    pub(super) initialised: Result<(), Broken>,
}

impl Inner {
    pub(super) async fn instance(
        self: &Arc<Inner>,
        version: &Arc<Version>,
        tenant: Option<&str>,
        request_id: &str,
    ) -> Result<Made, Denied> {
        let mut ticket = match self.pool.ask(version, tenant)? {
            Asked::Warm(held) => return Ok(warm(held)),
            Asked::Wait(ticket) => ticket,
        };
        let place = match tokio::time::timeout(self.queue_limit(), self.pool.turn(&mut ticket)).await {
            Err(_) => return Err(Denied::Refused(Refusal::NodeFull)),
            Ok(Turn::Warm(held)) => return Ok(warm(held)),
            Ok(Turn::Failing(error)) => return Err(Denied::Failing(error)),
            Ok(Turn::Cold(place)) => place,
        };
        let (send, made) = oneshot::channel();
        tokio::spawn(self.clone().make(version.clone(), Purpose::Event, place, request_id.to_owned(), send));
        tokio::select! {
            biased;
            turn = ticket.next() => match turn {
                // What is being made goes to the pool.
                Turn::Warm(held) => Ok(warm(held)),
                Turn::Failing(error) => Err(Denied::Failing(error)),
                Turn::Cold(_) => Err(Denied::Refused(Refusal::NodeFull)),
            },
            made = made => match made {
                Ok(made) => made.map_err(Denied::Refused),
                Err(_) => Err(Denied::Refused(Refusal::Unrunnable("the start of an instance failed".into()))),
            },
        }
    }

    fn queue_limit(&self) -> Duration {
        Duration::from_millis(self.limits.node_queue_ms)
    }

    /// Makes an instance for whoever listens; if nobody does any more, for the pool.
    async fn make(
        self: Arc<Inner>,
        version: Arc<Version>,
        purpose: Purpose,
        place: Place<crate::instance::Instance>,
        request_id: String,
        send: oneshot::Sender<Result<Made, Refusal>>,
    ) {
        let Place { slot, starting } = place;
        let made = match self.starter.start(&version, purpose, starting).await {
            Err(refusal) => Err(refusal),
            Ok(Started { instance, cold, initialised }) => {
                let mut held = Held::new(instance, slot);
                match &initialised {
                    Ok(()) => {
                        // What is made ahead is ready when it can be had.
                        if purpose == Purpose::Event {
                            held.initialised();
                        }
                        self.pool.succeeded(&version);
                    }
                    // What cannot be restored is tried again by every event, as on AWS.
                    Err(broken) if broken.refusal().is_some() => {}
                    Err(broken) => {
                        let (error, _) = explain(broken, &request_id, &version, self.clock.now());
                        self.pool.failed(&version, &error);
                    }
                }
                Ok(Made { held, cold: Some(cold), initialised })
            }
        };
        match send.send(made) {
            Ok(()) | Err(Err(_)) => {}
            Err(Ok(Made { held, initialised: Ok(()), .. })) => self.pool.put(held),
            Err(Ok(Made { held, initialised: Err(broken), .. })) => {
                let (_, line) = explain(&broken, &request_id, &version, self.clock.now());
                held.instance.catch_up();
                held.instance.log.say(line);
            }
        }
    }

    /// Makes the instances that provisioned versions lack, for as long as the host lives.
    pub(super) async fn keep_provisioned(self: Arc<Inner>) {
        let mut changes = self.pool.provision.subscribe();
        loop {
            changes.mark_unchanged();
            for version in self.pool.missing() {
                tokio::spawn(self.clone().make_ahead(version));
            }
            let failing = self.pool.standing_short();
            tokio::select! {
                // Fails only when the pool is gone, which this very task holds.
                _ = changes.changed() => {}
                () = tokio::time::sleep(LOOK_AGAIN), if failing => {}
            }
        }
    }

    async fn make_ahead(self: Arc<Inner>, version: Arc<Version>) {
        let place = match self.pool.ask_ahead(&version) {
            Err(Denied::Refused(refusal)) => Err(format!("{refusal:?}")),
            Err(Denied::Failing(error)) => Err(error.error_type),
            Ok(mut ticket) => {
                match tokio::time::timeout(self.queue_limit(), self.pool.turn(&mut ticket)).await {
                    Err(_) => Err("NodeFull".to_owned()),
                    Ok(Turn::Failing(error)) => Err(error.error_type),
                    Ok(Turn::Warm(held)) => {
                        self.pool.put(held);
                        Err("NodeFull".to_owned())
                    }
                    Ok(Turn::Cold(place)) => Ok(place),
                }
            }
        };
        let place = match place {
            Ok(place) => place,
            Err(failure) => return self.pool.answered(&version, Some(failure)),
        };
        self.pool.answered(&version, None);
        let (send, made) = oneshot::channel();
        self.clone().make(version.clone(), Purpose::Provision, place, String::new(), send).await;
        match made.await {
            Ok(Ok(Made { held, initialised: Ok(()), .. })) => self.pool.put(held),
            Ok(Ok(Made { held, initialised: Err(broken), .. })) => {
                held.instance.catch_up();
                held.instance.log.say(explain(&broken, "", &version, self.clock.now()).1);
            }
            Ok(Err(refusal)) => self.pool.unprovided(&version, format!("{refusal:?}")),
            Err(_) => {}
        }
    }
}

fn warm(held: Held) -> Made {
    if let Some(freezer) = held.instance.freezer() {
        freezer.wake();
    }
    Made { held, cold: None, initialised: Ok(()) }
}
