//! The wire from outside: published vectors, an independent signer's requests, and arbitrary input.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod chunked;
mod codec;
mod route;
mod sigv4;
mod vectors;
mod xml;
