//! Stored records of pipes. Tags are for ever.

use super::parameters::{EnrichmentParameters, SourceParameters, TargetParameters};
use mayfly_kernel::{Arn, Fault};
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::collections::BTreeMap;

#[derive(Clone, PartialEq, Eq, prost::Message)]
pub(super) struct Pipe {
    #[prost(uint64, tag = "1")]
    pub(super) created_ms: u64,
    #[prost(uint64, tag = "2")]
    pub(super) modified_ms: u64,
    #[prost(string, tag = "3")]
    pub(super) description: String,
    /// It is to run.
    #[prost(bool, tag = "4")]
    pub(super) running: bool,
    #[prost(enumeration = "Phase", tag = "5")]
    pub(super) phase: i32,
    /// Grows with every change that was asked for.
    #[prost(uint64, tag = "6")]
    pub(super) generation: u64,
    #[prost(string, tag = "7")]
    pub(super) source: String,
    /// Empty if there is none.
    #[prost(string, tag = "8")]
    pub(super) enrichment: String,
    #[prost(string, tag = "9")]
    pub(super) target: String,
    #[prost(string, tag = "10")]
    pub(super) role: String,
    /// The parameters are documents in the words of the API.
    #[prost(string, tag = "11")]
    pub(super) source_parameters: String,
    #[prost(string, tag = "12")]
    pub(super) enrichment_parameters: String,
    #[prost(string, tag = "13")]
    pub(super) target_parameters: String,
    #[prost(btree_map = "string, string", tag = "14")]
    pub(super) tags: BTreeMap<String, String>,
}

/// How far a line of a broker has been read.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub(super) struct CursorRow {
    /// What comes next.
    #[prost(int64, tag = "1")]
    pub(super) next: i64,
}

/// How the last batch of a broker's records went.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub(super) struct ResultRow {
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
    Starting = 3,
    Stopping = 4,
    Deleting = 5,
}

fn read<T: DeserializeOwned + Default>(document: &str) -> Result<T, Fault> {
    match document {
        "" => Ok(T::default()),
        text => serde_json::from_str(text).map_err(|e| Fault::internal("read a pipe's parameters", e)),
    }
}

fn written(parameters: &impl Serialize) -> Result<String, Fault> {
    serde_json::to_string(parameters).map_err(|e| Fault::internal("write a pipe's parameters", e))
}

impl Pipe {
    pub(super) fn state(&self) -> &'static str {
        match self.phase() {
            Phase::Settled if self.running => "RUNNING",
            Phase::Settled => "STOPPED",
            Phase::Creating => "CREATING",
            Phase::Updating => "UPDATING",
            Phase::Starting => "STARTING",
            Phase::Stopping => "STOPPING",
            Phase::Deleting => "DELETING",
        }
    }

    pub(super) fn desired(&self) -> &'static str {
        if self.running { "RUNNING" } else { "STOPPED" }
    }

    pub(super) fn source_arn(&self) -> Result<Arn, Fault> {
        self.source.parse().map_err(|e| Fault::internal("read a pipe's source", e))
    }

    pub(super) fn source_parameters(&self) -> Result<SourceParameters, Fault> {
        read(&self.source_parameters)
    }

    pub(super) fn enrichment_parameters(&self) -> Result<EnrichmentParameters, Fault> {
        read(&self.enrichment_parameters)
    }

    pub(super) fn target_parameters(&self) -> Result<TargetParameters, Fault> {
        read(&self.target_parameters)
    }

    pub(super) fn set_source_parameters(&mut self, parameters: &SourceParameters) -> Result<(), Fault> {
        self.source_parameters = written(parameters)?;
        Ok(())
    }

    pub(super) fn set_enrichment_parameters(&mut self, to: &EnrichmentParameters) -> Result<(), Fault> {
        self.enrichment_parameters = written(to)?;
        Ok(())
    }

    pub(super) fn set_target_parameters(&mut self, parameters: &TargetParameters) -> Result<(), Fault> {
        self.target_parameters = written(parameters)?;
        Ok(())
    }
}
