//! `#[serde(with = "…")]` modules for members whose form on the wire is not serde's.
//!
//! Each works for the type itself; its `option` module works for an optional member, which also needs
//! `#[serde(default)]`.

macro_rules! text_form {
    ($(#[$doc:meta])* $name:ident, $type:ty, $write:expr, $read:expr) => {
        $(#[$doc])*
        pub mod $name {
            use serde::de::{Deserialize as _, Deserializer, Error as _};
            use serde::ser::Serializer;

            pub fn serialize<S: Serializer>(value: &$type, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(&$write(value))
            }

            pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<$type, D::Error> {
                let text = String::deserialize(deserializer)?;
                $read(&text).ok_or_else(|| D::Error::custom(concat!("not of the form ", stringify!($name))))
            }

            pub mod option {
                use serde::de::{Deserialize as _, Deserializer, Error as _};
                use serde::ser::Serializer;

                pub fn serialize<S: Serializer>(
                    value: &Option<$type>,
                    serializer: S,
                ) -> Result<S::Ok, S::Error> {
                    match value {
                        Some(value) => super::serialize(value, serializer),
                        None => serializer.serialize_none(),
                    }
                }

                pub fn deserialize<'de, D: Deserializer<'de>>(
                    deserializer: D,
                ) -> Result<Option<$type>, D::Error> {
                    let Some(text) = Option::<String>::deserialize(deserializer)? else { return Ok(None) };
                    match $read(&text) {
                        Some(value) => Ok(Some(value)),
                        None => Err(D::Error::custom(concat!("not of the form ", stringify!($name)))),
                    }
                }
            }
        }
    };
}

text_form!(
    /// Bytes as base64: blobs of the JSON and query protocols.
    base64,
    Vec<u8>,
    |bytes: &Vec<u8>| crate::checksum::to_base64(bytes),
    crate::checksum::from_base64
);

text_form!(
    /// `2013-05-24T00:00:00.000Z`.
    iso8601,
    mayfly_kernel::Time,
    |time: &mayfly_kernel::Time| crate::time::iso8601(*time),
    crate::time::parse_iso8601
);

text_form!(
    /// `Fri, 24 May 2013 00:00:00 GMT`.
    http_date,
    mayfly_kernel::Time,
    |time: &mayfly_kernel::Time| crate::time::http_date(*time),
    crate::time::parse_http_date
);

/// Seconds since the epoch with a fraction: timestamps of the JSON protocols.
pub mod epoch_seconds {
    use mayfly_kernel::Time;
    use serde::de::{Deserialize as _, Deserializer, Error as _};
    use serde::ser::Serializer;

    pub fn serialize<S: Serializer>(time: &Time, serializer: S) -> Result<S::Ok, S::Error> {
        // A whole number is written without ".0", as AWS does.
        match time.ms() % 1000 {
            0 => serializer.serialize_u64(time.secs()),
            _ => serializer.serialize_f64(time.epoch_seconds()),
        }
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Time, D::Error> {
        from_seconds(f64::deserialize(deserializer)?).ok_or_else(|| D::Error::custom("not a time since 1970"))
    }

    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "the range is checked, and fractions of a millisecond are rounded before"
    )]
    pub(super) fn from_seconds(seconds: f64) -> Option<Time> {
        const YEAR_9999: f64 = 253_402_300_800.0;
        (0.0..YEAR_9999).contains(&seconds).then(|| Time::from_ms((seconds * 1000.0).round() as u64))
    }

    pub mod option {
        use super::{Time, from_seconds};
        use serde::de::{Deserialize as _, Deserializer, Error as _};
        use serde::ser::Serializer;

        pub fn serialize<S: Serializer>(time: &Option<Time>, serializer: S) -> Result<S::Ok, S::Error> {
            match time {
                Some(time) => super::serialize(time, serializer),
                None => serializer.serialize_none(),
            }
        }

        pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Time>, D::Error> {
            let Some(seconds) = Option::<f64>::deserialize(deserializer)? else { return Ok(None) };
            match from_seconds(seconds) {
                Some(time) => Ok(Some(time)),
                None => Err(D::Error::custom("not a time since 1970")),
            }
        }
    }
}

/// By which the tree knows a time that each protocol writes in its own form.
pub(crate) const MOMENT: &str = "mayfly::Moment";

/// A time of a service that speaks several protocols: seconds in JSON and CBOR, ISO 8601 in the query
/// protocol. Only for what goes through the tree.
pub mod moment {
    use super::{MOMENT, epoch_seconds};
    use mayfly_kernel::Time;
    use serde::de::{Deserializer, Visitor};
    use serde::ser::Serializer;
    use std::fmt;

    pub fn serialize<S: Serializer>(time: &Time, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_newtype_struct(MOMENT, &time.ms())
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Time, D::Error> {
        deserializer.deserialize_any(Either)
    }

    struct Either;

    impl Visitor<'_> for Either {
        type Value = Time;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a timestamp")
        }

        #[expect(clippy::cast_precision_loss, reason = "what is lost lies far outside of the range")]
        fn visit_u64<E: serde::de::Error>(self, seconds: u64) -> Result<Time, E> {
            self.visit_f64(seconds as f64)
        }

        fn visit_f64<E: serde::de::Error>(self, seconds: f64) -> Result<Time, E> {
            epoch_seconds::from_seconds(seconds).ok_or_else(|| E::custom("not a time since 1970"))
        }

        fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Time, E> {
            crate::time::parse_iso8601(text).ok_or_else(|| E::custom("not of the form iso8601"))
        }
    }

    pub mod option {
        use mayfly_kernel::Time;
        use serde::Deserialize;
        use serde::de::Deserializer;
        use serde::ser::Serializer;

        pub fn serialize<S: Serializer>(time: &Option<Time>, serializer: S) -> Result<S::Ok, S::Error> {
            match time {
                Some(time) => super::serialize(time, serializer),
                None => serializer.serialize_none(),
            }
        }

        pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Time>, D::Error> {
            #[derive(Deserialize)]
            struct Wrapped(#[serde(with = "super")] Time);
            Ok(Option::<Wrapped>::deserialize(deserializer)?.map(|Wrapped(time)| time))
        }
    }
}
