//! The wire from outside: published vectors, an independent signer's requests, and arbitrary input.

mod chunked;
mod codec;
mod route;
mod sigv4;
mod vectors;
mod xml;
