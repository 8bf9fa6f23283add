//! The words every part of Mayfly uses: time, ids, ARNs, faults, callers, policies, limits and function
//! versions.
//!
//! Standard library and serde only, so that anything may depend on it. Nothing here does I/O, except the two
//! homes of time and chance: [`time::SystemClock`] and [`ids::SystemEntropy`].

pub mod arn;
pub mod caller;
pub mod fault;
pub mod function;
pub mod ids;
pub mod limits;
pub mod network;
pub mod policy;
pub mod time;

pub use arn::Arn;
pub use caller::Caller;
pub use fault::Fault;
pub use limits::Limits;
pub use network::Network;
pub use policy::Policy;
pub use time::{Clock, Time};
