//! Maps: JSON objects, named variables, and those that an expression makes.

use std::sync::Arc;

use super::failure::Stop;
use super::operators::same_number;
use super::value::{Object, Text, Value, Variable, from_json};

/// A map.
#[derive(Debug, Clone)]
pub(super) enum Map<'v> {
    Json(&'v Object),
    Fields { own: &'v [(&'v str, Variable<'v>)], others: Option<&'v Object> },
    Borrowed(&'v [Entry<'v>]),
    Shared(Arc<[Entry<'v>]>),
}

/// A key and its value, in a map that an expression made. Such a map has only as many entries as
/// were written down, so a linear search is short.
pub(super) type Entry<'v> = (Value<'v>, Value<'v>);

impl<'v> Map<'v> {
    pub fn len(&self) -> usize {
        match self {
            Self::Json(fields) => fields.len(),
            Self::Fields { own, others } => {
                own.len() + others.map_or(0, |others| others_of(own, others).count())
            }
            Self::Borrowed(entries) => entries.len(),
            Self::Shared(entries) => entries.len(),
        }
    }

    /// The cost of counting the keys, in steps.
    pub fn steps_to_count(&self) -> usize {
        match self {
            Self::Fields { own, others } => own.len() * others.map_or(1, Object::len) / 4,
            Self::Json(_) | Self::Borrowed(_) | Self::Shared(_) => 0,
        }
    }

    /// The cost of finding a key, in steps.
    pub fn steps_to_find(&self, key_bytes: usize) -> usize {
        match self {
            // A binary search compares the key a few times.
            Self::Json(_) => key_bytes / 16,
            Self::Fields { own, .. } => own.len() / 4 + key_bytes / 16,
            Self::Borrowed(entries) => entries.len() + key_bytes / 16,
            Self::Shared(entries) => entries.len() + key_bytes / 16,
        }
    }

    pub fn field(&self, name: &str) -> Result<Option<Value<'v>>, Stop<'v>> {
        match self {
            Self::Json(fields) => fields.get(name).map(from_json).transpose(),
            Self::Fields { own, others } => match own.iter().find(|(own, _)| *own == name) {
                Some((_, variable)) => variable.value().map(Some),
                None => others.and_then(|others| others.get(name)).map(from_json).transpose(),
            },
            Self::Borrowed(_) | Self::Shared(_) => {
                Ok(self.entry(|key| matches!(key, Value::Text(text) if **text == *name)))
            }
        }
    }

    /// The value at a key. Numbers as keys are compared by value, whatever their kind.
    pub fn get(&self, key: &Value<'_>) -> Result<Option<Value<'v>>, Stop<'v>> {
        match key {
            Value::Text(name) => self.field(name),
            Value::Bool(flag) => {
                Ok(self.entry(|key| matches!(key, Value::Bool(holds) if holds == flag)))
            }
            Value::Int(_) | Value::Uint(_) | Value::Double(_) => {
                Ok(self.entry(|other| same_number(other, key)))
            }
            key => Err(Stop::NoOverload("[]", super::value::Kind::Map, Some(key.kind()))),
        }
    }

    fn entry(&self, is_match: impl Fn(&Value<'v>) -> bool) -> Option<Value<'v>> {
        match self {
            // All keys of these maps are texts.
            Self::Json(_) | Self::Fields { .. } => None,
            Self::Borrowed(entries) => {
                let found = entries.iter().find(|(key, _)| is_match(key));
                found.map(|(_, value)| value.reborrow())
            }
            Self::Shared(entries) => {
                entries.iter().find(|(key, _)| is_match(key)).map(|(_, value)| value.clone())
            }
        }
    }

    /// The keys, in an order that depends on the map alone.
    pub fn keys(&self) -> Keys<'v> {
        let text = |name: &'v str| Value::Text(Text::Borrowed(name));
        match self {
            Self::Json(fields) => Box::new(fields.keys().map(move |name| text(name))),
            Self::Fields { own, others } => {
                let (own, others) = (*own, *others);
                let others = others.into_iter().flat_map(move |others| others_of(own, others));
                Box::new(own.iter().map(|(name, _)| *name).chain(others).map(text))
            }
            Self::Borrowed(entries) => Box::new(entries.iter().map(|(key, _)| key.reborrow())),
            Self::Shared(entries) => {
                let entries = Arc::clone(entries);
                Box::new((0..entries.len()).map(move |index| entries[index].0.clone()))
            }
        }
    }

    pub fn into_owned(self) -> Result<Map<'static>, Stop<'static>> {
        let entry = |key: Value<'v>| {
            let value = self.get(&key).ok().flatten().ok_or(Stop::RepeatedKey)?;
            Ok((key.into_owned()?, value.into_owned()?))
        };
        Ok(Map::Shared(self.keys().map(entry).collect::<Result<_, Stop<'static>>>()?))
    }
}

/// The keys of a map.
pub(super) type Keys<'v> = Box<dyn Iterator<Item = Value<'v>> + 'v>;

/// The names of `others` that no own field hides.
fn others_of<'v>(
    own: &'v [(&'v str, Variable<'v>)],
    others: &'v Object,
) -> impl Iterator<Item = &'v str> + 'v {
    others.keys().map(String::as_str).filter(|name| !own.iter().any(|(own, _)| own == name))
}
