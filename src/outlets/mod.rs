//! The ways to the outside that topics have: the web, and what an operator has set up for mail, text messages
//! and push messages.
//!
//! Whom to tell, what, and what a failure means is decided by SNS (`mayfly_services::sns`); here it is sent
//! once.

mod mail;
mod web;

use crate::config::Config;
use crate::outgoing::Trust;
use anyhow::Context as _;
use http::{HeaderName, HeaderValue};
use mail::Mail;
use mayfly_services::sns::{Outgoing, Refused, Webhook};
use serde::Deserialize;
use std::path::PathBuf;
use web::Web;

pub(crate) use mail::MailConfig;

pub(crate) struct Outlets {
    web: Web,
    mail: Option<Mail>,
    texts: Option<Gateway>,
    push: Option<Gateway>,
}

/// An endpoint of the operator's own that sends text messages or push messages on.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct GatewayConfig {
    url: String,
    /// A file with one line, a header that every request has, such as `Authorization: Bearer …`.
    header_file: Option<PathBuf>,
}

struct Gateway {
    url: String,
    header: Option<(HeaderName, HeaderValue)>,
}

impl Gateway {
    fn open(section: &str, config: &GatewayConfig) -> anyhow::Result<Gateway> {
        let uri: http::Uri = config.url.parse().with_context(|| format!("[{section}] url"))?;
        let is_web = matches!(uri.scheme_str(), Some("http" | "https")) && uri.authority().is_some();
        anyhow::ensure!(is_web, "[{section}] url must be one of http or https");
        let header = match &config.header_file {
            None => None,
            Some(file) => {
                let about = || format!("[{section}] header_file, {}", file.display());
                let line = std::fs::read_to_string(file).with_context(about)?;
                let (name, value) =
                    line.trim().split_once(':').context("it is no header").with_context(about)?;
                let mut value = HeaderValue::from_str(value.trim()).with_context(about)?;
                value.set_sensitive(true);
                Some((HeaderName::from_bytes(name.trim().as_bytes()).with_context(about)?, value))
            }
        };
        Ok(Gateway { url: config.url.clone(), header })
    }

    fn request(&self, body: Vec<u8>) -> (Webhook, Option<(HeaderName, HeaderValue)>) {
        let headers = vec![("content-type", "application/json".to_owned())];
        (Webhook { url: self.url.clone(), headers, body, pace: None }, self.header.clone())
    }
}

impl Outlets {
    pub(crate) fn open(config: &Config, trust: &Trust) -> anyhow::Result<Outlets> {
        let gateway = |section: &str, config: &Option<GatewayConfig>| {
            config.as_ref().map(|config| Gateway::open(section, config)).transpose()
        };
        let authorities = config.certificate_authorities.as_deref();
        Ok(Outlets {
            web: Web::new(trust),
            mail: config.smtp.as_ref().map(|smtp| Mail::open(smtp, authorities)).transpose()?,
            texts: gateway("sms", &config.sms)?,
            push: gateway("push", &config.push)?,
        })
    }

    /// Which of them there are.
    pub(crate) fn which(&self) -> mayfly_services::Outlets {
        mayfly_services::Outlets {
            mail: self.mail.is_some(),
            texts: self.texts.is_some(),
            push: self.push.is_some(),
        }
    }

    pub(crate) async fn send(&self, outgoing: Outgoing) -> Result<(), Refused> {
        // What was set up when this was written down may not be any more; it may be again.
        let closed =
            |section: &str| Err(Refused::Later(format!("the configuration has no section [{section}]")));
        match outgoing {
            Outgoing::Web(webhook) => self.web.send(webhook, None).await,
            Outgoing::Mail(letter) => match &self.mail {
                Some(mail) => mail.send(letter).await,
                None => closed("smtp"),
            },
            Outgoing::Text(body) => match &self.texts {
                Some(gateway) => self.through(gateway, body).await,
                None => closed("sms"),
            },
            Outgoing::Push(body) => match &self.push {
                Some(gateway) => self.through(gateway, body).await,
                None => closed("push"),
            },
        }
    }

    async fn through(&self, gateway: &Gateway, body: Vec<u8>) -> Result<(), Refused> {
        let (webhook, secret) = gateway.request(body);
        self.web.send(webhook, secret).await
    }
}
