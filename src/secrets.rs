//! Secrets that the operator keeps in files: what mappings name when they log in to a broker.
//!
//! A secret is named by the ARN that it has at AWS, `arn:aws:secretsmanager:REGION:ACCOUNT:secret:NAME`, of
//! this server's account; the configuration says which file it is. A file is read whenever it is needed and
//! never kept, so it may change at any time.
//!
//! Not here: the service of AWS that keeps secrets.

use anyhow::{Context as _, bail};
use mayfly_kernel::Arn;
use mayfly_services::Site;
use std::collections::BTreeMap;
use std::path::PathBuf;

const MAX_BYTES: usize = 64 * 1024;
/// What AWS appends to a name: a hyphen and six letters or digits.
const SUFFIX: usize = 7;

/// Files by the names of secrets.
#[derive(Clone, Debug, Default)]
pub(crate) struct Secrets(BTreeMap<String, PathBuf>);

impl Secrets {
    pub(crate) fn new(files: BTreeMap<String, PathBuf>) -> Secrets {
        Secrets(files)
    }

    pub(crate) async fn read(&self, site: &Site, arn: &Arn) -> anyhow::Result<Vec<u8>> {
        let file = self.file(site, arn).with_context(|| format!("there is no secret {arn}"))?;
        let bytes = tokio::fs::read(file).await.with_context(|| format!("cannot read the secret {arn}"))?;
        if bytes.len() > MAX_BYTES {
            bail!("the secret {arn} is larger than {MAX_BYTES} bytes");
        }
        Ok(bytes)
    }

    /// The secrets of the configuration are the server's own account's.
    fn file(&self, site: &Site, arn: &Arn) -> Option<&PathBuf> {
        let name = arn.resource.strip_prefix("secret:")?;
        if arn.service != "secretsmanager" || arn.account != site.account {
            return None;
        }
        let stem = name.len().checked_sub(SUFFIX).and_then(|at| name.split_at_checked(at));
        let stem = stem.filter(|(_, suffix)| suffix.starts_with('-')).map(|(stem, _)| stem);
        self.0.get(name).or_else(|| self.0.get(stem?))
    }
}
