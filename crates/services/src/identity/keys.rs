//! The installation's own keys, and the way from an access key to its secret.

use super::links::LinkSeal;
use super::sessions::{self, Session};
use crate::spaces;
use mayfly_kernel::caller::Principal;
use mayfly_kernel::ids::Ids;
use mayfly_kernel::{Arn, Caller, Fault, Time};
use mayfly_store::{Map, Tx};

const META: Map<(String,), RootKey> = Map::new(spaces::META);
/// The name of the first account's key; another account's has its number behind it.
const ROOT_KEY: &str = "root-key";

/// The key that owns an account, and of the first one the seal of session tokens. Made once, at first start.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct RootKey {
    #[prost(string, tag = "1")]
    pub access_key: String,
    #[prost(string, tag = "2")]
    pub secret_key: String,
    #[prost(bytes = "vec", tag = "3")]
    pub session_seal: Vec<u8>,
}

/// Knows the secret of every access key. Immutable after start, so looking a key up takes no lock and no
/// read.
pub struct Keyring {
    root: RootKey,
    account: String,
    /// More accounts of this installation, and the keys that own them.
    others: Vec<(String, RootKey)>,
    region: String,
    is_new: bool,
}

impl Keyring {
    /// The stored keys, or new ones in the caller's transaction.
    pub fn load_or_create(
        tx: &mut Tx,
        ids: &Ids,
        (account, others): (&str, &[String]),
        region: &str,
    ) -> Result<Keyring, Fault> {
        let (root, is_new) = load_or_make(tx, ids, ROOT_KEY.to_owned(), true)?;
        let others = others.iter().map(|account| {
            let (key, _) = load_or_make(tx, ids, format!("{ROOT_KEY}/{account}"), false)?;
            Ok((account.clone(), key))
        });
        let others = others.collect::<Result<_, Fault>>()?;
        Ok(Keyring { root, account: account.into(), others, region: region.into(), is_new })
    }

    /// Whether the root key was made just now, which is once in an installation's life.
    pub fn is_new(&self) -> bool {
        self.is_new
    }

    /// The other accounts' keys, by account.
    pub fn others(&self) -> &[(String, RootKey)] {
        &self.others
    }

    pub fn root(&self) -> &RootKey {
        &self.root
    }

    /// The secret of an access key and whose it is; `None` if there is no such key or its token is not valid.
    pub fn find(&self, access_key: &str, session_token: Option<&str>, now: Time) -> Option<(String, Caller)> {
        match session_token {
            None => {
                let root = std::iter::once((&self.account, &self.root));
                let mut keys = root.chain(self.others.iter().map(|(account, key)| (account, key)));
                let (account, key) = keys.find(|(_, key)| key.access_key == access_key)?;
                let caller = self.caller(access_key, Principal::Root);
                Some((key.secret_key.clone(), Caller { account: account.clone(), ..caller }))
            }
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
            address: None,
        }
    }
}

/// The stored key of this name, or a new one, and whether it is new.
fn load_or_make(tx: &mut Tx, ids: &Ids, name: String, seals: bool) -> Result<(RootKey, bool), Fault> {
    let name = (name,);
    if let Some(key) = META.get(tx, &name)? {
        return Ok((key, false));
    }
    let key = RootKey {
        access_key: format!("AKIA{}", ids.pick(16, b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567")),
        secret_key: ids.pick(40, b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"),
        session_seal: if seals { ids.bytes::<32>().to_vec() } else { Vec::new() },
    };
    META.put(tx, &name, &key);
    Ok((key, true))
}
