//! The installation's own keys, and the way from an access key to its secret.

use super::links::LinkSeal;
use super::sessions::{self, Session};
use crate::spaces;
use mayfly_kernel::caller::Principal;
use mayfly_kernel::ids::Ids;
use mayfly_kernel::{Arn, Caller, Fault, Time};
use mayfly_store::{Map, Tx};

const META: Map<(String,), RootKey> = Map::new(spaces::META);
const ROOT_KEY: &str = "root-key";

/// The key that owns the account, and the seal of session tokens. Made once, at first start.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct RootKey {
    #[prost(string, tag = "1")]
    pub access_key: String,
    #[prost(string, tag = "2")]
    pub secret_key: String,
    #[prost(bytes = "vec", tag = "3")]
    pub session_seal: Vec<u8>,
}

/// Knows the secret of every access key. Immutable after start, so looking a key up takes no lock and no read.
pub struct Keyring {
    root: RootKey,
    account: String,
    region: String,
}

impl Keyring {
    /// The stored keys, or new ones in the caller's transaction.
    pub fn load_or_create(tx: &mut Tx, ids: &Ids, account: &str, region: &str) -> Result<Keyring, Fault> {
        let key = (ROOT_KEY.to_owned(),);
        let root = match META.get(tx, &key)? {
            Some(root) => root,
            None => {
                let root = RootKey {
                    access_key: format!("AKIA{}", ids.pick(16, b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567")),
                    secret_key: ids
                        .pick(40, b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"),
                    session_seal: ids.bytes::<32>().to_vec(),
                };
                META.put(tx, &key, &root);
                root
            }
        };
        Ok(Keyring { root, account: account.into(), region: region.into() })
    }

    pub fn root(&self) -> &RootKey {
        &self.root
    }

    /// The secret of an access key and whose it is; `None` if there is no such key or its token is not valid.
    pub fn find(&self, access_key: &str, session_token: Option<&str>, now: Time) -> Option<(String, Caller)> {
        match session_token {
            None if access_key == self.root.access_key => {
                Some((self.root.secret_key.clone(), self.caller(access_key, Principal::Root)))
            }
            None => None,
            Some(token) => {
                let session = sessions::open(&self.root.session_seal, access_key, token, now)?;
                let caller = self.caller(access_key, Principal::Function(session.function));
                Some((session.secret_key, Caller { account: session.account, ..caller }))
            }
        }
    }

    /// What signs links to things of this installation.
    pub fn links(&self) -> LinkSeal {
        LinkSeal::new(&self.root.session_seal)
    }

    /// Credentials for an instance of a function.
    pub fn session(&self, ids: &Ids, function: &Arn, now: Time) -> Session {
        sessions::seal(&self.root.session_seal, ids, function, now)
    }

    fn caller(&self, access_key: &str, principal: Principal) -> Caller {
        Caller {
            account: self.account.clone(),
            region: self.region.clone(),
            principal,
            access_key: access_key.into(),
            depth: 0,
        }
    }
}
