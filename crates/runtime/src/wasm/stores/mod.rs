//! Interfaces of WASI proposals that lead to Mayfly's own state: `wasi:config`, `wasi:keyvalue`,
//! `wasi:blobstore`.
//!
//! Their definitions are in `/wit` of the repository, with the versions that are served. A bucket or
//! container is open to a guest if its function names it in a variable, and otherwise denied; beyond that the
//! platform asks whether the function may, as for any call. What a component does not import costs it
//! nothing: its imports are resolved once, at its deploy.

#[expect(unreachable_pub, reason = "bindgen exports what stands for a resource")]
mod blobstore;
mod config;
#[expect(unreachable_pub, reason = "bindgen exports what stands for a resource")]
mod keyvalue;
#[expect(unreachable_pub, reason = "bindgen exports what stands for a resource")]
mod value;

use super::guest::Guest;
use crate::stores::Place;
use mayfly_kernel::function::Version;
use wasmtime::component::{HasSelf, Linker};

/// The function's variable with the buckets of keys and values that it uses.
const KEYVALUE: &str = "MAYFLY_KEYVALUE";
/// … and with the buckets of S3 that it uses as containers.
const BLOBSTORE: &str = "MAYFLY_BLOBSTORE";

#[allow(
    missing_docs,
    unused_qualifications,
    clippy::allow_attributes_without_reason,
    reason = "what bindgen writes is not ours to polish"
)]
mod bindings {
    wasmtime::component::bindgen!({
        path: "../../wit",
        world: "mayfly:guest/stores",
        imports: { default: async | trappable },
        with: {
            "wasi:io": wasmtime_wasi::p2::bindings::io,
            "wasi:keyvalue/store.bucket": super::keyvalue::Open,
            "wasi:keyvalue/atomics.cas": super::keyvalue::Seen,
            "wasi:blobstore/types.outgoing-value": super::value::OutgoingValue,
            "wasi:blobstore/types.incoming-value": super::value::IncomingValue,
            "wasi:blobstore/container.container": super::blobstore::Open,
            "wasi:blobstore/container.stream-object-names": super::blobstore::Names,
        },
    });
}

use bindings::wasi;

pub(super) fn add_to_linker(linker: &mut Linker<Guest>) -> wasmtime::Result<()> {
    wasi::config::store::add_to_linker::<_, HasSelf<Guest>>(linker, |guest| guest)?;
    wasi::keyvalue::store::add_to_linker::<_, HasSelf<Guest>>(linker, |guest| guest)?;
    wasi::keyvalue::atomics::add_to_linker::<_, HasSelf<Guest>>(linker, |guest| guest)?;
    wasi::keyvalue::batch::add_to_linker::<_, HasSelf<Guest>>(linker, |guest| guest)?;
    wasi::blobstore::types::add_to_linker::<_, HasSelf<Guest>>(linker, |guest| guest)?;
    wasi::blobstore::container::add_to_linker::<_, HasSelf<Guest>>(linker, |guest| guest)?;
    wasi::blobstore::blobstore::add_to_linker::<_, HasSelf<Guest>>(linker, |guest| guest)
}

impl Guest {
    /// A bucket or container, with this guest as the one who comes.
    fn place(&self, name: String) -> Place {
        Place { version: self.version.clone(), depth: self.depth, name }
    }
}

/// Whether the function's list in this variable has the name.
fn lists(version: &Version, variable: &str, name: &str) -> bool {
    let listed = version.environment.get(variable).map_or("", String::as_str);
    !name.is_empty() && listed.split([',', ' ', '\n', '\t']).any(|entry| entry == name)
}
