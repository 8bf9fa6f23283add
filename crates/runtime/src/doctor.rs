//! What this machine allows, and what each lack costs: the findings behind `mayfly doctor`.

/// One finding.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Check {
    pub name: String,
    pub ok: bool,
    pub found: String,
    /// What is worse when this is missing.
    pub costs: String,
}

pub fn doctor() -> Vec<Check> {
    Vec::new()
}
