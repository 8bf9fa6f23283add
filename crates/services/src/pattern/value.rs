//! Conditions on one value of a document.

use super::Invalid;
use super::text::Text;
use serde_json::{Number, Value};
use std::net::IpAddr;

/// Numbers beyond are compared as they are written.
const NUMBER_MAX: f64 = 5e9;

#[derive(Clone, Debug, PartialEq)]
pub(super) enum Test {
    Null,
    Bool(bool),
    /// A number and how it is written.
    Number(f64, String),
    Text(Text),
    /// A text that is this address, however it is written.
    Address(IpAddr),
    Network(Network),
    Range(Range),
    /// There is a value.
    Exists,
    /// Any value but a text of which one of these holds.
    NotText(Vec<Text>),
    /// Any number but these.
    NotNumber(Vec<f64>),
}

impl Test {
    /// Whether the test holds for a value that is neither an object nor a list.
    pub(super) fn holds(&self, value: &Value) -> bool {
        match self {
            Test::Null => value.is_null(),
            Test::Bool(wanted) => value.as_bool() == Some(*wanted),
            Test::Number(wanted, written) => match value {
                Value::Number(number) => same_number(number, *wanted, written),
                Value::Null | Value::Bool(_) | Value::String(_) | Value::Array(_) | Value::Object(_) => false,
            },
            Test::Text(text) => value.as_str().is_some_and(|value| text.holds(value)),
            Test::Address(address) => value.as_str().and_then(|text| text.parse().ok()) == Some(*address),
            Test::Network(network) => {
                value.as_str().and_then(|text| text.parse().ok()).is_some_and(|address| network.has(address))
            }
            Test::Range(range) => value.as_f64().is_some_and(|number| range.has(number)),
            Test::Exists => true,
            Test::NotText(texts) => {
                !value.as_str().is_some_and(|value| texts.iter().any(|text| text.holds(value)))
            }
            Test::NotNumber(numbers) => value.as_f64().is_some_and(|number| !numbers.contains(&number)),
        }
    }
}

fn same_number(number: &Number, wanted: f64, written: &str) -> bool {
    match number.as_f64() {
        Some(value) if value.abs() <= NUMBER_MAX => value == wanted,
        Some(_) | None => number.to_string() == written,
    }
}

/// A number that can be compared with others.
pub(super) fn comparable(number: f64) -> Result<f64, String> {
    match number.abs() <= NUMBER_MAX {
        true => Ok(number),
        false => Err(format!("Value must be between {} and {}, inclusive", "-5.0E9", "5.0E9")),
    }
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Range {
    pub(super) bottom: Bound,
    pub(super) top: Bound,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Bound {
    None,
    Included(f64),
    Excluded(f64),
}

impl Range {
    fn has(&self, number: f64) -> bool {
        let above = match self.bottom {
            Bound::None => true,
            Bound::Included(bottom) => number >= bottom,
            Bound::Excluded(bottom) => number > bottom,
        };
        above
            && match self.top {
                Bound::None => true,
                Bound::Included(top) => number <= top,
                Bound::Excluded(top) => number < top,
            }
    }
}

/// The addresses that begin with the same bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Network {
    base: IpAddr,
    bits: u32,
}

impl Network {
    pub(super) fn parse(text: &str) -> Result<Network, Invalid> {
        let parts: Vec<&str> = text.split('/').collect();
        let [address, bits] = parts[..] else {
            return Err(Invalid::new("Malformed CIDR, one '/' required"));
        };
        let bits: i32 =
            bits.parse().map_err(|_| Invalid::new("Malformed CIDR, mask bits must be an integer"))?;
        let bits = u32::try_from(bits)
            .map_err(|_| Invalid::new("Malformed CIDR, mask bits must not be negative"))?;
        let base = address.parse().map_err(|_| Invalid::new(format!("Nonstandard IP address: {address}")))?;
        match base {
            IpAddr::V4(_) if bits > 31 => Err(Invalid::new("IPv4 mask bits must be < 32")),
            IpAddr::V6(_) if bits > 127 => Err(Invalid::new("IPv6 mask bits must be < 128")),
            IpAddr::V4(_) | IpAddr::V6(_) => Ok(Network { base, bits }),
        }
    }

    fn has(&self, address: IpAddr) -> bool {
        // Shifting by all bits there are is no shift: a network of no bits has every address of its kind.
        match (self.base, address) {
            (IpAddr::V4(base), IpAddr::V4(address)) => {
                let differing = u32::from(base) ^ u32::from(address);
                differing.checked_shr(32 - self.bits).unwrap_or(0) == 0
            }
            (IpAddr::V6(base), IpAddr::V6(address)) => {
                let differing = u128::from(base) ^ u128::from(address);
                differing.checked_shr(128 - self.bits).unwrap_or(0) == 0
            }
            (IpAddr::V4(_), IpAddr::V6(_)) | (IpAddr::V6(_), IpAddr::V4(_)) => false,
        }
    }
}
