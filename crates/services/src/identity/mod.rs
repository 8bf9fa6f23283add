//! Who callers are: the accounts' root keys, the session credentials of functions, and STS's view of them.
//!
//! A root key is made at first start, for each account that the configuration names, and kept in the store. A
//! function's credentials are not stored at all: its session token names the function and is sealed with a
//! key of this installation, and the secret is derived from the access key, so any number of instances costs
//! no rows.
//!
//! Deliberately absent: users, roles and policies. They come with access control.
//!
//! Keys: `META("root-key")`, `META("root-key/ACCOUNT")`.

mod keys;
mod links;
mod sessions;
mod sts;

pub use keys::{Keyring, RootKey};
pub use links::LinkSeal;
pub use sessions::Session;
pub use sts::Identity;

use crate::Service;

/// STS, as far as it answers without roles.
pub fn service() -> Service {
    Service::query("sts", "https://sts.amazonaws.com/doc/2011-06-15/")
        .view("GetCallerIdentity", sts::get_caller_identity)
}
