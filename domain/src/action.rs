//! Actions: what users did, in the terms of CloudEvents 1.0.

mod body;
mod recent_fields;

use jiff::Timestamp;
use jiff::tz::Offset;
use serde_json::{Map, Value};
use uuid::Uuid;

use crate::calendar;
use crate::cloud_event::CloudEvent;
use crate::ids::{UserId, check_name};
use crate::rfc3339::{self, Written};

pub use body::{
    ACTION_REVERSED, Acknowledgement, ActionBody, REWARD_DELIVERED, REWARD_FAILED, Reversal,
    ReversedAction, USER_UPDATED, UserUpdate, Verdict,
};
pub use recent_fields::{RecentFields, RecentNames};

/// One thing that a user did, from any source. Identified by `(user, source, id)`.
#[derive(Debug, Clone, PartialEq)]
pub struct Action {
    /// The user who acted.
    pub user: UserId,
    /// The producer, e.g. `/gifts`.
    pub source: String,
    /// Names the action within its source and user.
    pub id: String,
    /// The action type, e.g. `gift.sent`.
    pub kind: String,
    /// The time of the action by the producer's clock, to the microsecond.
    pub occurred_at: Timestamp,
    /// Details from the producer.
    pub data: Map<String, Value>,
    body: ActionBody,
}

/// The largest `data` of an action, in bytes of compact JSON.
pub const DATA_BYTES_MAX: usize = 64 * 1024;

/// The namespace of [`Action::identity`].
const IDENTITY_NAMESPACE: Uuid = Uuid::from_u128(0x5d0c_5d3e_7a55_5a0e_9f5e_52a8_61d0_6a1c);

impl Action {
    /// Checks the rules that hold for every action, in whatever format it arrived.
    pub fn new(parts: Parts<'_>) -> Result<Self, Unreadable> {
        let user = UserId::try_from(parts.user.to_owned())?;
        for (what, got) in [("source", parts.source), ("id", parts.id), ("type", parts.kind)] {
            check_name(what, got)?;
        }
        let occurred_at = instant(parts.time)?;
        if json_bytes(&parts.data) > DATA_BYTES_MAX {
            return Err(Unreadable::DataTooLarge);
        }
        let body = ActionBody::read(parts.kind, &parts.data)?;
        Ok(Self {
            user,
            source: parts.source.to_owned(),
            id: parts.id.to_owned(),
            kind: parts.kind.to_owned(),
            occurred_at,
            data: parts.data,
            body,
        })
    }

    /// The meaning of the action's type and data.
    pub fn body(&self) -> &ActionBody {
        &self.body
    }

    /// The grant id that an acknowledgement names; `None` if the action is not an acknowledgement
    /// or names no valid id.
    pub fn acknowledged_grant(&self) -> Option<Uuid> {
        match &self.body {
            ActionBody::Acknowledgement(acknowledgement) => acknowledgement.grant_id(),
            ActionBody::Business | ActionBody::UserUpdate(_) | ActionBody::Reversal(_) => None,
        }
    }

    /// True if Plaudit itself handles this action type, whatever the catalogue says.
    pub fn is_plaudits_own(&self) -> bool {
        self.body != ActionBody::Business
    }

    /// A synthetic action that no task listens to. Stands in where a command other than an action
    /// is decided at a given time.
    pub(crate) fn stand_in(user: &UserId, kind: &str, at: Timestamp) -> Self {
        Self {
            user: user.clone(),
            source: "/plaudit".to_owned(),
            id: String::new(),
            kind: kind.to_owned(),
            occurred_at: at,
            data: Map::new(),
            body: ActionBody::Business,
        }
    }

    /// The action as a CloudEvent. Parsing that event gives the same action.
    pub fn to_cloud_event(&self) -> CloudEvent<'_, &Map<String, Value>> {
        CloudEvent {
            id: &self.id,
            source: &self.source,
            kind: &self.kind,
            subject: self.user.as_str(),
            time: self.occurred_at,
            data: &self.data,
        }
    }

    /// An id by which a repeat is recognised: the same `(user, source, id)` always has the same
    /// identity.
    pub fn identity(&self) -> Uuid {
        identity_of(&self.user, &self.source, &self.id)
    }
}

/// The identity of a user's action with this source and id.
pub(crate) fn identity_of(user: &UserId, source: &str, id: &str) -> Uuid {
    let name = format!("{user}\u{1f}{source}\u{1f}{id}");
    Uuid::new_v5(&IDENTITY_NAMESPACE, name.as_bytes())
}

/// The fields of an action before they are checked.
#[derive(Debug)]
pub struct Parts<'a> {
    /// The CloudEvents `subject`.
    pub user: &'a str,
    /// The CloudEvents `source`.
    pub source: &'a str,
    /// The CloudEvents `id`.
    pub id: &'a str,
    /// The CloudEvents `type`.
    pub kind: &'a str,
    /// The CloudEvents `time`, RFC 3339.
    pub time: &'a str,
    /// The CloudEvents `data`; missing is empty.
    pub data: Map<String, Value>,
}

/// Parses an RFC 3339 instant and truncates it to microseconds. Leap seconds are refused.
pub fn instant(text: &str) -> Result<Timestamp, Unreadable> {
    let invalid = || Unreadable::Time(text.to_owned());
    let Written { local, offset_seconds } = rfc3339::read(text).ok_or_else(invalid)?;
    let micros = local.subsec_nanosecond() / 1_000;
    let cut = local.with().subsec_nanosecond(micros * 1_000).build();
    let offset = Offset::from_seconds(offset_seconds);
    let at = cut.and_then(|cut| offset?.to_timestamp(cut));
    at.map_err(|_| invalid())
}

/// Returns the length of a JSON object in compact form, in bytes, without storing the text.
fn json_bytes(data: &Map<String, Value>) -> usize {
    struct Counter(usize);
    impl std::io::Write for Counter {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0 += bytes.len();
            Ok(bytes.len())
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }
    let mut counter = Counter(0);
    serde_json::to_writer(&mut counter, data).expect("a JSON object can be written");
    counter.0
}

/// The reason why a record or element is not an action. The record or element is parked and does
/// not block the others.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unreadable {
    /// `subject`, `source`, `id` or `type` is too long, empty or has control characters.
    #[error(transparent)]
    Name(#[from] crate::ids::InvalidName),
    /// `time` is not RFC 3339, or is a leap second.
    #[error("`time` must be an RFC 3339 instant such as 2026-03-29T01:30:00+01:00, got {0:?}")]
    Time(String),
    /// `data` is too large.
    #[error("`data` takes more than {DATA_BYTES_MAX} bytes")]
    DataTooLarge,
    /// An update of a user names a zone that does not exist.
    #[error("`data.zone`: {0}")]
    Zone(#[from] calendar::UnknownZone),
    /// The data of a user update has the wrong shape.
    #[error("{0}")]
    UserUpdate(&'static str),
}

#[cfg(test)]
mod tests;
