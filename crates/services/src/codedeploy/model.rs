//! Stored records of CodeDeploy, and how a deployment's traffic moves. Tags are for ever.

use std::collections::BTreeMap;
use std::time::Duration;

/// Shares are kept in thousandths, so that a linear deployment adds up exactly.
pub(super) const WHOLE: u32 = 1000;

#[derive(Clone, PartialEq, Eq, prost::Message)]
pub(super) struct Application {
    #[prost(string, tag = "1")]
    pub(super) id: String,
    #[prost(uint64, tag = "2")]
    pub(super) created_ms: u64,
    #[prost(btree_map = "string, string", tag = "3")]
    pub(super) tags: BTreeMap<String, String>,
}

#[derive(Clone, PartialEq, Eq, prost::Message)]
pub(super) struct Group {
    #[prost(string, tag = "1")]
    pub(super) id: String,
    #[prost(string, tag = "2")]
    pub(super) config: String,
    #[prost(string, tag = "3")]
    pub(super) role: String,
    #[prost(message, repeated, tag = "4")]
    pub(super) triggers: Vec<Trigger>,
    #[prost(message, optional, tag = "5")]
    pub(super) alarms: Option<Alarms>,
    #[prost(message, optional, tag = "6")]
    pub(super) rollback: Option<Rollback>,
    #[prost(btree_map = "string, string", tag = "7")]
    pub(super) tags: BTreeMap<String, String>,
    /// The last deployment, and the last one that succeeded.
    #[prost(string, tag = "8")]
    pub(super) attempted: String,
    #[prost(string, tag = "9")]
    pub(super) succeeded: String,
}

/// What topic is told of which events.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub(super) struct Trigger {
    #[prost(string, tag = "1")]
    pub(super) name: String,
    #[prost(string, tag = "2")]
    pub(super) topic: String,
    #[prost(string, repeated, tag = "3")]
    pub(super) events: Vec<String>,
}

/// The alarms that stop a deployment.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub(super) struct Alarms {
    #[prost(bool, tag = "1")]
    pub(super) enabled: bool,
    #[prost(string, repeated, tag = "2")]
    pub(super) names: Vec<String>,
    /// Kept: our alarms are always there to be asked.
    #[prost(bool, tag = "3")]
    pub(super) ignore_poll_failure: bool,
}

impl Alarms {
    /// The names that count.
    pub(super) fn watched(&self) -> &[String] {
        if self.enabled { &self.names } else { &[] }
    }
}

#[derive(Clone, PartialEq, Eq, prost::Message)]
pub(super) struct Rollback {
    #[prost(bool, tag = "1")]
    pub(super) enabled: bool,
    #[prost(string, repeated, tag = "2")]
    pub(super) events: Vec<String>,
}

/// What ends a deployment early; each is an event by which a roll-back may be asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    Failure,
    Alarm,
    Request,
}

impl End {
    pub(super) const ALL: [End; 3] = [End::Failure, End::Alarm, End::Request];

    pub(super) fn event(self) -> &'static str {
        match self {
            End::Failure => "DEPLOYMENT_FAILURE",
            End::Alarm => "DEPLOYMENT_STOP_ON_ALARM",
            End::Request => "DEPLOYMENT_STOP_ON_REQUEST",
        }
    }
}

impl Rollback {
    pub(super) fn wants(&self, end: End) -> bool {
        self.enabled && self.events.iter().any(|event| event == end.event())
    }
}

#[derive(Clone, PartialEq, Eq, prost::Message)]
pub(super) struct Config {
    #[prost(string, tag = "1")]
    pub(super) id: String,
    #[prost(uint64, tag = "2")]
    pub(super) created_ms: u64,
    #[prost(message, optional, tag = "3")]
    pub(super) routing: Option<Routing>,
}

/// How traffic moves.
#[derive(Clone, Copy, PartialEq, Eq, prost::Message)]
pub(super) struct Routing {
    #[prost(enumeration = "Way", tag = "1")]
    pub(super) way: i32,
    #[prost(uint32, tag = "2")]
    pub(super) percent: u32,
    #[prost(uint32, tag = "3")]
    pub(super) minutes: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, prost::Enumeration)]
#[repr(i32)]
pub(super) enum Way {
    AllAtOnce = 0,
    Canary = 1,
    Linear = 2,
}

impl Routing {
    pub(super) const AT_ONCE: Routing = Routing { way: Way::AllAtOnce as i32, percent: 0, minutes: 0 };

    pub(super) fn new(way: Way, percent: u32, minutes: u32) -> Routing {
        Routing { way: way.into(), percent, minutes }
    }

    /// The new version's share, in thousandths, after `share`.
    pub(super) fn next(&self, share: u32) -> u32 {
        let step = self.percent * (WHOLE / 100);
        match self.way() {
            Way::AllAtOnce => WHOLE,
            Way::Canary if share == 0 => step,
            Way::Canary => WHOLE,
            Way::Linear => (share + step).min(WHOLE),
        }
    }

    /// How long each step is looked at.
    pub(super) fn interval(&self) -> Duration {
        Duration::from_secs(60 * u64::from(self.minutes))
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, prost::Enumeration)]
#[repr(i32)]
pub(super) enum Status {
    Created = 0,
    InProgress = 1,
    Succeeded = 2,
    Failed = 3,
    Stopped = 4,
}

impl Status {
    pub(super) const ALL: [Status; 5] =
        [Status::Created, Status::InProgress, Status::Succeeded, Status::Failed, Status::Stopped];

    pub(super) fn name(self) -> &'static str {
        match self {
            Status::Created => "Created",
            Status::InProgress => "InProgress",
            Status::Succeeded => "Succeeded",
            Status::Failed => "Failed",
            Status::Stopped => "Stopped",
        }
    }

    pub(super) fn is_over(self) -> bool {
        match self {
            Status::Created | Status::InProgress => false,
            Status::Succeeded | Status::Failed | Status::Stopped => true,
        }
    }
}

#[derive(Clone, PartialEq, Eq, prost::Message)]
pub(super) struct Deployment {
    #[prost(string, tag = "1")]
    pub(super) application: String,
    #[prost(string, tag = "2")]
    pub(super) group: String,
    #[prost(string, tag = "3")]
    pub(super) config: String,
    #[prost(message, optional, tag = "4")]
    pub(super) routing: Option<Routing>,
    #[prost(enumeration = "Status", tag = "5")]
    pub(super) status: i32,
    /// The revision as it was given, as JSON.
    #[prost(string, tag = "6")]
    pub(super) revision: String,
    #[prost(message, optional, tag = "7")]
    pub(super) plan: Option<Plan>,
    /// The share, in thousandths, that the new version has.
    #[prost(uint32, tag = "8")]
    pub(super) share: u32,
    /// In the order in which they come.
    #[prost(message, repeated, tag = "9")]
    pub(super) stages: Vec<Stage>,
    #[prost(message, optional, tag = "10")]
    pub(super) waiting: Option<Waiting>,
    #[prost(uint64, tag = "11")]
    pub(super) created_ms: u64,
    #[prost(uint64, tag = "12")]
    pub(super) started_ms: u64,
    #[prost(uint64, tag = "13")]
    pub(super) completed_ms: u64,
    #[prost(string, tag = "14")]
    pub(super) description: String,
    #[prost(bool, tag = "15")]
    pub(super) of_rollback: bool,
    #[prost(string, tag = "16")]
    pub(super) error_code: String,
    #[prost(string, tag = "17")]
    pub(super) error: String,
    /// Of one that was rolled back: the deployment that did so. Of a roll-back: the one that it undid.
    #[prost(string, tag = "18")]
    pub(super) other: String,
    #[prost(message, optional, tag = "19")]
    pub(super) alarms: Option<Alarms>,
    #[prost(message, optional, tag = "20")]
    pub(super) rollback: Option<Rollback>,
    /// The alarms are the deployment's own and not the group's.
    #[prost(bool, tag = "21")]
    pub(super) own_alarms: bool,
}

impl Deployment {
    pub(super) fn routing_or_at_once(&self) -> Routing {
        self.routing.unwrap_or(Routing::AT_ONCE)
    }
}

/// What an AppSpec asks for.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub(super) struct Plan {
    /// Of the resource in the AppSpec.
    #[prost(string, tag = "1")]
    pub(super) resource: String,
    #[prost(string, tag = "2")]
    pub(super) function: String,
    #[prost(string, tag = "3")]
    pub(super) alias: String,
    #[prost(uint64, tag = "4")]
    pub(super) current: u64,
    #[prost(uint64, tag = "5")]
    pub(super) target: u64,
    /// Functions; empty if there is none.
    #[prost(string, tag = "6")]
    pub(super) before: String,
    #[prost(string, tag = "7")]
    pub(super) after: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, prost::Enumeration)]
#[repr(i32)]
pub(super) enum Moment {
    Before = 0,
    Traffic = 1,
    After = 2,
}

impl Moment {
    pub(super) fn name(self) -> &'static str {
        match self {
            Moment::Before => "BeforeAllowTraffic",
            Moment::Traffic => "AllowTraffic",
            Moment::After => "AfterAllowTraffic",
        }
    }
}

/// A lifecycle event of a deployment.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub(super) struct Stage {
    #[prost(enumeration = "Moment", tag = "1")]
    pub(super) moment: i32,
    #[prost(enumeration = "Course", tag = "2")]
    pub(super) course: i32,
    #[prost(uint64, tag = "3")]
    pub(super) started_ms: u64,
    #[prost(uint64, tag = "4")]
    pub(super) ended_ms: u64,
    /// By which a hook says how it ended.
    #[prost(string, tag = "5")]
    pub(super) execution: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, prost::Enumeration)]
#[repr(i32)]
pub(super) enum Course {
    Pending = 0,
    InProgress = 1,
    Succeeded = 2,
    Failed = 3,
    Skipped = 4,
}

impl Course {
    pub(super) fn name(self) -> &'static str {
        match self {
            Course::Pending => "Pending",
            Course::InProgress => "InProgress",
            Course::Succeeded => "Succeeded",
            Course::Failed => "Failed",
            Course::Skipped => "Skipped",
        }
    }
}

/// The delivery that a deployment waits for.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub(super) struct Waiting {
    #[prost(string, tag = "1")]
    pub(super) delivery: String,
    #[prost(uint64, tag = "2")]
    pub(super) due_ms: u64,
}

/// A row whose key says everything.
#[derive(Clone, Copy, PartialEq, Eq, prost::Message)]
pub(super) struct Mark {}

/// The deployment that is under way in a group.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub(super) struct Running {
    #[prost(string, tag = "1")]
    pub(super) deployment: String,
}
