//! Mail, through the operator's server.
//!
//! A server that says 5yz has refused for good; anything else is tried again. Connections are few and kept
//! for the next letter.

use anyhow::Context as _;
use lettre::message::header::{ContentType, HeaderName, HeaderValue};
use lettre::message::{Mailbox, Message};
use lettre::transport::smtp::PoolConfig;
use lettre::transport::smtp::authentication::Credentials;
use lettre::transport::smtp::client::{Certificate, Tls, TlsParameters};
use lettre::{Address, AsyncSmtpTransport, AsyncTransport as _, Tokio1Executor};
use mayfly_services::sns::{Letter, Refused};
use serde::Deserialize;
use std::path::{Path, PathBuf};
use std::time::Duration;
use tokio::sync::Semaphore;

const CONNECTIONS: usize = 8;
/// How long the server may take for one step, and for a whole letter.
const STEP_WITHIN: Duration = Duration::from_secs(15);
const LETTER_WITHIN: Duration = Duration::from_secs(60);

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct MailConfig {
    host: String,
    /// By itself, what is usual for `tls`.
    port: Option<u16>,
    #[serde(default)]
    tls: Security,
    username: Option<String>,
    /// A file with the password alone.
    password_file: Option<PathBuf>,
    /// Who the mail is from, such as `Mayfly <mayfly@example.com>`.
    from: String,
}

/// How the connection to the server is kept from others' eyes.
#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Security {
    /// From the first byte.
    Tls,
    /// The server is asked to; one that cannot gets nothing.
    #[default]
    StartTls,
    /// Not at all: for a server on this machine.
    None,
}

impl Security {
    fn usual_port(self) -> u16 {
        match self {
            Security::Tls => 465,
            Security::StartTls => 587,
            Security::None => 25,
        }
    }
}

pub(super) struct Mail {
    server: AsyncSmtpTransport<Tokio1Executor>,
    from: Mailbox,
    places: Semaphore,
}

impl Mail {
    pub(super) fn open(config: &MailConfig, authorities: Option<&Path>) -> anyhow::Result<Mail> {
        let from: Mailbox = config.from.parse().context("[smtp] from")?;
        let tls = || -> anyhow::Result<TlsParameters> {
            let mut believed = TlsParameters::builder(config.host.clone());
            if let Some(file) = authorities {
                let pem = std::fs::read(file).context("certificate_authorities")?;
                believed = believed.add_root_certificate(Certificate::from_pem(&pem)?);
            }
            Ok(believed.build_rustls()?)
        };
        let security = match config.tls {
            Security::Tls => Tls::Wrapper(tls()?),
            Security::StartTls => Tls::Required(tls()?),
            Security::None => Tls::None,
        };
        let mut server = AsyncSmtpTransport::<Tokio1Executor>::builder_dangerous(config.host.clone())
            .port(config.port.unwrap_or(config.tls.usual_port()))
            .tls(security)
            .timeout(Some(STEP_WITHIN))
            .pool_config(PoolConfig::new().max_size(u32::try_from(CONNECTIONS)?));
        if let Some(username) = &config.username {
            let file = config.password_file.as_ref().context("[smtp] username needs password_file")?;
            let about = || format!("[smtp] password_file, {}", file.display());
            let password = std::fs::read_to_string(file).with_context(about)?;
            let password = password.trim_end_matches(['\r', '\n']).to_owned();
            server = server.credentials(Credentials::new(username.clone(), password));
        }
        Ok(Mail { server: server.build(), from, places: Semaphore::new(CONNECTIONS) })
    }

    pub(super) async fn send(&self, letter: Letter) -> Result<(), Refused> {
        let message = self.message(letter).map_err(|error| Refused::ForGood(error.to_string()))?;
        let _place = self.places.acquire().await;
        match tokio::time::timeout(LETTER_WITHIN, self.server.send(message)).await {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(error)) if error.is_permanent() => Err(Refused::ForGood(error.to_string())),
            Ok(Err(error)) => Err(Refused::Later(error.to_string())),
            Err(_) => Err(Refused::Later(format!("no end of the mail within {} s", LETTER_WITHIN.as_secs()))),
        }
    }

    fn message(&self, letter: Letter) -> anyhow::Result<Message> {
        let to: Address = letter.to.parse()?;
        let mut from = self.from.clone();
        if !letter.from_name.is_empty() {
            from.name = Some(letter.from_name);
        }
        // The same letter sent again has the same id, so that a mailbox may notice.
        let id = format!("<{}@{}>", letter.id, self.from.email.domain());
        let mut message =
            Message::builder().from(from).to(to.into()).subject(letter.subject).message_id(Some(id));
        if let Some(link) = letter.unsubscribe {
            let name = HeaderName::new_from_ascii_str("List-Unsubscribe");
            message = message.raw_header(HeaderValue::new(name, format!("<{link}>")));
        }
        Ok(message.header(ContentType::TEXT_PLAIN).body(letter.text)?)
    }
}
