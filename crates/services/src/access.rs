//! Who may do what to a resource that has a policy of its own.
//!
//! A principal may do anything in its own account, and nothing elsewhere, unless the resource's policy says
//! otherwise: a statement that denies applies to everyone, and somebody of another account needs one that
//! allows. A service that acts for a resource ([`Agent`]) is of that resource's account: it needs a statement
//! in another account alone. AWS asks one of it everywhere; templates for one machine often leave it out, and
//! there is nothing to gain by it where the account owns both sides.
//!
//! The account itself can never lock itself out: what its root does to read or change a policy, no policy
//! denies.
//!
//! A call of its own account to a resource without a policy costs a comparison: the policy is in the row of
//! the resource, which the handler reads anyway.
//!
//! `aws:SecureTransport` is always true: who puts a proxy with TLS in front decides that, and the server
//! behind it cannot tell.

use crate::Cx;
use crate::identity::Identity;
use mayfly_kernel::caller::Principal;
use mayfly_kernel::policy::{Asker, Decision, Facts, Request};
use mayfly_kernel::{Arn, Caller, Policy};

/// A service of the platform that acts for a resource of an account.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Agent<'a> {
    /// Such as `sns.amazonaws.com`.
    pub(crate) service: &'static str,
    /// The ARN of the resource.
    pub(crate) source: &'a str,
    pub(crate) account: &'a str,
}

impl<'a> Agent<'a> {
    /// `account` is of those whose ARN names none, such as buckets.
    pub(crate) fn new(service: &'static str, source: &'a str, account: &'a str) -> Agent<'a> {
        let named = source.split(':').nth(4).filter(|named| !named.is_empty());
        Agent { service, source, account: named.unwrap_or(account) }
    }
}

/// Whether a resource is the caller's own and has no policy to ask: the usual case, told by a comparison.
pub(crate) fn is_free(cx: &mut Cx<'_>, resource: &Arn, policy: &str) -> bool {
    let signed = cx.caller.principal != Principal::Anonymous;
    let free = signed && policy.is_empty() && resource.account == cx.caller.account;
    if free {
        cx.allowed_by_policy();
    }
    free
}

/// Why somebody is not let in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// Nothing says that they are.
    Silent,
    Denied,
}

impl Refusal {
    /// The sentence by which IAM says it.
    pub(crate) fn text(self, who: &str, action: &str, resource: &Arn) -> String {
        let because = match self {
            Refusal::Silent => format!("because no resource-based policy allows the {action} action"),
            Refusal::Denied => "with an explicit deny in a resource-based policy".to_owned(),
        };
        format!("User: {who} is not authorized to perform: {action} on resource: {resource} {because}")
    }
}

/// The policy of a resource, if it has one.
pub(crate) enum Document<'a> {
    /// As it was set; empty for none.
    Text(&'a str),
    Read(Option<&'a Policy>),
}

impl Document<'_> {
    fn is_none(&self) -> bool {
        matches!(self, Document::Text("") | Document::Read(None))
    }

    /// A stored document that is no policy says nothing.
    fn decide(&self, request: &Request<'_>) -> Decision {
        let read: Policy;
        let policy = match self {
            Document::Read(policy) => *policy,
            Document::Text(text) => match serde_json::from_str(text) {
                Ok(policy) => {
                    read = policy;
                    Some(&read)
                }
                Err(_) => None,
            },
        };
        policy.map_or(Decision::Silent, |policy| policy.decide(request))
    }
}

/// What is asked for.
pub(crate) struct Gate<'a> {
    pub(crate) resource: &'a Arn,
    /// Whose it is, which not every ARN says.
    pub(crate) owner: &'a str,
    /// As the service spells it in its answers, such as `sqs:sendmessage`.
    pub(crate) action: &'a str,
    pub(crate) policy: Document<'a>,
    /// What this service's own keys say of the call.
    pub(crate) facts: Facts,
    /// Reading or changing the policy itself.
    pub(crate) keeps_root_in: bool,
}

impl Gate<'_> {
    /// Whether the caller may pass.
    pub(crate) fn caller(self, cx: &mut Cx<'_>) -> Result<(), String> {
        cx.allowed_by_policy();
        let caller = cx.caller;
        let own = !caller.account.is_empty() && caller.account == self.owner;
        let always = match caller.principal {
            // The platform's own work for the account.
            Principal::Service(_) => true,
            Principal::Root => self.keeps_root_in || self.policy.is_none(),
            Principal::Function(_) | Principal::Anonymous => self.policy.is_none(),
        };
        if own && always {
            return Ok(());
        }
        let (resource, action) = (self.resource, self.action);
        let decision = self.policy.decide(&Request {
            asker: asker(caller),
            action,
            resource: &resource.to_string(),
            facts: &with_common(cx, of_caller(caller, self.facts)),
        });
        verdict(decision, own).map_err(|refusal| refusal.text(&name_of(caller), action, resource))
    }

    /// Whether a service that acts for a resource may pass.
    pub(crate) fn agent(self, cx: &Cx<'_>, agent: &Agent<'_>) -> Result<(), String> {
        let own = agent.account == self.owner;
        if own && self.policy.is_none() {
            return Ok(());
        }
        self.asked_of(cx, agent, own)
    }

    /// The same where a service needs a statement in its own account too.
    pub(crate) fn agent_by_statement(self, cx: &Cx<'_>, agent: &Agent<'_>) -> Result<(), String> {
        self.asked_of(cx, agent, false)
    }

    fn asked_of(self, cx: &Cx<'_>, agent: &Agent<'_>, own: bool) -> Result<(), String> {
        let decision = self.policy.decide(&Request {
            asker: Asker::Service { name: agent.service, account: agent.account },
            action: self.action,
            resource: &self.resource.to_string(),
            facts: &with_common(cx, of_agent(agent, self.facts)),
        });
        verdict(decision, own).map_err(|refusal| refusal.text(agent.service, self.action, self.resource))
    }

    /// Whether somebody without a signature may pass.
    pub(crate) fn anyone(self, cx: &Cx<'_>) -> bool {
        let facts = &with_common(cx, self.facts);
        let resource = &self.resource.to_string();
        let request = Request { asker: Asker::Anonymous, action: self.action, resource, facts };
        self.policy.decide(&request) == Decision::Allowed
    }
}

fn verdict(decision: Decision, own: bool) -> Result<(), Refusal> {
    match decision {
        Decision::Denied => Err(Refusal::Denied),
        Decision::Allowed => Ok(()),
        Decision::Silent if own => Ok(()),
        Decision::Silent => Err(Refusal::Silent),
    }
}

/// As faults name a caller.
pub(crate) fn name_of(caller: &Caller) -> String {
    match &caller.principal {
        Principal::Service(name) => (*name).to_owned(),
        Principal::Anonymous => "anonymous".to_owned(),
        Principal::Root | Principal::Function(_) => Identity::of(caller).arn.to_string(),
    }
}

fn asker(caller: &Caller) -> Asker<'_> {
    let account = caller.account.as_str();
    match &caller.principal {
        Principal::Anonymous => Asker::Anonymous,
        Principal::Service(name) => Asker::Service { name, account },
        Principal::Root => Asker::Of { account, arns: vec![Identity::of(caller).arn.to_string()] },
        Principal::Function(_) => {
            let arns = vec![Identity::of(caller).arn.to_string(), principal_arn(caller)];
            Asker::Of { account, arns }
        }
    }
}

/// The principal as conditions name it: of a session the role, which for a function has the function's name.
fn principal_arn(caller: &Caller) -> String {
    match &caller.principal {
        Principal::Function(function) => {
            let name = function.resource.trim_start_matches("function:");
            Arn::new("iam", "", &caller.account, format!("role/{name}")).to_string()
        }
        Principal::Root | Principal::Service(_) | Principal::Anonymous => {
            Identity::of(caller).arn.to_string()
        }
    }
}

fn of_caller(caller: &Caller, facts: Facts) -> Facts {
    let facts = match caller.address {
        Some(address) => facts.with("aws:SourceIp", address.to_string()),
        None => facts,
    };
    let facts = facts.with("aws:PrincipalIsAWSService", "false").with("aws:SecureTransport", "true");
    let kind = match &caller.principal {
        Principal::Anonymous => return facts.with("aws:PrincipalType", "Anonymous"),
        Principal::Function(_) => "AssumedRole",
        Principal::Root | Principal::Service(_) => "Account",
    };
    facts
        .with("aws:PrincipalType", kind)
        .with("aws:PrincipalArn", principal_arn(caller))
        .with("aws:PrincipalAccount", &*caller.account)
        .with("aws:userid", Identity::of(caller).user_id)
        // What SNS's default policy asks for.
        .with("aws:SourceOwner", &*caller.account)
}

fn of_agent(agent: &Agent<'_>, facts: Facts) -> Facts {
    facts
        .with("aws:SourceArn", agent.source)
        .with("aws:SourceAccount", agent.account)
        .with("aws:SourceOwner", agent.account)
        .with("aws:PrincipalServiceName", agent.service)
        .with("aws:PrincipalIsAWSService", "true")
        .with("aws:SecureTransport", "true")
}

/// What may be asked of every request.
fn with_common(cx: &Cx<'_>, facts: Facts) -> Facts {
    facts
        .with("aws:CurrentTime", mayfly_wire::time::iso8601(cx.now))
        .with("aws:EpochTime", cx.now.secs().to_string())
        .with("aws:RequestedRegion", &*cx.caller.region)
}
