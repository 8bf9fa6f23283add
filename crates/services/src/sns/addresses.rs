//! Who can subscribe: the forms of endpoints, and what of them has to exist.

use super::faults;
use super::model::Protocol;
use super::topics::Opened;
use super::{push, texts};
use crate::{Cx, lambda, sqs};
use mayfly_kernel::{Arn, Fault};

/// The longest address of RFC 5321.
const MAIL_ADDRESS_MAX: usize = 254;

/// The protocol that a caller names.
pub(super) fn protocol(text: &str) -> Result<Protocol, Fault> {
    match Protocol::named(text) {
        Some(protocol) => Ok(protocol),
        None if text == "firehose" => Err(Fault::not_implemented("subscriptions of protocol firehose")),
        None => {
            Err(faults::invalid(format_args!("Amazon SNS does not support this protocol string: {text}")))
        }
    }
}

/// Refuses an endpoint that could never get a message of the topic.
pub(super) fn check(cx: &Cx<'_>, topic: &Opened, protocol: Protocol, endpoint: &str) -> Result<(), Fault> {
    if topic.record.fifo && protocol != Protocol::Queue {
        return Err(faults::invalid("Protocol Reason: FIFO topics can only have SQS queues as subscribers"));
    }
    match protocol {
        Protocol::Queue => check_queue(cx, topic, endpoint),
        Protocol::Function => check_function(cx, endpoint),
        Protocol::Http | Protocol::Https => match endpoint.parse::<http::Uri>() {
            Ok(uri) if uri.scheme_str() == Some(protocol.name()) && uri.authority().is_some() => Ok(()),
            Ok(_) | Err(_) => Err(faults::invalid("Endpoint must match the specified protocol")),
        },
        Protocol::Email | Protocol::EmailJson if !cx.site.outlets.mail => {
            Err(faults::no_outlet("Protocol", "mail", "[smtp]"))
        }
        Protocol::Email | Protocol::EmailJson if is_mail_address(endpoint) => Ok(()),
        Protocol::Email | Protocol::EmailJson => Err(faults::invalid("Email address")),
        Protocol::Text => texts::check_subscriber(cx, endpoint),
        Protocol::Push => push::check_subscriber(cx, endpoint),
        Protocol::Unspecified => Err(faults::invalid("Protocol")),
    }
}

/// Whether it is a queue of another account than the caller's, whose reader has to agree.
pub(super) fn is_foreign(cx: &Cx<'_>, protocol: Protocol, endpoint: &str) -> bool {
    let of_another = |arn: Arn| arn.account != cx.caller.account;
    protocol == Protocol::Queue && endpoint.parse().is_ok_and(of_another)
}

fn bad(reason: &str) -> Fault {
    faults::invalid(format_args!("Endpoint Reason: {reason}"))
}

fn check_queue(cx: &Cx<'_>, topic: &Opened, endpoint: &str) -> Result<(), Fault> {
    let arn: Option<Arn> = endpoint.parse().ok();
    let arn = arn.filter(|arn| arn.service == "sqs").ok_or_else(|| bad("SQS endpoint ARN"))?;
    if arn.account != cx.caller.account {
        // Whether there is one is nobody else's business; it is asked whether it wants this.
        return Ok(());
    }
    match sqs::exists(cx, &arn)? {
        None => Err(bad("The queue does not exist")),
        Some(facts) if facts.fifo && !topic.record.fifo => {
            Err(bad("FIFO SQS Queues can not be subscribed to standard SNS topics"))
        }
        Some(_) => Ok(()),
    }
}

fn check_function(cx: &Cx<'_>, endpoint: &str) -> Result<(), Fault> {
    let arn: Option<Arn> = endpoint.parse().ok();
    match arn.filter(|arn| arn.service == "lambda") {
        Some(arn) if arn.account != cx.caller.account => {
            Err(bad("A function is subscribed by its own account"))
        }
        Some(arn) if lambda::exists(cx, &arn)? => Ok(()),
        Some(_) => Err(bad("The function does not exist")),
        None => Err(bad("Lambda endpoint ARN")),
    }
}

/// Plain addresses alone: no names before them, no comments, no quotes.
fn is_mail_address(text: &str) -> bool {
    let plain = |c: char| !c.is_whitespace() && !c.is_control() && !"<>()[]\\,;:\"".contains(c);
    let Some((local, domain)) = text.rsplit_once('@') else { return false };
    let labels = |domain: &str| domain.split('.').all(|label| !label.is_empty());
    !local.is_empty()
        && !local.contains('@')
        && labels(domain)
        && text.len() <= MAIL_ADDRESS_MAX
        && text.chars().all(plain)
}

#[cfg(test)]
mod tests {
    use super::is_mail_address;

    #[test]
    fn an_address_is_one_mailbox_and_nothing_else() {
        for good in ["a@b", "first.last+tag@mail.example.com", "ü@example.com"] {
            assert!(is_mail_address(good), "{good}");
        }
        for bad in ["", "a", "@b", "a@", "a@b@c", "a b@c", "a@b\r\nBcc: x@y", "A <a@b>", "a@b..c", "a@b,c@d"]
        {
            assert!(!is_mail_address(bad), "{bad}");
        }
    }
}
