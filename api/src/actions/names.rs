//! The identifying attributes of an element that is not a valid action.

use serde::de::{IgnoredAny, MapAccess, Visitor};
use serde_json::value::RawValue;

/// The attributes of an element that are present and are text.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Names {
    pub source: Option<String>,
    pub id: Option<String>,
    pub subject: Option<String>,
}

impl Names {
    /// Reads the attributes and keeps nothing else of the element, however large it is. Of several
    /// fields with the same name the last one counts.
    pub fn of(json: &[u8]) -> Self {
        serde_json::from_slice(json).unwrap_or_default()
    }
}

impl<'de> serde::Deserialize<'de> for Names {
    fn deserialize<D: serde::Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Reader;
        impl<'de> Visitor<'de> for Reader {
            type Value = Names;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut object: A) -> Result<Names, A::Error> {
                let mut names = Names::default();
                while let Some(field) = object.next_key::<String>()? {
                    let name = match field.as_str() {
                        "source" => &mut names.source,
                        "id" => &mut names.id,
                        "subject" => &mut names.subject,
                        _ => {
                            object.next_value::<IgnoredAny>()?;
                            continue;
                        }
                    };
                    let value: &RawValue = object.next_value()?;
                    *name = serde_json::from_str(value.get()).ok();
                }
                Ok(names)
            }
        }
        from.deserialize_map(Reader)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_text_names_an_element() {
        let names =
            Names::of(br#"{"id":{"a":1},"data":[0,0],"source":"/s","subject":"a","subject":"b"}"#);
        let text = |text: &str| Some(text.to_owned());
        assert_eq!(names, Names { source: text("/s"), id: None, subject: text("b") });
        for nameless in ["7", "null", r#"["/s","1","u"]"#, "{"] {
            assert_eq!(Names::of(nameless.as_bytes()), Names::default(), "{nameless}");
        }
    }
}
