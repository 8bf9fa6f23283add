//! Runs handlers in transactions.
//!
//! The runner makes one attempt and hands back a ticket for its commit; whoever calls it waits for the ticket
//! in its own way and, on a conflict, asks for another attempt. Nothing that an attempt produced may leave
//! the process before its ticket says that it is durable.

use crate::claims::{Claims, Held};
use crate::cx::{Cx, Signal, Site};
use crate::memo::{Memory, Recall};
use mayfly_kernel::ids::Ids;
use mayfly_kernel::{Caller, Clock, Fault, Limits};
use mayfly_store::{CommitError, Durability, Store, Ticket};
use std::sync::{Arc, Mutex, PoisonError};

/// How often a transaction that lost against others is run again before the caller is told to come back.
pub const ATTEMPTS: u32 = 64;

/// Who has lost this often waits for a turn among those that have, so that they do not make each other lose.
pub const LOSSES_BEFORE_TURNS: u32 = 2;

pub struct Runner {
    store: Store,
    clock: Arc<dyn Clock>,
    ids: Ids,
    limits: Arc<Limits>,
    site: Site,
    claims: Claims,
    memory: Memory,
    turns: Mutex<()>,
}

/// What an attempt made, not yet durable.
pub struct Attempt<T> {
    pub output: T,
    /// `None` if there was nothing to write.
    pub ticket: Option<Ticket>,
    pub signals: Vec<Signal>,
    /// Kept until the ticket is decided.
    pub held: Held,
}

impl Runner {
    pub fn new(store: Store, clock: Arc<dyn Clock>, ids: Ids, limits: Arc<Limits>, site: Site) -> Runner {
        let memory = Memory::of(&store);
        Runner { store, clock, ids, limits, site, claims: Claims::default(), memory, turns: Mutex::new(()) }
    }

    pub fn store(&self) -> &Store {
        &self.store
    }

    pub fn clock(&self) -> &Arc<dyn Clock> {
        &self.clock
    }

    pub fn limits(&self) -> &Arc<Limits> {
        &self.limits
    }

    pub fn site(&self) -> &Site {
        &self.site
    }

    pub fn request_id(&self) -> String {
        self.ids.uuid()
    }

    pub fn ids(&self) -> &Ids {
        &self.ids
    }

    /// Reads at a snapshot.
    pub fn view<T>(
        &self,
        caller: &Caller,
        request_id: &str,
        f: impl FnOnce(&mut Cx<'_>) -> Result<T, Fault>,
    ) -> Result<T, Fault> {
        let recall = self.memory.recall();
        let mut tx = self.store.view();
        let mut cx = self.cx(&mut tx, caller, request_id, recall);
        let output = f(&mut cx)?;
        must_have_asked(&cx)?;
        Ok(output)
    }

    /// Runs `f` in a transaction and sends it to be committed.
    pub fn attempt<T>(
        &self,
        caller: &Caller,
        request_id: &str,
        durability: Durability,
        f: impl FnOnce(&mut Cx<'_>) -> Result<T, Fault>,
    ) -> Result<Attempt<T>, Fault> {
        let recall = self.memory.recall();
        let mut tx = self.store.begin();
        let mut cx = self.cx(&mut tx, caller, request_id, recall);
        let output = f(&mut cx)?;
        must_have_asked(&cx)?;
        let (signals, held) = cx.finish();
        let ticket = tx.is_dirty().then(|| tx.commit(durability));
        Ok(Attempt { output, ticket, signals, held })
    }

    /// Attempts until it commits, blocking this thread. For tests, recovery at start, and threads of our own.
    pub fn run_blocking<T>(
        &self,
        caller: &Caller,
        request_id: &str,
        mut f: impl FnMut(&mut Cx<'_>) -> Result<T, Fault>,
    ) -> Result<(T, Vec<Signal>), Fault> {
        let mut turn = None;
        for number in 0..ATTEMPTS {
            if number == LOSSES_BEFORE_TURNS {
                turn = Some(self.turns.lock().unwrap_or_else(PoisonError::into_inner));
            }
            let attempt = self.attempt(caller, request_id, Durability::Durable, &mut f)?;
            match attempt.ticket.map(Ticket::wait) {
                None | Some(Ok(_)) => return Ok((attempt.output, attempt.signals)),
                Some(Err(CommitError::Conflict(_))) => {}
                Some(Err(failure)) => return Err(commit_fault(&failure)),
            }
        }
        drop(turn);
        Err(contended())
    }

    fn cx<'a>(
        &'a self,
        tx: &'a mut mayfly_store::Tx,
        caller: &'a Caller,
        request_id: &'a str,
        recall: Recall<'a>,
    ) -> Cx<'a> {
        let facts = (&*self.limits, &self.site, request_id);
        Cx::new(tx, caller, self.clock.now(), &self.ids, facts, (self.claims.nothing_held(), recall))
    }
}

fn must_have_asked(cx: &Cx<'_>) -> Result<(), Fault> {
    match cx.was_allowed() {
        true => Ok(()),
        false => Err(Fault::internal("authorise", "the handler never asked whether the caller is allowed")),
    }
}

/// What the caller of a transaction that could not be written is told.
pub fn commit_fault(failure: &CommitError) -> Fault {
    match failure {
        CommitError::Full => Fault::new(
            507,
            "InsufficientStorage",
            "The server has run out of disk space; nothing was stored.",
        ),
        CommitError::Conflict(_) => contended(),
        CommitError::Io(_) | CommitError::Closed => Fault::unavailable("commit", failure),
    }
}

/// Too many transactions wrote the same rows at once.
pub fn contended() -> Fault {
    Fault::new(503, "ServiceUnavailable", "Please reduce your request rate.")
        .with_detail("the transaction lost against others too often")
}

#[cfg(test)]
mod tests {
    use super::*;
    use mayfly_kernel::Time;
    use mayfly_kernel::caller::Principal;
    use mayfly_kernel::time::ManualClock;

    #[test]
    fn a_handler_that_never_asks_gets_no_answer_and_writes_nothing() {
        let site = crate::testing::site();
        let clock = Arc::new(ManualClock::at(Time::from_secs(1)));
        let runner = Runner::new(Store::memory(), clock, Ids::seeded(1), Arc::new(Limits::default()), site);
        let caller = Caller::service("test", "000000000000", "us-east-1");
        let forgetful = runner.run_blocking(&caller, "id", |cx| {
            cx.tx.put(b"key".to_vec(), b"value".to_vec());
            Ok(())
        });
        assert_eq!(forgetful.unwrap_err().code, "InternalFailure");
        assert_eq!(runner.store().view().get(b"key").unwrap(), None);

        let stranger = Caller { principal: Principal::Anonymous, ..caller };
        let resource = stranger.arn("s3", "bucket");
        let denied = runner.view(&stranger, "id", |cx| cx.allow(&resource));
        assert_eq!(denied.unwrap_err().status, 403);
    }
}
