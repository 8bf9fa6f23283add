//! Amazon Resource Names: `arn:aws:SERVICE:REGION:ACCOUNT:RESOURCE`.

use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Arn {
    pub partition: String,
    pub service: String,
    pub region: String,
    pub account: String,
    /// Everything after the fifth colon, with its own colons and slashes.
    pub resource: String,
}

impl Arn {
    pub fn new(service: &str, region: &str, account: &str, resource: impl Into<String>) -> Arn {
        Arn {
            partition: "aws".into(),
            service: service.into(),
            region: region.into(),
            account: account.into(),
            resource: resource.into(),
        }
    }
}

impl fmt::Display for Arn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "arn:{}:{}:{}:{}:{}",
            self.partition, self.service, self.region, self.account, self.resource
        )
    }
}

/// The text is not an ARN.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NotAnArn(pub String);

impl fmt::Display for NotAnArn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "not an ARN: {}", self.0)
    }
}

impl std::error::Error for NotAnArn {}

impl FromStr for Arn {
    type Err = NotAnArn;

    fn from_str(text: &str) -> Result<Arn, NotAnArn> {
        let parts: Vec<&str> = text.splitn(6, ':').collect();
        match parts[..] {
            ["arn", partition, service, region, account, resource]
                if !partition.is_empty() && !service.is_empty() && !resource.is_empty() =>
            {
                Ok(Arn {
                    partition: partition.into(),
                    service: service.into(),
                    region: region.into(),
                    account: account.into(),
                    resource: resource.into(),
                })
            }
            _ => Err(NotAnArn(text.into())),
        }
    }
}

impl TryFrom<String> for Arn {
    type Error = NotAnArn;
    fn try_from(text: String) -> Result<Arn, NotAnArn> {
        text.parse()
    }
}

impl From<Arn> for String {
    fn from(arn: Arn) -> String {
        arn.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_resource_keeps_its_colons() {
        let text = "arn:aws:lambda:us-east-1:000000000000:function:thumb:prod";
        let arn: Arn = text.parse().unwrap();
        assert_eq!(arn.resource, "function:thumb:prod");
        assert_eq!(arn.to_string(), text);
        assert!("arn:aws:lambda".parse::<Arn>().is_err());
        assert!("arn:aws:s3:::photos".parse::<Arn>().is_ok());
    }
}
