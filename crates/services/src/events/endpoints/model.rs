//! Stored records of connections and API destinations. Tags are for ever.

#[derive(Clone, PartialEq, Eq, prost::Message)]
pub(super) struct Connection {
    /// The last part of its ARN.
    #[prost(string, tag = "1")]
    pub(super) id: String,
    #[prost(uint64, tag = "2")]
    pub(super) created_ms: u64,
    #[prost(uint64, tag = "3")]
    pub(super) modified_ms: u64,
    /// Zero: never.
    #[prost(uint64, tag = "4")]
    pub(super) authorized_ms: u64,
    #[prost(string, tag = "5")]
    pub(super) description: String,
    #[prost(enumeration = "Authorization", tag = "6")]
    pub(super) authorization: i32,
    #[prost(enumeration = "State", tag = "7")]
    pub(super) state: i32,
    /// Why it is in its state, if there is more to say.
    #[prost(string, tag = "8")]
    pub(super) reason: String,
    /// The user, the header of an API key, or the client's id.
    #[prost(string, tag = "9")]
    pub(super) principal: String,
    /// Of OAuth: where tokens are.
    #[prost(string, tag = "10")]
    pub(super) token_endpoint: String,
    #[prost(string, tag = "11")]
    pub(super) token_method: String,
    /// Grows with every change, so that a token is of its own credentials.
    #[prost(uint64, tag = "12")]
    pub(super) generation: u64,
}

/// What a connection does not show.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub(super) struct Secrets {
    /// The password, the API key, or the client's secret.
    #[prost(string, tag = "1")]
    pub(super) secret: String,
    /// What every request has beside the target's own.
    #[prost(message, optional, tag = "2")]
    pub(super) invocation: Option<Parameters>,
    /// What a request for a token has beside the client.
    #[prost(message, optional, tag = "3")]
    pub(super) token: Option<Parameters>,
}

#[derive(Clone, PartialEq, Eq, prost::Message)]
pub(super) struct Parameters {
    #[prost(message, repeated, tag = "1")]
    pub(super) headers: Vec<Parameter>,
    #[prost(message, repeated, tag = "2")]
    pub(super) query: Vec<Parameter>,
    #[prost(message, repeated, tag = "3")]
    pub(super) body: Vec<Parameter>,
}

#[derive(Clone, PartialEq, Eq, prost::Message)]
pub(super) struct Parameter {
    #[prost(string, tag = "1")]
    pub(super) key: String,
    #[prost(string, tag = "2")]
    pub(super) value: String,
    #[prost(bool, tag = "3")]
    pub(super) is_secret: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, prost::Enumeration)]
#[repr(i32)]
pub(super) enum Authorization {
    Unspecified = 0,
    Basic = 1,
    ApiKey = 2,
    OAuth = 3,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, prost::Enumeration)]
#[repr(i32)]
pub(super) enum State {
    Unspecified = 0,
    Authorized = 1,
    Authorizing = 2,
    Deauthorized = 3,
}

impl State {
    pub(super) fn name(self) -> &'static str {
        match self {
            State::Authorized => "AUTHORIZED",
            State::Authorizing => "AUTHORIZING",
            State::Deauthorized | State::Unspecified => "DEAUTHORIZED",
        }
    }
}

#[derive(Clone, PartialEq, Eq, prost::Message)]
pub(super) struct Destination {
    /// The last part of its ARN.
    #[prost(string, tag = "1")]
    pub(super) id: String,
    #[prost(uint64, tag = "2")]
    pub(super) created_ms: u64,
    #[prost(uint64, tag = "3")]
    pub(super) modified_ms: u64,
    #[prost(string, tag = "4")]
    pub(super) description: String,
    #[prost(string, tag = "5")]
    pub(super) connection: String,
    #[prost(string, tag = "6")]
    pub(super) url: String,
    #[prost(string, tag = "7")]
    pub(super) method: String,
    /// Calls in a second, at most.
    #[prost(uint32, tag = "8")]
    pub(super) rate: u32,
}
