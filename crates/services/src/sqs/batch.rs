//! What all batch calls have in common: ids, limits, and answers entry by entry.

use super::faults;
use super::model::{BATCH, is_word};
use mayfly_kernel::Fault;
use serde::Serialize;

/// An entry that failed while others may have succeeded.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Failed {
    id: String,
    sender_fault: bool,
    code: String,
    message: String,
}

impl Failed {
    pub(super) fn new(id: String, fault: Fault) -> Failed {
        let code = fault.query_code.map_or_else(|| fault.code.to_string(), str::to_owned);
        Failed { id, sender_fault: !fault.is_server(), code, message: fault.message }
    }
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Answers<T> {
    pub(super) successful: Vec<T>,
    pub(super) failed: Vec<Failed>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Done {
    pub(super) id: String,
}

impl<T> Answers<T> {
    pub(super) fn new() -> Answers<T> {
        Answers { successful: Vec::new(), failed: Vec::new() }
    }

    /// Notes how an entry went. What is the server's fault ends the whole call instead.
    pub(super) fn note(&mut self, id: String, result: Result<T, Fault>) -> Result<(), Fault> {
        match result {
            Ok(answer) => self.successful.push(answer),
            Err(fault) if fault.is_server() => return Err(fault),
            Err(fault) => self.failed.push(Failed::new(id, fault)),
        }
        Ok(())
    }
}

pub(super) fn check<'a>(ids: impl Iterator<Item = &'a str>) -> Result<(), Fault> {
    let ids: Vec<&str> = ids.collect();
    if ids.is_empty() {
        return Err(faults::empty_batch());
    }
    if ids.len() > BATCH {
        return Err(faults::too_many_entries(ids.len()));
    }
    for (place, id) in ids.iter().enumerate() {
        if !(1..=80).contains(&id.len()) || !is_word(id) {
            return Err(faults::bad_entry_id());
        }
        if ids[..place].contains(id) {
            return Err(faults::ids_not_distinct(id));
        }
    }
    Ok(())
}
