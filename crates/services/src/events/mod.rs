//! EventBridge: events go to a bus, rules choose among them, and targets get what was chosen.
//!
//! What is here so far is the language of rules (`crate::pattern`), open to be tried.

mod faults;
mod patterns;
#[cfg(test)]
mod tests;

use crate::Service;
use mayfly_wire::Protocol;

pub fn service() -> Service {
    Service::json("events", Protocol::Json11, "AWSEvents").view("TestEventPattern", patterns::test)
}
