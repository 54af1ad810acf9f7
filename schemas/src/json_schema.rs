//! JSON values that name their JSON Schema.

use jsonschema::{PatternOptions, Registry, Validator};
use serde_json::Value as Json;

use crate::schema::SchemaText;

/// Base URI of references if the schema has no `$id`.
const BASE: &str = "registry:///schema.json";

/// The validator of a schema's values.
pub struct JsonSchema(Validator);

impl JsonSchema {
    pub fn compile(schema: &SchemaText) -> Result<Self, String> {
        let json: Json = serde_json::from_str(&schema.text).map_err(|e| e.to_string())?;
        let id = json.get("$id").and_then(Json::as_str);
        let base = id.and_then(|id| reqwest::Url::parse(id).ok());
        let base = match base {
            Some(base) => base,
            None => reqwest::Url::parse(BASE).map_err(|e| e.to_string())?,
        };
        let mut registry = Registry::new();
        for reference in &schema.references {
            // A name is resolved as `$ref` would be.
            let uri = base.join(&reference.name).map_err(|e| e.to_string())?;
            let json: Json = serde_json::from_str(&reference.text).map_err(|e| e.to_string())?;
            registry = registry.add(uri.as_str(), json).map_err(|e| e.to_string())?;
        }
        let registry = registry.prepare().map_err(|e| e.to_string())?;
        // Patterns are matched by `regex`, which takes linear time on any text.
        let options = jsonschema::options()
            .with_base_uri(base.as_str())
            .with_registry(&registry)
            .with_pattern_options(PatternOptions::regex());
        Ok(Self(options.build(&json).map_err(|e| e.to_string())?))
    }

    pub fn decode(&self, bytes: &[u8]) -> Result<Json, String> {
        let value = serde_json::from_slice(bytes).map_err(|e| format!("not valid JSON: {e}"))?;
        match self.0.validate(&value) {
            Ok(()) => Ok(value),
            Err(error) => {
                let place = error.instance_path().to_string();
                let why = format!("the value is not what it says at {place:?}: {error}");
                Err(why)
            }
        }
    }
}
