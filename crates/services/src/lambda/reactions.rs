//! What becomes of a version once it has been made ready ahead of its first invocation.

use super::keys::VERSIONS;
use super::model::{State, Update};
use super::{lifecycle, resolve};
use crate::Cx;
use mayfly_kernel::{Arn, Fault};

/// What was done ahead for a version.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Prepared {
    /// For whoever deploys.
    pub warnings: Vec<String>,
    /// Whether its instances start from a snapshot.
    pub snapshot: bool,
}

/// Why a version cannot be made ready, in words and in a word.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NotReady {
    pub why: Why,
    pub reason: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Why {
    /// Its code is not what can be run here.
    Code,
    /// The registry does not let us have its image.
    ImageAccessDenied,
    /// The image is not in the registry any more.
    ImageDeleted,
    /// Its module code does not run, or not in time.
    InitError,
    InitTimeout,
    /// It may be well another time: the registry is out of reach, or the disk is full.
    Internal,
}

impl From<String> for NotReady {
    fn from(reason: String) -> NotReady {
        NotReady { why: Why::Code, reason }
    }
}

impl From<&str> for NotReady {
    fn from(reason: &str) -> NotReady {
        reason.to_owned().into()
    }
}

/// Notes that the version with this id is ready, with warnings for whoever deploys, or why it cannot be.
/// A version that has been changed since is left alone: its own preparation is under way.
pub fn prepared(
    cx: &mut Cx<'_>,
    function: &Arn,
    version: &str,
    result: &Result<Prepared, NotReady>,
) -> Result<(), Fault> {
    cx.allowed_by_policy();
    let function = resolve::of_arn(function)?;
    let Some(mut row) = resolve::by_id(cx, &function, version)? else { return Ok(()) };
    let updated = row.update() != Update::Unspecified;
    match result {
        Ok(Prepared { warnings, snapshot }) => {
            row.set_state(State::Active);
            row.snapshot = *snapshot;
            // AWS leaves the reason of an active version empty; here a person looks for what to heed.
            row.state_reason = warnings.join(" ");
            row.state_reason_code = String::new();
            if updated {
                row.set_update(Update::Successful);
                (row.update_reason, row.update_reason_code) = Default::default();
            }
            lifecycle::forget_previous(cx, &mut row)?;
        }
        Err(NotReady { why, reason }) => {
            let code = match (why, row.runtime.as_str()) {
                (Why::ImageAccessDenied, _) => "ImageAccessDenied",
                (Why::ImageDeleted, _) => "ImageDeleted",
                (Why::Internal, _) => "InternalError",
                (Why::InitError, _) => "FunctionError.RuntimeInitError",
                (Why::InitTimeout, _) => "FunctionError.InitTimeout",
                (Why::Code, _) if row.image.is_some() => "InvalidImage",
                (Why::Code, "wasm") => "InvalidZipFileException",
                (Why::Code, _) => "InvalidRuntime",
            };
            // A function that ran before its last change is still there; one that never ran is not.
            if row.generation == 1 || row.state() == State::Pending {
                row.set_state(State::Failed);
                row.state_reason.clone_from(reason);
                row.state_reason_code = code.into();
            }
            if updated {
                row.set_update(Update::Failed);
                row.update_reason.clone_from(reason);
                row.update_reason_code = code.into();
            }
        }
    }
    row.revision_id = cx.ids.uuid();
    VERSIONS.put(cx.tx, &function.version_key(row.number), &row);
    Ok(())
}
