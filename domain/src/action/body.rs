//! The meaning of an action, by its type.

use serde_json::{Map, Value};
use uuid::Uuid;

use super::{Unreadable, identity_of};
use crate::calendar;
use crate::ids::{UserId, check_name};

/// The action type that carries facts about a user: the zone and the attributes that rules use.
pub const USER_UPDATED: &str = "plaudit.user.updated";

/// The action type by which a payer reports that it has paid a reward.
pub const REWARD_DELIVERED: &str = "plaudit.reward.delivered";

/// The action type by which a payer reports that it will not pay a reward.
pub const REWARD_FAILED: &str = "plaudit.reward.failed";

/// The action type by which a producer takes an earlier action back.
pub const ACTION_REVERSED: &str = "plaudit.action.reversed";

/// The meaning of an action, read once from its type and data. Tasks may listen to any action type.
///
/// An acknowledgement or a reversal that names no target is accepted as such: the rules record an
/// event for it, so that its sender can find the mistake.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ActionBody {
    /// An ordinary action of the business. Only tasks interpret its type and data.
    Business,
    /// New facts about the user.
    UserUpdate(UserUpdate),
    /// A payer's answer about a grant.
    Acknowledgement(Acknowledgement),
    /// The reversal of an earlier action.
    Reversal(Reversal),
}

impl ActionBody {
    /// Reads the data of an action of this type.
    pub(super) fn read(kind: &str, data: &Map<String, Value>) -> Result<Self, Unreadable> {
        let acknowledgement = |verdict| {
            let grant = shown(data, "grant", GRANT_CHARS_MAX);
            Self::Acknowledgement(Acknowledgement { grant, verdict })
        };
        Ok(match kind {
            USER_UPDATED => Self::UserUpdate(UserUpdate::read(data)?),
            REWARD_DELIVERED => acknowledgement(Verdict::Delivered),
            REWARD_FAILED => {
                let given = shown(data, "reason", REASON_CHARS_MAX);
                let unnamed = || "the payer gave no reason".to_owned();
                let reason = if given.is_empty() { unnamed() } else { given };
                acknowledgement(Verdict::Failed { reason })
            }
            ACTION_REVERSED => Self::Reversal(Reversal::read(data)),
            _ => Self::Business,
        })
    }
}

/// The data of a [`USER_UPDATED`] action.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UserUpdate {
    /// The user's new zone, an IANA name; `None` leaves the zone unchanged.
    pub zone: Option<String>,
    /// Attributes to set. `null` removes an attribute; attributes that are not named stay.
    pub attributes: Map<String, Value>,
}

impl UserUpdate {
    fn read(data: &Map<String, Value>) -> Result<Self, Unreadable> {
        let zone = match data.get("zone") {
            None | Some(Value::Null) => None,
            Some(Value::String(name)) => {
                calendar::zone(name)?;
                Some(name.clone())
            }
            Some(_) => return Err(Unreadable::UserUpdate("`data.zone` is the name of a zone")),
        };
        let attributes = match data.get("attributes") {
            None | Some(Value::Null) => Map::new(),
            Some(Value::Object(attributes)) => attributes.clone(),
            Some(_) => return Err(Unreadable::UserUpdate("`data.attributes` is an object")),
        };
        Ok(Self { zone, attributes })
    }
}

/// The outcome of a delivery at the paying system.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// The reward was paid.
    Delivered,
    /// The reward was not paid.
    Failed {
        /// The payer's reason, for an operator.
        reason: String,
    },
}

/// The data of a [`REWARD_DELIVERED`] or [`REWARD_FAILED`] action.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Acknowledgement {
    /// The grant as the payer named it; empty if it named none.
    pub grant: String,
    /// The outcome.
    pub verdict: Verdict,
}

impl Acknowledgement {
    /// The grant id, if the payer named a valid one.
    pub fn grant_id(&self) -> Option<Uuid> {
        Uuid::try_parse(&self.grant).ok()
    }
}

/// The maximum length of a grant's name as kept, in characters; longer names are cut.
const GRANT_CHARS_MAX: usize = 64;

/// The maximum length of a payer's or producer's reason as kept, in characters; longer ones are
/// cut.
const REASON_CHARS_MAX: usize = 1_000;

/// The beginning of a field as one line of text, whatever its JSON type. Empty if the field is
/// missing or null.
fn shown(data: &Map<String, Value>, name: &str, chars_max: usize) -> String {
    match data.get(name) {
        None | Some(Value::Null) => String::new(),
        Some(Value::String(text)) => one_line(text, chars_max),
        Some(other) => one_line(&other.to_string(), chars_max),
    }
}

/// The beginning of a text, with spaces for line breaks and tabs, and U+FFFD for other control
/// characters: events are shown on terminals, and PostgreSQL can't hold NUL in a text.
fn one_line(text: &str, chars_max: usize) -> String {
    let visible = |c: char| match c {
        _ if !c.is_control() => c,
        _ if c.is_whitespace() => ' ',
        _ => char::REPLACEMENT_CHARACTER,
    };
    text.chars().take(chars_max).map(visible).collect()
}

/// The data of an [`ACTION_REVERSED`] action.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reversal {
    /// The action that is taken back.
    pub target: ReversedAction,
    /// The producer's reason; without one, a default sentence.
    pub reason: String,
}

impl Reversal {
    fn read(data: &Map<String, Value>) -> Self {
        let text = |name: &str| data.get(name).and_then(Value::as_str).unwrap_or_default();
        // A name that is cut could be the name of another action.
        let name = |field: &'static str| match check_name(field, text(field)) {
            Ok(()) => text(field).to_owned(),
            Err(_) => String::new(),
        };
        let target = ReversedAction { source: name("source"), id: name("id") };
        let given = one_line(text("reason"), REASON_CHARS_MAX);
        let reason = if given.is_empty() { "the action was reversed".to_owned() } else { given };
        Self { target, reason }
    }
}

/// The name of an action that is taken back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReversedAction {
    /// The action's source; empty if none was named, or one that no action can have.
    pub source: String,
    /// The action's id; empty if none was named, or one that no action can have.
    pub id: String,
}

impl ReversedAction {
    /// True if both source and id were named.
    pub fn is_named(&self) -> bool {
        !self.source.is_empty() && !self.id.is_empty()
    }

    /// The identity of the action that is reversed.
    pub fn identity(&self, user: &UserId) -> Uuid {
        identity_of(user, &self.source, &self.id)
    }

    /// The identity that is remembered once the action is reversed, so that a second reversal has
    /// no effect.
    pub fn marker(&self, user: &UserId) -> Uuid {
        Uuid::new_v5(&self.identity(user), b"reversed")
    }
}
