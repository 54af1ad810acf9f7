//! A YAML tree with its fields in order, as YAML or as JSON.

use saphyr::{Mapping, Scalar, Yaml};
use serde::ser::{Serialize, SerializeMap, Serializer};
use serde_json::{Map, Value as Json};

/// A value that a file can hold.
pub trait IntoYaml {
    /// The value as YAML.
    fn into_yaml(self) -> Yaml<'static>;
}

impl IntoYaml for &str {
    fn into_yaml(self) -> Yaml<'static> {
        Yaml::Value(Scalar::String(self.to_owned().into()))
    }
}

impl IntoYaml for String {
    fn into_yaml(self) -> Yaml<'static> {
        Yaml::Value(Scalar::String(self.into()))
    }
}

impl IntoYaml for Yaml<'static> {
    fn into_yaml(self) -> Yaml<'static> {
        self
    }
}

impl IntoYaml for i64 {
    fn into_yaml(self) -> Yaml<'static> {
        Yaml::Value(Scalar::Integer(self))
    }
}

impl IntoYaml for bool {
    fn into_yaml(self) -> Yaml<'static> {
        Yaml::Value(Scalar::Boolean(self))
    }
}

impl IntoYaml for Vec<Yaml<'static>> {
    fn into_yaml(self) -> Yaml<'static> {
        Yaml::Sequence(self)
    }
}

impl IntoYaml for Fields {
    fn into_yaml(self) -> Yaml<'static> {
        Yaml::Mapping(self.0)
    }
}

/// A mapping whose fields stand in the order in which they were added.
#[derive(Default)]
pub struct Fields(Mapping<'static>);

impl Fields {
    /// Adds a field.
    pub fn with(mut self, name: &str, value: impl IntoYaml) -> Self {
        self.0.insert(name.into_yaml(), value.into_yaml());
        self
    }

    /// Adds a field if it has a value.
    pub fn with_some(self, name: &str, value: Option<impl IntoYaml>) -> Self {
        match value {
            Some(value) => self.with(name, value),
            None => self,
        }
    }

    /// Adds a mapping if it is not empty.
    pub fn with_any(self, name: &str, fields: Self) -> Self {
        if fields.0.is_empty() { self } else { self.with(name, fields) }
    }
}

impl IntoYaml for Json {
    fn into_yaml(self) -> Yaml<'static> {
        match self {
            Json::Null => Yaml::Value(Scalar::Null),
            Json::Bool(is) => Yaml::Value(Scalar::Boolean(is)),
            Json::Number(number) => Yaml::Value(match number.as_i64() {
                Some(integer) => Scalar::Integer(integer),
                None => Scalar::FloatingPoint(number.as_f64().unwrap_or(f64::NAN).into()),
            }),
            Json::String(text) => text.into_yaml(),
            Json::Array(items) => {
                items.into_iter().map(IntoYaml::into_yaml).collect::<Vec<_>>().into_yaml()
            }
            Json::Object(fields) => fields.into_yaml(),
        }
    }
}

impl IntoYaml for Map<String, Json> {
    fn into_yaml(self) -> Yaml<'static> {
        let fields =
            self.into_iter().fold(Fields::default(), |all, (name, value)| all.with(&name, value));
        fields.into_yaml()
    }
}

/// Serializes a file as JSON, its fields in the same order.
pub struct AsJson<'y>(pub &'y Yaml<'static>);

impl Serialize for AsJson<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.0 {
            Yaml::Value(Scalar::Boolean(is)) => serializer.serialize_bool(*is),
            Yaml::Value(Scalar::Integer(number)) => serializer.serialize_i64(*number),
            Yaml::Value(Scalar::FloatingPoint(number)) => serializer.serialize_f64(**number),
            Yaml::Value(Scalar::String(text)) => serializer.serialize_str(text),
            Yaml::Sequence(items) => serializer.collect_seq(items.iter().map(AsJson)),
            Yaml::Mapping(fields) => {
                let mut map = serializer.serialize_map(Some(fields.len()))?;
                for (name, value) in fields {
                    map.serialize_entry(&AsJson(name), &AsJson(value))?;
                }
                map.end()
            }
            // No other values are made in this module.
            _ => serializer.serialize_unit(),
        }
    }
}
