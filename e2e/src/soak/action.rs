//! What a record of the soak means, and how it is written.

use jiff::Timestamp;
use jiff::tz::Offset;
use rdkafka::message::{Header, OwnedHeaders};
use serde_json::{Value, json};

/// Zones that users move between; the oracle and the records name them by index.
pub const ZONES: [&str; 8] = [
    "UTC",
    "Europe/Paris",
    "America/New_York",
    "Asia/Shanghai",
    "Asia/Kathmandu",
    "Pacific/Auckland",
    "Pacific/Honolulu",
    "America/St_Johns",
];

/// An action, one for each record that is readable.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Action {
    /// Who.
    pub user: u32,
    /// With `id`, what a duplicate is recognised by.
    pub source: u8,
    /// Unique in the soak, except for duplicates.
    pub id: u64,
    /// When it occurred.
    pub time: Timestamp,
    /// What was done.
    pub deed: Deed,
}

/// What was done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Deed {
    /// `profile.completed`
    ProfileCompleted,
    /// `friend.added`
    FriendAdded,
    /// `gift.sent` with coins.
    GiftSent(Coins),
    /// `stream.watched` with minutes.
    StreamWatched(i64),
    /// `user.signed_in`
    SignedIn,
    /// `plaudit.user.updated`, with an index of [`ZONES`] where the zone is told.
    UserUpdated(Option<usize>),
    /// What no task asks for.
    Unrelated,
}

/// Coins as a careless producer writes them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Coins {
    /// An integer.
    Whole(i64),
    /// An integer written with a zero fraction, which is an integer all the same.
    ZeroFraction(i64),
    /// JSON that is no amount: it moves nothing.
    Unmeasurable(&'static str),
}

/// What [`Coins::Unmeasurable`] may be; the empty text leaves the field out.
pub const UNMEASURABLE: [&str; 7] = ["10.5", "1e300", "\"50\"", "null", "[50]", "-20", ""];

impl Deed {
    /// The action type.
    pub fn kind(self) -> &'static str {
        match self {
            Self::ProfileCompleted => "profile.completed",
            Self::FriendAdded => "friend.added",
            Self::GiftSent(_) => "gift.sent",
            Self::StreamWatched(_) => "stream.watched",
            Self::SignedIn => "user.signed_in",
            Self::UserUpdated(_) => "plaudit.user.updated",
            Self::Unrelated => "lamp.lit",
        }
    }

    /// `data` as text: some of it must be written as serde would not.
    pub fn data(self) -> String {
        match self {
            Self::GiftSent(Coins::Whole(coins)) => format!(r#"{{"coins":{coins},"room":"r7"}}"#),
            Self::GiftSent(Coins::ZeroFraction(coins)) => format!(r#"{{"coins":{coins}.0}}"#),
            Self::GiftSent(Coins::Unmeasurable("")) => r#"{"room":"r7"}"#.to_owned(),
            Self::GiftSent(Coins::Unmeasurable(text)) => format!(r#"{{"coins":{text}}}"#),
            Self::StreamWatched(minutes) => json!({ "minutes": minutes }).to_string(),
            Self::UserUpdated(Some(zone)) => json!({ "zone": ZONES[zone] }).to_string(),
            Self::UserUpdated(None) => json!({ "attributes": { "tier": "gold" } }).to_string(),
            Self::ProfileCompleted | Self::FriendAdded | Self::SignedIn | Self::Unrelated => {
                "{}".to_owned()
            }
        }
    }
}

impl Action {
    /// The time as producers write it: in UTC, or with an offset of their own.
    fn written_time(&self) -> String {
        match self.id % 5 {
            0 => self.time.display_with_offset(Offset::constant(5)).to_string(),
            _ => self.time.to_string(),
        }
    }

    /// The attributes of the envelope, without `data`.
    pub fn envelope(&self) -> Value {
        json!({
            "specversion": "1.0",
            "source": source_name(self.source),
            "id": id_name(self.id),
            "type": self.deed.kind(),
            "subject": user_name(self.user),
            "time": self.written_time(),
        })
    }

    /// Structured mode.
    pub fn structured(&self) -> Vec<u8> {
        let envelope = self.envelope().to_string();
        let open = envelope.trim_end_matches('}');
        format!(r#"{open},"data":{}}}"#, self.deed.data()).into_bytes()
    }

    /// Binary mode: the value is `data`, all else stands in headers.
    pub fn binary(&self) -> (Vec<u8>, OwnedHeaders) {
        let content_type = Header { key: "content-type", value: Some("application/json") };
        let mut headers = OwnedHeaders::new().insert(content_type);
        if let Value::Object(attributes) = self.envelope() {
            for (name, value) in attributes {
                let value = value.as_str().map(str::to_owned);
                headers =
                    headers.insert(Header { key: &format!("ce_{name}"), value: value.as_ref() });
            }
        }
        (self.deed.data().into_bytes(), headers)
    }
}

/// A user's id. Some are not what a path takes as it stands.
pub fn user_name(user: u32) -> String {
    match user % 19 {
        3 => format!("Läufer {user}"),
        7 => format!("u/{user}?"),
        _ => format!("u{user}"),
    }
}

/// A producer.
fn source_name(source: u8) -> String {
    format!("/service-{source}")
}

/// An action's id.
fn id_name(id: u64) -> String {
    format!("a-{id}")
}
