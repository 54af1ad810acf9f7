//! One entry of a source file, compiled.

use std::cell::OnceCell;
use std::collections::HashMap;
use std::sync::Arc;

use cel::Value;
use cel::objects::{Key, Map};
use chrono::SecondsFormat;
use plaudit_domain::action::{Action, Parts};
use plaudit_domain::expression::{self, Expression};
use plaudit_domain::ids::UserId;
use serde_json::Value as Json;

use super::{Reading, SetAside};
use crate::record::RawRecord;

/// The most users that a record may have. Each of them gets an action of its own, or a copy of the
/// record where it can't be read, so that without a limit one record could fill the memory, and would
/// do so again after each restart. No team is that large.
pub(super) const USERS_MAX: usize = 1_000;
/// The most bytes that all copies of one record may take, for the same reason.
pub(super) const COPIES_BYTES_MAX: usize = 16 * 1024 * 1024;

/// The names that the expressions of a source file may speak of.
pub const VARIABLES: [&str; 7] =
    ["value", "headers", "key", "topic", "partition", "offset", "timestamp"];

/// How the records of a topic become actions.
#[derive(Debug)]
pub struct Mapping {
    /// For messages, such as `teams.yaml: sources[0]`.
    pub name: String,
    pub topic: String,
    /// Absent: it applies to all records.
    pub when: Option<Expression>,
    pub user: Expression,
    pub source: Expression,
    pub id: Expression,
    pub kind: Expression,
    pub time: Expression,
    /// Absent: `{}`.
    pub data: Option<Expression>,
}

/// A record as expressions see it, converted once for all of them.
pub struct Facts([(&'static str, Value); 7]);

impl Facts {
    /// Why there are none: the value is not JSON.
    pub fn of(record: &RawRecord<'_>) -> Result<Self, String> {
        let value = match record.value {
            None => Value::Null, // a tombstone: `when: value != null` leaves it out
            Some(bytes) => {
                let json: Json = serde_json::from_slice(bytes).map_err(|e| {
                    format!("the value can't be read as JSON, which source files need: {e}")
                })?;
                expression::from_json(&json)
            }
        };
        let bytes = |bytes: &[u8]| match std::str::from_utf8(bytes) {
            Ok(text) => Value::String(Arc::new(text.to_owned())),
            Err(_) => Value::Bytes(Arc::new(bytes.to_vec())),
        };
        let headers: HashMap<Key, Value> = record
            .headers
            .iter()
            .map(|(name, value)| (Key::from(*name), value.map_or(Value::Null, bytes)))
            .collect();
        Ok(Self([
            ("value", value),
            ("headers", Value::Map(Map { map: Arc::new(headers) })),
            ("key", record.key.map_or(Value::Null, bytes)),
            ("topic", Value::String(Arc::new(record.topic.to_owned()))),
            ("partition", Value::Int(record.partition.into())),
            ("offset", Value::Int(record.offset)),
            ("timestamp", record.timestamp.map_or(Value::Null, expression::timestamp)),
        ]))
    }
}

impl Mapping {
    pub fn topic(&self) -> &str {
        &self.topic
    }

    /// Whether the mapping applies to a record.
    pub fn applies(&self, facts: &Facts) -> Result<bool, String> {
        let Some(when) = &self.when else { return Ok(true) };
        match evaluate("when", when, facts)? {
            Value::Bool(applies) => Ok(applies),
            other => Err(format!("`when` gives {}, not true or false", other.type_of())),
        }
    }

    /// One reading for each user, in the order of the list; none if it does not apply.
    pub fn read(&self, facts: &Facts) -> Vec<Reading> {
        let set_aside =
            |why: String| Reading::SetAside(SetAside::unreadable(format!("{}: {why}", self.name)));
        match self.applies(facts) {
            Ok(false) => return Vec::new(),
            Ok(true) => {}
            Err(why) => return vec![set_aside(why)],
        }
        let users = match self.users(facts) {
            Ok(users) => users,
            Err(why) => return vec![set_aside(why)],
        };
        // The same for each user, and not evaluated where none is known.
        let fields = OnceCell::new();
        let fields = || fields.get_or_init(|| self.fields(facts)).as_ref().map_err(Clone::clone);
        let known = users.iter().filter(|user| user.is_ok()).count();
        if known > 1
            && let Ok(fields) = fields()
            && known.saturating_mul(fields.data_bytes()) > COPIES_BYTES_MAX
        {
            return vec![set_aside(format!(
                "`data` for each of {known} users would take more than {COPIES_BYTES_MAX} bytes"
            ))];
        }
        let read = |user: Result<UserId, String>| {
            let user = match user {
                Ok(user) => user,
                Err(why) => return set_aside(why),
            };
            match fields().and_then(|fields| fields.action(&user)) {
                Ok(action) => Reading::Action(action),
                Err(why) => {
                    let why = format!("{}: {why}", self.name);
                    Reading::SetAside(SetAside::new(Some(user), why, true))
                }
            }
        };
        users.into_iter().map(read).collect()
    }

    /// Whom it is about; each of them may be no user.
    fn users(&self, facts: &Facts) -> Result<Vec<Result<UserId, String>>, String> {
        match evaluate("user", &self.user, facts)? {
            Value::List(users) if users.len() > USERS_MAX => {
                let count = users.len();
                Err(format!("`user` lists {count} users, and a record may have {USERS_MAX}"))
            }
            Value::List(users) => Ok(users.iter().map(user).collect()),
            one => Ok(vec![user(&one)]),
        }
    }

    fn fields(&self, facts: &Facts) -> Result<Fields, String> {
        let text = |name, expression| {
            let value = evaluate(name, expression, facts)?;
            text(&value).ok_or_else(|| format!("`{name}` gives {}, not a text", value.type_of()))
        };
        let time = match evaluate("time", &self.time, facts)? {
            Value::Timestamp(at) => at.to_rfc3339_opts(SecondsFormat::Nanos, true),
            Value::String(text) => text.to_string(),
            other => {
                let got = other.type_of();
                return Err(format!("`time` gives {got}, not a timestamp or an RFC 3339 text"));
            }
        };
        let data = match self.data.as_ref().map(|data| evaluate("data", data, facts)).transpose()? {
            None => serde_json::Map::new(),
            Some(value) => match value.json() {
                Ok(Json::Object(data)) => data,
                Ok(_) => return Err(format!("`data` gives {}, not a map", value.type_of())),
                Err(why) => return Err(format!("`data`: {why}")),
            },
        };
        let (source, id, kind) =
            (text("source", &self.source)?, text("id", &self.id)?, text("type", &self.kind)?);
        Ok(Fields { source, id, kind, time, data })
    }
}

/// What an action has besides its user.
struct Fields {
    source: String,
    id: String,
    kind: String,
    time: String,
    data: serde_json::Map<String, Json>,
}

impl Fields {
    /// How many bytes `data` takes as JSON.
    fn data_bytes(&self) -> usize {
        serde_json::to_vec(&self.data).map_or(0, |bytes| bytes.len())
    }

    fn action(&self, user: &UserId) -> Result<Action, String> {
        let Self { source, id, kind, time, data } = self;
        Action::new(Parts { user: user.as_str(), source, id, kind, time, data: data.clone() })
            .map_err(|why| why.to_string())
    }
}

fn evaluate(field: &str, expression: &Expression, facts: &Facts) -> Result<Value, String> {
    expression
        .evaluate(facts.0.iter().cloned())
        .map_err(|why| format!("`{field}` can't be evaluated: {why}"))
}

fn user(value: &Value) -> Result<UserId, String> {
    let text = text(value).ok_or_else(|| {
        format!("`user` gives {}, not a text or a list of texts", value.type_of())
    })?;
    UserId::try_from(text).map_err(|why| format!("`user`: {why}"))
}

/// A text, or a whole number as one: producers number what they name.
fn text(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.to_string()),
        Value::Int(number) => Some(number.to_string()),
        Value::UInt(number) => Some(number.to_string()),
        _ => None,
    }
}
