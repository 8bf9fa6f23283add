//! Deliveries: as they are asked for, as they are stored, and how they end.

use crate::Cx;
use mayfly_kernel::{Arn, Caller, Fault, Time};

/// Where a delivery goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// A function, by its ARN, qualified if a version or alias is meant.
    Function(Arn),
    /// Work of the platform itself: preparing a version to run.
    Prepare { function: Arn, version: String },
    /// Work of the platform itself: moving the messages of this dead-letter queue, for a task.
    Redrive(Arn),
    /// What a rule, a schedule or a pipe could not hand over to this target, to be tried again.
    Parcel(Arn),
    /// Work of the platform itself: the schedule or the rule with this ARN falls due.
    Timer(Arn),
    /// Work of the platform itself: putting archived events on a bus again, for a replay.
    Replay(Arn),
    /// A web endpoint that has subscribed to a topic.
    Webhook { subscription: Arn, url: String },
    /// A mailbox that has subscribed to a topic.
    Mail { subscription: Arn, address: String },
    /// A phone, for the operator's gateway of text messages; from a subscription, or from the account.
    Text { sender: Arn, number: String },
    /// An app on a device, by its ARN, for the operator's gateway; from a subscription, or from itself.
    Push { sender: Arn, endpoint: String },
    /// An API destination; or a connection that wants its first token.
    Call(Arn),
}

impl Target {
    /// What may not starve each other: one lane per function, one for the platform's work on it.
    pub fn lane(&self) -> String {
        match self {
            Target::Function(arn) => format!("function {}", unqualified(arn)),
            Target::Prepare { function, .. } => format!("prepare {}", unqualified(function)),
            Target::Redrive(queue) => format!("redrive {queue}"),
            Target::Parcel(arn) => format!("parcel {arn}"),
            // A firing is one short transaction, so all of an account share a lane: a schedule that rests
            // costs its row and nothing in memory.
            Target::Timer(arn) => format!("timers {} {}", arn.account, arn.region),
            Target::Replay(arn) => format!("replay {arn}"),
            Target::Webhook { url, .. } => format!("webhook {url}"),
            // One server takes all of these, so that is what they wait for.
            Target::Mail { .. } => "mail".to_owned(),
            Target::Text { .. } => "texts".to_owned(),
            Target::Push { .. } => "push".to_owned(),
            Target::Call(arn) => format!("call {arn}"),
        }
    }
}

/// A function's ARN without version or alias.
fn unqualified(arn: &Arn) -> Arn {
    let mut arn = arn.clone();
    if let Some(name) = arn.resource.strip_prefix("function:")
        && let Some(colon) = name.find(':')
    {
        arn.resource.truncate("function:".len() + colon);
    }
    arn
}

/// A delivery that is asked for.
#[derive(Clone, Debug)]
pub struct Delivery {
    pub target: Target,
    /// What happened, in the form of a CloudEvents `type`.
    pub event_type: String,
    pub payload: Vec<u8>,
    /// The ARN of what caused it.
    pub source: String,
    /// Its stable id, if the one who asks has told it to a caller already.
    pub id: Option<String>,
    /// Not before this time; at once if `None`.
    pub due: Option<Time>,
    /// How many deliveries led to this one.
    pub depth: u32,
    /// Whom it is for, if the target is a function that keeps tenants apart.
    pub tenant: Option<String>,
}

/// A delivery as it is stored. Tags are for ever.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct Record {
    #[prost(string, tag = "1")]
    pub id: String,
    #[prost(enumeration = "Kind", tag = "2")]
    pub kind: i32,
    /// The target's ARN.
    #[prost(string, tag = "3")]
    pub arn: String,
    /// Of a `Prepare` target: the version. Of `Webhook`, `Mail`, `Text` and `Push`: where it goes.
    #[prost(string, tag = "4")]
    pub version: String,
    #[prost(string, tag = "5")]
    pub event_type: String,
    #[prost(bytes = "vec", tag = "6")]
    pub payload: Vec<u8>,
    #[prost(string, tag = "7")]
    pub source: String,
    #[prost(uint64, tag = "8")]
    pub enqueued_ms: u64,
    /// How often it has been claimed, the running claim included.
    #[prost(uint32, tag = "9")]
    pub attempt: u32,
    #[prost(uint32, tag = "10")]
    pub depth: u32,
    #[prost(string, tag = "11")]
    pub account: String,
    #[prost(string, tag = "12")]
    pub region: String,
    /// Why it was given up.
    #[prost(string, tag = "13")]
    pub last_error: String,
    #[prost(string, optional, tag = "14")]
    pub tenant: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, prost::Enumeration)]
#[repr(i32)]
pub enum Kind {
    Unspecified = 0,
    Function = 1,
    Prepare = 2,
    Redrive = 3,
    Parcel = 4,
    Timer = 5,
    Replay = 6,
    Webhook = 7,
    Call = 8,
    Mail = 20,
    Text = 21,
    Push = 22,
}

impl Record {
    pub(super) fn new(cx: &Cx<'_>, delivery: Delivery) -> Record {
        // What a function does is of its own account, whoever has asked for it.
        let (account, region) = match &delivery.target {
            Target::Function(arn) | Target::Prepare { function: arn, .. } => (&arn.account, &arn.region),
            _ => (&cx.caller.account, &cx.caller.region),
        };
        let (account, region) = (account.clone(), region.clone());
        let (kind, arn, version) = match delivery.target {
            Target::Function(arn) => (Kind::Function, arn, String::new()),
            Target::Prepare { function, version } => (Kind::Prepare, function, version),
            Target::Redrive(queue) => (Kind::Redrive, queue, String::new()),
            Target::Parcel(arn) => (Kind::Parcel, arn, String::new()),
            Target::Timer(arn) => (Kind::Timer, arn, String::new()),
            Target::Replay(arn) => (Kind::Replay, arn, String::new()),
            Target::Webhook { subscription, url } => (Kind::Webhook, subscription, url),
            Target::Mail { subscription, address } => (Kind::Mail, subscription, address),
            Target::Text { sender, number } => (Kind::Text, sender, number),
            Target::Push { sender, endpoint } => (Kind::Push, sender, endpoint),
            Target::Call(arn) => (Kind::Call, arn, String::new()),
        };
        Record {
            id: delivery.id.unwrap_or_else(|| cx.ids.uuid()),
            kind: kind.into(),
            account,
            region,
            arn: arn.to_string(),
            version,
            event_type: delivery.event_type,
            payload: delivery.payload,
            source: delivery.source,
            enqueued_ms: cx.now.ms(),
            attempt: 0,
            depth: delivery.depth,
            last_error: String::new(),
            tenant: delivery.tenant,
        }
    }

    pub fn target(&self) -> Result<Target, Fault> {
        let arn = || self.arn.parse::<Arn>().map_err(|e| Fault::internal("read a delivery", e));
        match self.kind() {
            Kind::Function => Ok(Target::Function(arn()?)),
            Kind::Prepare => Ok(Target::Prepare { function: arn()?, version: self.version.clone() }),
            Kind::Redrive => Ok(Target::Redrive(arn()?)),
            Kind::Parcel => Ok(Target::Parcel(arn()?)),
            Kind::Timer => Ok(Target::Timer(arn()?)),
            Kind::Replay => Ok(Target::Replay(arn()?)),
            Kind::Webhook => Ok(Target::Webhook { subscription: arn()?, url: self.version.clone() }),
            Kind::Mail => Ok(Target::Mail { subscription: arn()?, address: self.version.clone() }),
            Kind::Text => Ok(Target::Text { sender: arn()?, number: self.version.clone() }),
            Kind::Push => Ok(Target::Push { sender: arn()?, endpoint: self.version.clone() }),
            Kind::Call => Ok(Target::Call(arn()?)),
            Kind::Unspecified => Err(Fault::internal("read a delivery", "it has no target")),
        }
    }

    pub fn enqueued(&self) -> Time {
        Time::from_ms(self.enqueued_ms)
    }

    /// The service that acts for the account when the delivery is performed.
    pub fn caller(&self) -> Caller {
        Caller::service("fabric.mayfly", &self.account, &self.region)
    }
}

/// How a flight ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    Done,
    /// It failed and is tried again.
    Retry {
        at: Time,
    },
    /// It could not even start, as when the target is throttled; this does not count as an attempt.
    Postpone {
        at: Time,
    },
    /// It is given up, and nobody asked to be told.
    Dead {
        reason: String,
    },
}
