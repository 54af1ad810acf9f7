//! The types of recent actions and the fields of their data. `plan` and `publish` compare tasks
//! with them.

use std::collections::{BTreeMap, BTreeSet};

use jiff::civil::Date;
use serde_json::{Map, Value};

/// The fields that a sample of recent actions had, by action type. By default, nothing is known.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RecentFields {
    since: Option<Date>,
    types: BTreeMap<String, BTreeSet<String>>,
}

/// The known fields of one action type.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RecentNames<'r> {
    /// Nothing is known: no action was sampled yet, or there are more types or names than are
    /// noted.
    Unknown,
    /// No action of the type was seen.
    NoAction,
    /// The names of its fields: `room`, and `room.id` for those one level below.
    Names(&'r BTreeSet<String>),
}

impl RecentFields {
    /// The number of days for which a name is remembered after it was last seen.
    pub const DAYS: i32 = 30;

    /// The most types that are noted.
    pub const TYPES_MAX: usize = 256;

    /// The most names that are noted of one type.
    pub const NAMES_MAX: usize = 64;

    /// The longest name that is noted, in bytes.
    pub const NAME_BYTES_MAX: usize = 64;

    /// The most names that are inspected in one action.
    const LOOKS_MAX: usize = 256;

    /// Builds the sample from pairs of a type and a name, noted since this day. An empty name
    /// stands for the type itself.
    pub fn new(since: Date, noted: impl IntoIterator<Item = (String, String)>) -> Self {
        let mut types: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
        for (kind, name) in noted {
            let names = types.entry(kind).or_default();
            if !name.is_empty() {
                names.insert(name);
            }
        }
        Self { since: Some(since), types }
    }

    /// The first day of the sample; `None` if there is no sample yet.
    pub fn since(&self) -> Option<Date> {
        self.since
    }

    /// The types that were seen.
    pub fn types(&self) -> impl Iterator<Item = &str> {
        self.types.keys().map(String::as_str)
    }

    /// Returns the known fields of an action type.
    pub fn of(&self, kind: &str) -> RecentNames<'_> {
        match self.types.get(kind) {
            _ if self.since.is_none() => RecentNames::Unknown,
            None if self.types.len() >= Self::TYPES_MAX => RecentNames::Unknown,
            None => RecentNames::NoAction,
            Some(names) if names.len() >= Self::NAMES_MAX => RecentNames::Unknown,
            Some(names) => RecentNames::Names(names),
        }
    }

    /// Calls `note` with the field names of an action's data, at the top level and one level below.
    /// Skips names that are too long, or that contain NUL, which PostgreSQL cannot store.
    pub fn names_of(data: &Map<String, Value>, mut note: impl FnMut(&str)) {
        let is_noted = |name: &str| {
            !name.is_empty() && name.len() <= Self::NAME_BYTES_MAX && !name.contains('\0')
        };
        let mut looks = 0;
        let mut look = |name: &str| {
            looks += 1;
            if is_noted(name) {
                note(name);
            }
            looks < Self::LOOKS_MAX
        };
        for (name, value) in data {
            if !look(name) {
                return;
            }
            let below = value.as_object().filter(|_| is_noted(name));
            for inner in below.into_iter().flat_map(Map::keys).filter(|inner| is_noted(inner)) {
                if !look(&format!("{name}.{inner}")) {
                    return;
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn names_of(data: &Value) -> Vec<String> {
        let mut names = Vec::new();
        RecentFields::names_of(data.as_object().unwrap(), |name| names.push(name.to_owned()));
        names
    }

    #[test]
    fn names_are_those_of_the_data_and_one_level_below() {
        let data = json!({
            "coins": 1, "room": { "id": 7, "owner": { "name": "x" } }, "tags": [{ "deep": 1 }],
        });
        assert_eq!(names_of(&data), ["coins", "room", "room.id", "room.owner", "tags"]);
    }

    #[test]
    fn names_that_are_long_or_can_not_be_stored_are_left_out() {
        let (long, longest) = ("n".repeat(65), "n".repeat(64));
        let data = json!({ "": 1, "a\0b": 1, "room": { &longest: 1, "": 1 }, long: { "id": 1 }, &longest: 1 });
        assert_eq!(names_of(&data), [longest.as_str(), "room"]);
    }

    #[test]
    fn of_one_action_a_bounded_number_of_names_is_looked_at() {
        let wide: Map<String, Value> = (0..5_000).map(|n| (format!("n{n}"), json!(1))).collect();
        assert_eq!(names_of(&json!({ "a": wide })).len(), RecentFields::LOOKS_MAX);
    }

    #[test]
    fn nothing_is_concluded_where_not_everything_is_noted() {
        assert_eq!(RecentFields::default().of("a"), RecentNames::Unknown);
        let since = "2026-03-01".parse().unwrap();
        let note = |kind: &str, name: String| (kind.to_owned(), name);
        let few = RecentFields::new(since, [note("a", String::new()), note("a", "n".into())]);
        assert_eq!(few.of("a"), RecentNames::Names(&BTreeSet::from(["n".to_owned()])));
        assert_eq!(few.of("b"), RecentNames::NoAction);
        let many = (0..RecentFields::NAMES_MAX).map(|n| note("a", format!("n{n}")));
        assert_eq!(RecentFields::new(since, many).of("a"), RecentNames::Unknown);
        let types = (0..RecentFields::TYPES_MAX).map(|n| note(&format!("t{n}"), String::new()));
        assert_eq!(RecentFields::new(since, types).of("b"), RecentNames::Unknown);
    }
}
