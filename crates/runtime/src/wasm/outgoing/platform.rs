//! The AWS APIs of Mayfly for a guest: a connection within the process, which is the guest's identity as a
//! socket is that of a sandbox.

use super::hosts::{Scheme, Target};
use crate::launcher::PLATFORM_PORT;
use crate::platform::{Platform, SessionCredentials, Wire};
use mayfly_kernel::function::Version;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::sync::atomic::AtomicU32;

/// What of a conversation waits for its reader, each way.
const BUFFER_BYTES: usize = 64 * 1024;

/// The way of one guest to the platform.
#[derive(Clone)]
pub(in crate::wasm) struct Link {
    platform: Arc<dyn Platform>,
    version: Arc<Version>,
    /// How many invocations lead to what the guest calls.
    depth: Arc<AtomicU32>,
}

impl Link {
    pub(in crate::wasm) fn new(platform: Arc<dyn Platform>, version: Arc<Version>, depth: u32) -> Link {
        Link { platform, version, depth: Arc::new(AtomicU32::new(depth)) }
    }

    /// The variables by which AWS's clients find the platform and sign what they send.
    pub(in crate::wasm) fn variables(&self) -> [(&'static str, String); 6] {
        let SessionCredentials { access_key, secret_key, session_token } =
            self.platform.credentials(&self.version);
        let region = &self.version.function.region;
        [
            ("AWS_ENDPOINT_URL", format!("http://127.0.0.1:{PLATFORM_PORT}")),
            ("AWS_REGION", region.clone()),
            ("AWS_DEFAULT_REGION", region.clone()),
            ("AWS_ACCESS_KEY_ID", access_key),
            ("AWS_SECRET_ACCESS_KEY", secret_key),
            ("AWS_SESSION_TOKEN", session_token),
        ]
    }

    pub(super) fn is_for(&self, target: &Target) -> bool {
        target.scheme == Scheme::Http
            && target.port == PLATFORM_PORT
            && target.address() == Some(IpAddr::V4(Ipv4Addr::LOCALHOST))
    }

    /// A new connection. Its other end is served until this one is dropped.
    pub(super) fn dial(&self) -> Box<dyn Wire> {
        let (ours, theirs) = tokio::io::duplex(BUFFER_BYTES);
        tokio::spawn(self.platform.serve(self.version.clone(), Box::new(theirs), self.depth.clone()));
        Box::new(ours)
    }
}
