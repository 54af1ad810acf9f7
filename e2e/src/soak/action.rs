//! The actions of the soak, and their encoding as records.

use jiff::Timestamp;
use jiff::tz::Offset;
use rdkafka::message::{Header, OwnedHeaders};
use serde_json::{Value, json};

/// The zones that users move between. The oracle and the records use their indexes.
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

/// An action. Each readable record holds one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Action {
    /// The user who acts.
    pub user: u32,
    /// The producer. Together with `id`, it identifies duplicates.
    pub source: u8,
    /// Unique in the soak, except for duplicates.
    pub id: u64,
    /// Time of the action.
    pub time: Timestamp,
    /// The type and the data.
    pub deed: Deed,
}

/// An action type and its data.
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
    /// `plaudit.user.updated`. Holds an index of [`ZONES`] if it sets the zone.
    UserUpdated(Option<usize>),
    /// A type that no task listens to.
    Unrelated,
}

/// An amount of coins as a careless producer writes it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Coins {
    /// An integer.
    Whole(i64),
    /// An integer written with a zero fraction, which still counts as an integer.
    ZeroFraction(i64),
    /// JSON that is not an amount, so that it moves nothing.
    Unmeasurable(&'static str),
}

/// The values of [`Coins::Unmeasurable`]. The empty text leaves the field out.
pub const UNMEASURABLE: [&str; 7] = ["10.5", "1e300", "\"50\"", "null", "[50]", "-20", ""];

impl Deed {
    /// Returns the action type.
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

    /// Returns `data` as text, since serde would not write some of the numbers this way.
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
    /// Returns the time in UTC or with an offset, as different producers write it.
    fn written_time(&self) -> String {
        match self.id % 5 {
            0 => self.time.display_with_offset(Offset::constant(5)).to_string(),
            _ => self.time.to_string(),
        }
    }

    /// Returns the attributes of the envelope, without `data`.
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

    /// Returns the record's value in structured mode.
    pub fn structured(&self) -> Vec<u8> {
        let envelope = self.envelope().to_string();
        let open = envelope.trim_end_matches('}');
        format!(r#"{open},"data":{}}}"#, self.deed.data()).into_bytes()
    }

    /// Returns the record in binary mode: the value is `data`, and headers hold the attributes.
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

/// Returns a user's id. Some ids need escaping in a URL path.
pub fn user_name(user: u32) -> String {
    match user % 19 {
        3 => format!("Läufer {user}"),
        7 => format!("u/{user}?"),
        _ => format!("u{user}"),
    }
}

/// Returns the source of a producer.
fn source_name(source: u8) -> String {
    format!("/service-{source}")
}

/// Returns an action's id.
fn id_name(id: u64) -> String {
    format!("a-{id}")
}
