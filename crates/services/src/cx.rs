//! What a handler is given: the transaction, the caller, the time, ids, and the ways to have an effect.

use crate::access::{self, Refusal};
use crate::claims::Held;
use crate::fabric;
use crate::identity::LinkSeal;
use crate::memo::Recall;
use crate::readers::Reader;
use crate::sns::Signer;
use mayfly_kernel::caller::Principal;
use mayfly_kernel::ids::Ids;
use mayfly_kernel::{Arn, Caller, Fault, Limits, Time};
use mayfly_store::Tx;
use std::sync::Arc;

/// The facts of this installation that appear in answers.
#[derive(Clone, Debug)]
pub struct Site {
    pub account: String,
    pub region: String,
    /// Host and port under which clients reach the gateway, such as `127.0.0.1:4566`.
    pub authority: String,
    /// Whether the gateway speaks TLS there.
    pub tls: bool,
    /// Signs links that answers hand out.
    pub links: LinkSeal,
    /// Signs messages of topics.
    pub signer: Arc<dyn Signer>,
    pub outlets: Outlets,
}

/// Which ways to the outside an operator has opened.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Outlets {
    /// A mail server.
    pub mail: bool,
    /// A gateway of text messages.
    pub texts: bool,
    /// A gateway of push messages to apps.
    pub push: bool,
}

impl Site {
    pub fn scheme(&self) -> &'static str {
        if self.tls { "https" } else { "http" }
    }

    /// The port part of the authority with its colon, empty for the scheme's own port.
    pub fn port_suffix(&self) -> &str {
        self.authority.rfind(':').map_or("", |colon| &self.authority[colon..])
    }
}

/// Something to do after the commit, in memory only. All of it can be rebuilt from the store, so losing one
/// to a crash costs nothing.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Signal {
    /// A lane of the fabric has work that falls due at this time.
    Lane(String, Time),
    /// Instances of the version with this id are of no use any more.
    Retire(String),
    /// What is to be ready ahead of demand has changed.
    Provision,
    /// An event source mapping or a pipe has changed.
    Reader(Reader),
    /// Bodies wait to be deleted.
    Garbage,
}

/// The surroundings of one handler in one attempt at one transaction.
pub struct Cx<'a> {
    pub tx: &'a mut Tx,
    pub caller: &'a Caller,
    pub now: Time,
    pub ids: &'a Ids,
    pub limits: &'a Limits,
    pub site: &'a Site,
    pub request_id: &'a str,
    /// The operation that runs, by its name in the table; empty for the platform's own work.
    pub(crate) operation: &'static str,
    allowed: bool,
    signals: Vec<Signal>,
    held: Held,
    pub(crate) recall: Recall<'a>,
}

impl<'a> Cx<'a> {
    pub(crate) fn new(
        tx: &'a mut Tx,
        caller: &'a Caller,
        now: Time,
        ids: &'a Ids,
        (limits, site, request_id): (&'a Limits, &'a Site, &'a str),
        (held, recall): (Held, Recall<'a>),
    ) -> Cx<'a> {
        let signals = Vec::new();
        Cx {
            tx,
            caller,
            now,
            ids,
            limits,
            site,
            request_id,
            operation: "",
            allowed: false,
            signals,
            held,
            recall,
        }
    }

    /// Asks whether the caller may do this operation on `resource`. Every handler asks; the runner refuses to
    /// answer for one that did not.
    ///
    /// The rule is the account's wall: a principal may do anything in its own account and nothing elsewhere,
    /// and nobody without a signature may do anything. What has a policy of its own asks that
    /// ([`crate::access`]).
    pub fn allow(&mut self, resource: &Arn) -> Result<(), Fault> {
        self.allowed = true;
        let own = resource.account.is_empty() || resource.account == self.caller.account;
        match &self.caller.principal {
            Principal::Root | Principal::Function(_) | Principal::Service(_) if own => Ok(()),
            Principal::Root | Principal::Function(_) | Principal::Service(_) | Principal::Anonymous => {
                let action = format!("{}:{}", resource.service, self.operation);
                let text = Refusal::Silent.text(&access::name_of(self.caller), &action, resource);
                Err(Fault::new(403, "AccessDeniedException", text))
            }
        }
    }

    /// Does something for another account in the same transaction, as a service of it.
    pub(crate) fn on_behalf<T>(
        &mut self,
        service: &'static str,
        (account, region): (&str, &str),
        f: impl FnOnce(&mut Cx<'_>) -> Result<T, Fault>,
    ) -> Result<T, Fault> {
        if self.caller.account == account && self.caller.region == region {
            return f(self);
        }
        let caller = Caller { depth: self.caller.depth, ..Caller::service(service, account, region) };
        let mut inner = Cx {
            tx: &mut *self.tx,
            caller: &caller,
            signals: std::mem::take(&mut self.signals),
            held: self.held.take(),
            now: self.now,
            ids: self.ids,
            limits: self.limits,
            site: self.site,
            request_id: self.request_id,
            operation: self.operation,
            allowed: self.allowed,
            recall: self.recall,
        };
        let done = f(&mut inner);
        (self.signals, self.held) = inner.finish();
        done
    }

    /// Says that a resource's own policy has admitted the caller, signed or not.
    pub(crate) fn allowed_by_policy(&mut self) {
        self.allowed = true;
    }

    pub(crate) fn was_allowed(&self) -> bool {
        self.allowed
    }

    /// Writes down a unit of asynchronous work; it happens if and only if this transaction commits.
    pub fn deliver(&mut self, delivery: fabric::Delivery) -> Result<(), Fault> {
        fabric::enqueue(self, delivery)
    }

    pub fn signal(&mut self, signal: Signal) {
        if !self.signals.contains(&signal) {
            self.signals.push(signal);
        }
    }

    /// Says that this transaction means to take the row with this key; false if another one under way does.
    pub(crate) fn claim(&mut self, key: Vec<u8>) -> bool {
        self.held.claim(key)
    }

    pub(crate) fn finish(self) -> (Vec<Signal>, Held) {
        (self.signals, self.held)
    }

    /// An ARN of the caller's account in the caller's region.
    pub fn arn(&self, service: &str, resource: impl Into<String>) -> Arn {
        self.caller.arn(service, resource)
    }
}
