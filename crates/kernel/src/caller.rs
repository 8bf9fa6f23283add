//! Who makes a call.

use crate::Arn;
use std::net::IpAddr;

/// A caller whose signature has been verified, or the platform itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Caller {
    pub account: String,
    pub region: String,
    pub principal: Principal,
    /// The key that signed the call; empty for the platform.
    pub access_key: String,
    /// How many invocations of functions led to this call, one from another.
    pub depth: u32,
    /// Where the call came from, if over the network.
    pub address: Option<IpAddr>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Principal {
    /// The owner of the account.
    Root,
    /// A function's instance, by the session credentials it was started with.
    Function(Arn),
    /// A service of Mayfly acting for an account, as `s3.amazonaws.com` does when it invokes a function.
    Service(&'static str),
    /// No signature: public buckets, function URLs without authentication.
    Anonymous,
}

impl Caller {
    pub fn service(name: &'static str, account: &str, region: &str) -> Caller {
        Caller {
            account: account.into(),
            region: region.into(),
            principal: Principal::Service(name),
            access_key: String::new(),
            depth: 0,
            address: None,
        }
    }

    /// The ARN of one of this caller's own resources.
    pub fn arn(&self, service: &str, resource: impl Into<String>) -> Arn {
        Arn::new(service, &self.region, &self.account, resource)
    }
}
