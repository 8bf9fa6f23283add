//! Stored records of event source mappings. Tags are for ever.

use super::external::ExternalRow;
#[cfg(test)]
use super::external::{Broker, Login, Position};
use mayfly_kernel::{Arn, Fault};
use std::collections::BTreeMap;

pub(super) use crate::readers::Key;

#[derive(Clone, PartialEq, Eq, prost::Message)]
pub(in crate::lambda) struct MappingRow {
    #[prost(string, tag = "1")]
    pub(super) source_arn: String,
    /// With the qualifier that was given.
    #[prost(string, tag = "2")]
    pub(super) function_arn: String,
    #[prost(bool, tag = "3")]
    pub(super) enabled: bool,
    #[prost(uint32, tag = "4")]
    pub(super) batch_size: u32,
    #[prost(uint32, tag = "5")]
    pub(super) window_s: u32,
    /// Zero: as many batches at once as there may be.
    #[prost(uint32, tag = "6")]
    pub(super) max_concurrency: u32,
    /// The function says which messages it could not handle.
    #[prost(bool, tag = "7")]
    pub(super) reports_failures: bool,
    #[prost(uint64, tag = "8")]
    pub(super) modified_ms: u64,
    #[prost(enumeration = "Phase", tag = "9")]
    pub(super) phase: i32,
    /// Grows with every change that was asked for.
    #[prost(uint64, tag = "10")]
    pub(super) generation: u64,
    #[prost(btree_map = "string, string", tag = "11")]
    pub(super) tags: BTreeMap<String, String>,
    /// Patterns; a message is wanted by one of them, or by there being none.
    #[prost(string, repeated, tag = "12")]
    pub(super) filters: Vec<String>,
    /// The source, if it is outside of Mayfly. It has no ARN then.
    #[prost(message, optional, tag = "13")]
    pub(super) external: Option<ExternalRow>,
}

/// How far a line of an external source has been read: the broker does not keep it for us.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub(in crate::lambda) struct CursorRow {
    /// What comes next.
    #[prost(int64, tag = "1")]
    pub(super) next: i64,
}

/// How the last batch of a mapping went.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub(in crate::lambda) struct ResultRow {
    #[prost(string, tag = "1")]
    pub(super) text: String,
}

/// On the way to what was asked for, or there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, prost::Enumeration)]
#[repr(i32)]
pub(super) enum Phase {
    Settled = 0,
    Creating = 1,
    Updating = 2,
    Enabling = 3,
    Disabling = 4,
    Deleting = 5,
}

/// A row whose key says everything.
#[derive(Clone, Copy, PartialEq, Eq, prost::Message)]
pub(in crate::lambda) struct Mark {}

impl MappingRow {
    /// One with every member set.
    #[cfg(test)]
    pub(in crate::lambda) fn golden() -> MappingRow {
        MappingRow {
            source_arn: "s".into(),
            function_arn: "f".into(),
            enabled: true,
            batch_size: 1,
            window_s: 2,
            max_concurrency: 3,
            reports_failures: true,
            modified_ms: 4,
            phase: Phase::Deleting.into(),
            generation: 6,
            tags: BTreeMap::from([("k".to_owned(), "v".to_owned())]),
            filters: vec!["p".into()],
            external: Some(ExternalRow {
                broker: Broker::PostgreSql.into(),
                endpoints: vec!["e".into()],
                topic: "t".into(),
                virtual_host: "v".into(),
                login: Login::Scram512.into(),
                secret: "s".into(),
                group: "g".into(),
                position: Position::AtTimestamp.into(),
                position_ms: 1,
                retries: Some(2),
                max_age_s: Some(3),
                bisects: true,
                on_failure: "f".into(),
            }),
        }
    }

    pub(super) fn source(&self) -> Result<Arn, Fault> {
        self.source_arn.parse().map_err(|e| Fault::internal("read a mapping's source", e))
    }

    pub(super) fn function(&self) -> Result<Arn, Fault> {
        self.function_arn.parse().map_err(|e| Fault::internal("read a mapping's function", e))
    }

    pub(super) fn state(&self) -> &'static str {
        match self.phase() {
            Phase::Settled if self.enabled => "Enabled",
            Phase::Settled => "Disabled",
            Phase::Creating => "Creating",
            Phase::Updating => "Updating",
            Phase::Enabling => "Enabling",
            Phase::Disabling => "Disabling",
            Phase::Deleting => "Deleting",
        }
    }
}
