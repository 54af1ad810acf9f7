//! A compiled entry of a source file.

use plaudit_domain::action::{Action, Parts};
use plaudit_domain::expression::{Allowance, EvaluationError, Expression, Output};
use plaudit_domain::ids::UserId;
use serde_json::Value as Json;

use super::variables::{Values, Variables};
use super::{Mapped, ParkReason};
use crate::formats::Format;
use crate::memory;

/// The most actions that an entry makes of a record, one for each user. Without a limit, one record
/// could fill the memory, and again after each restart. No team is that large.
pub(super) const USERS_MAX: usize = 1_000;
/// The most bytes of memory for all copies of one record that is parked for several users. The
/// reason is the same.
pub(super) const COPIES_BYTES_MAX: usize = 16 * 1024 * 1024;
/// The most bytes of memory for all `data` that the entries make of one record, as
/// [`memory::of_object`] measures it. The measure charges an object 700 bytes and a field 144, so
/// that a thousand users with an ordinary list each stay below the limit. Ingest bounds the sum over
/// several records.
pub(super) const DATA_BYTES_MAX: usize = 64 * 1024 * 1024;

/// A mapping from the records of a topic to actions.
#[derive(Debug)]
pub struct Mapping {
    /// Name in messages, such as `teams.yaml: sources[0]`.
    pub name: String,
    /// Line and column of `format`, or of the entry if `format` is absent.
    pub place: (usize, usize),
    pub topic: String,
    pub format: Format,
    /// Absent if the mapping applies to all records.
    pub when: Option<Expression>,
    /// An expression for a list. Each of its entries is `item` in the fields below. Absent if the
    /// fields are evaluated once.
    pub each: Option<Expression>,
    pub user: Expression,
    pub source: Expression,
    pub id: Expression,
    pub kind: Expression,
    pub time: Expression,
    /// Absent means `{}`.
    pub data: Option<Expression>,
}

/// The evaluated fields for the record, or for one entry of `each`.
struct Evaluated {
    /// The users; `Err` for a value that is not a user.
    users: Vec<Result<UserId, String>>,
    /// The fields that all users share. They are evaluated only if there is a valid user.
    fields: Result<Fields, String>,
}

/// The fields of an action, except its user.
struct Fields {
    source: String,
    id: String,
    kind: String,
    time: String,
    data: serde_json::Map<String, Json>,
}

impl Mapping {
    /// Returns true if the mapping applies to a record.
    pub fn applies(&self, variables: &Variables<'_>) -> Result<bool, String> {
        self.applies_within(variables, &mut Allowance::default())
    }

    fn applies_within(
        &self,
        variables: &Variables<'_>,
        allowance: &mut Allowance,
    ) -> Result<bool, String> {
        let Some(when) = &self.when else { return Ok(true) };
        match when.evaluate_within(&variables.values(None), allowance) {
            Ok(Output::Json(Json::Bool(applies))) => Ok(applies),
            Ok(other) => Err(format!("`when` gives {}, not true or false", other.type_name())),
            // Other records of the topic may lack the field, as in the `where` of a task.
            Err(EvaluationError::Missing(_)) => Ok(false),
            Err(failed) => Err(unevaluated("when", &failed)),
        }
    }

    /// Maps the record for each user, in the order of the lists. Returns nothing if the mapping
    /// does not apply. An error in the fields of a known user parks that user's part; an error
    /// without a user parks the record once.
    ///
    /// All expressions of the mapping share the cost limit of one evaluation, however many
    /// entries `each` has. `data_bytes` is the memory taken so far by the `data` of the record's
    /// users; all mappings of the topic share [`DATA_BYTES_MAX`].
    pub fn map(&self, variables: &Variables<'_>, data_bytes: &mut usize) -> Vec<Mapped> {
        let mut allowance = Allowance::default();
        let evaluated = match self.applies_within(variables, &mut allowance) {
            Ok(false) => return Vec::new(),
            Ok(true) => self.evaluated(variables, &mut allowance, data_bytes),
            Err(why) => Err(why),
        };
        match evaluated {
            Ok(evaluated) => evaluated.into_iter().flat_map(|e| self.mapped(e)).collect(),
            Err(why) => vec![self.unreadable(&why)],
        }
    }

    /// Evaluates the fields once, or for each entry of `each`.
    fn evaluated(
        &self,
        variables: &Variables<'_>,
        allowance: &mut Allowance,
        data_bytes: &mut usize,
    ) -> Result<Vec<Evaluated>, String> {
        let (mut evaluated, mut users_count) = (Vec::new(), 0_usize);
        let items = self.items(variables, allowance)?;
        let rounds = match &items {
            Some(items) => items.iter().map(Some).collect(),
            None => vec![None],
        };
        for item in rounds {
            let values = variables.values(item);
            let users = match self.users(&values, allowance) {
                Ok(users) => users,
                // Without `each`, there is no other part to keep.
                Err(why) if self.each.is_none() => return Err(why),
                Err(why) => vec![Err(why)],
            };
            users_count += users.len();
            if users_count > USERS_MAX {
                return Err(format!(
                    "`user` gives {users_count} users or more, and a record may have {USERS_MAX}"
                ));
            }
            let known = users.iter().filter(|user| user.is_ok()).count();
            let fields =
                if known > 0 { self.fields(&values, allowance) } else { Err(String::new()) };
            if let Ok(fields) = &fields {
                *data_bytes = data_bytes
                    .saturating_add(known.saturating_mul(memory::of_object(&fields.data)));
            }
            if *data_bytes > DATA_BYTES_MAX {
                return Err(format!(
                    "`data` for each of its users would take more than {DATA_BYTES_MAX} bytes of memory"
                ));
            }
            evaluated.push(Evaluated { users, fields });
        }
        Ok(evaluated)
    }

    /// Evaluates `each` into its entries. Returns `None` if the mapping has no `each`.
    fn items(
        &self,
        variables: &Variables<'_>,
        allowance: &mut Allowance,
    ) -> Result<Option<Vec<Json>>, String> {
        let Some(each) = &self.each else { return Ok(None) };
        match evaluate("each", each, &variables.values(None), allowance)? {
            Output::Json(Json::Array(items)) if items.len() > USERS_MAX => {
                let count = items.len();
                Err(format!("`each` lists {count} entries, and a record may have {USERS_MAX}"))
            }
            Output::Json(Json::Array(items)) => Ok(Some(items)),
            other => Err(format!("`each` gives {}, not a list", other.type_name())),
        }
    }

    fn mapped(&self, Evaluated { users, fields }: Evaluated) -> Vec<Mapped> {
        let of_user = |user: Result<UserId, String>| {
            let user = match user {
                Ok(user) => user,
                Err(why) => return self.unreadable(&why),
            };
            match fields.as_ref().map_err(Clone::clone).and_then(|fields| fields.action(&user)) {
                Ok(action) => Mapped::Action(action),
                Err(why) => {
                    let why = format!("{}: {why}", self.name);
                    Mapped::Park(ParkReason::new(Some(user), why, true))
                }
            }
        };
        users.into_iter().map(of_user).collect()
    }

    fn unreadable(&self, why: &str) -> Mapped {
        Mapped::Park(ParkReason::unreadable(format!("{}: {why}", self.name)))
    }

    fn users(
        &self,
        values: &Values<'_>,
        allowance: &mut Allowance,
    ) -> Result<Vec<Result<UserId, String>>, String> {
        match evaluate("user", &self.user, values, allowance)? {
            Output::Json(Json::Array(users)) if users.len() > USERS_MAX => {
                let count = users.len();
                Err(format!("`user` lists {count} users, and a record may have {USERS_MAX}"))
            }
            Output::Json(Json::Array(users)) => {
                Ok(users.into_iter().map(|one| user(&Output::Json(one))).collect())
            }
            one => Ok(vec![user(&one)]),
        }
    }

    fn fields(&self, values: &Values<'_>, allowance: &mut Allowance) -> Result<Fields, String> {
        let time = match evaluate("time", &self.time, values, allowance)? {
            Output::Instant(at) => at.to_string(),
            Output::Json(Json::String(text)) => text,
            other => {
                let got = other.type_name();
                return Err(format!("`time` gives {got}, not a timestamp or an RFC 3339 text"));
            }
        };
        let data = self.data.as_ref().map(|data| evaluate("data", data, values, allowance));
        let data = match data.transpose()? {
            None => serde_json::Map::new(),
            Some(Output::Json(Json::Object(data))) => data,
            Some(other) => return Err(format!("`data` gives {}, not a map", other.type_name())),
        };
        let mut text = |name, expression| {
            let value = evaluate(name, expression, values, allowance)?;
            text(&value).ok_or_else(|| format!("`{name}` gives {}, not a text", value.type_name()))
        };
        let (source, id, kind) =
            (text("source", &self.source)?, text("id", &self.id)?, text("type", &self.kind)?);
        Ok(Fields { source, id, kind, time, data })
    }
}

impl Fields {
    fn action(&self, user: &UserId) -> Result<Action, String> {
        let Self { source, id, kind, time, data } = self;
        Action::new(Parts { user: user.as_str(), source, id, kind, time, data: data.clone() })
            .map_err(|why| why.to_string())
    }
}

fn evaluate(
    field: &str,
    expression: &Expression,
    values: &Values<'_>,
    allowance: &mut Allowance,
) -> Result<Output, String> {
    expression.evaluate_within(values, allowance).map_err(|why| unevaluated(field, &why))
}

fn unevaluated(field: &str, why: &EvaluationError) -> String {
    format!("`{field}` can't be evaluated: {why}")
}

fn user(value: &Output) -> Result<UserId, String> {
    let text = text(value).ok_or_else(|| {
        format!("`user` gives {}, not a text or a list of texts", value.type_name())
    })?;
    UserId::try_from(text).map_err(|why| format!("`user`: {why}"))
}

/// Returns a text, or the digits of a whole number, since producers use numbers as ids.
fn text(value: &Output) -> Option<String> {
    match value {
        Output::Json(Json::String(text)) => Some(text.clone()),
        Output::Json(Json::Number(number)) if number.is_i64() || number.is_u64() => {
            Some(number.to_string())
        }
        _ => None,
    }
}
