//! Configuration: `plaudit.toml`, overridden by the environment, overridden by flags.

mod redaction;
mod settings;

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

use plaudit_domain::suggestion;
use redaction::redacted;
use settings::Kind;
pub use settings::SETTINGS;

/// The current settings, each with its origin.
#[derive(Debug, Clone)]
pub struct Config {
    values: BTreeMap<String, Value>,
    /// The folder that relative paths start from: that of the file, else the working directory.
    base: PathBuf,
}

#[derive(Debug, Clone)]
struct Value {
    text: String,
    from: String,
}

/// The errors of the configuration, all of them.
#[derive(Debug, thiserror::Error)]
#[error("{}", .0.join("\n"))]
pub struct ConfigError(pub Vec<String>);

/// Prefix of the properties that go to librdkafka unchanged.
const KAFKA_PROPERTIES: &str = "kafka.properties.";

impl Config {
    /// Reads the file (`--config`, else `./plaudit.toml` if it exists), the environment, and
    /// overrides of the form `path=value`.
    pub fn load(
        file: Option<&Path>,
        environment: impl Iterator<Item = (OsString, OsString)>,
        overrides: &[(String, String)],
    ) -> Result<Self, ConfigError> {
        let mut errors = Vec::new();
        let mut values: BTreeMap<String, Value> = BTreeMap::new();
        for setting in SETTINGS {
            if let Some(default) = setting.default {
                values.insert(
                    setting.path.to_owned(),
                    Value { text: default.to_owned(), from: "default".to_owned() },
                );
            }
        }
        let found = file
            .map(Path::to_owned)
            .or_else(|| Some(PathBuf::from("plaudit.toml")).filter(|p| p.exists()));
        let base =
            found.as_deref().and_then(Path::parent).map_or_else(PathBuf::new, Path::to_owned);
        if let Some(path) = &found {
            match std::fs::read_to_string(path) {
                Ok(text) => read_file(path, &text, &mut values, &mut errors),
                Err(error) => errors.push(format!("{}: {error}", path.display())),
            }
        }
        for (name, text) in environment {
            // Other programs' variables may hold any bytes.
            let name = name.to_string_lossy().into_owned();
            if !name.starts_with("PLAUDIT_") {
                continue;
            }
            match (setting_of_variable(&name), text.into_string()) {
                (Some(path), Ok(text)) => drop(values.insert(path, Value { text, from: name })),
                (Some(_), Err(_)) => errors.push(format!("the value of {name} is not UTF-8")),
                (None, _) => errors.push(unknown_variable(&name)),
            }
        }
        for (path, text) in overrides {
            if is_known(path) {
                values.insert(path.clone(), Value { text: text.clone(), from: "flag".to_owned() });
            } else {
                errors.push(unknown(path));
            }
        }
        let config = Self { values, base };
        errors.extend(config.check());
        if errors.is_empty() { Ok(config) } else { Err(ConfigError(errors)) }
    }

    /// True if a setting has its default.
    pub fn is_default(&self, path: &str) -> bool {
        self.values.get(path).is_some_and(|value| value.from == "default")
    }

    /// Sets a value that a command chooses itself, such as the address of a database that it
    /// started.
    pub fn set(&mut self, path: &str, text: impl Into<String>) {
        self.values
            .insert(path.to_owned(), Value { text: text.into(), from: "this command".to_owned() });
    }

    /// Checks the settings again, after [`Self::set`].
    pub fn recheck(&self) -> Result<(), ConfigError> {
        let errors = self.check();
        if errors.is_empty() { Ok(()) } else { Err(ConfigError(errors)) }
    }

    /// The value of a setting; `None` if it has neither value nor default.
    pub fn get(&self, path: &str) -> Option<&str> {
        self.values.get(path).map(|value| value.text.as_str()).filter(|text| !text.is_empty())
    }

    /// The value of a setting that a command requires.
    pub fn require(&self, path: &str) -> Result<&str, ConfigError> {
        let hint = || {
            let variable = variable_of(path);
            ConfigError(vec![format!(
                "`{path}` is not set; set it in plaudit.toml, as {variable}, or with --set {path}=…"
            )])
        };
        self.get(path).ok_or_else(hint)
    }

    /// A whole number, which was checked when the settings were read.
    pub fn number(&self, path: &str) -> u32 {
        self.get(path).and_then(|text| text.parse().ok()).unwrap_or_default()
    }

    /// A duration, which was checked when the settings were read.
    pub fn duration(&self, path: &str) -> std::time::Duration {
        let seconds = self.get(path).and_then(|text| plaudit_domain::duration::seconds(text).ok());
        std::time::Duration::from_secs(seconds.unwrap_or_default().unsigned_abs())
    }

    /// A path, relative to the configuration file.
    pub fn path(&self, path: &str) -> Option<PathBuf> {
        self.get(path).map(|text| self.base.join(text))
    }

    /// A comma list.
    pub fn list(&self, path: &str) -> Vec<String> {
        let text = self.get(path).unwrap_or_default();
        text.split(',').map(str::trim).filter(|part| !part.is_empty()).map(str::to_owned).collect()
    }

    /// Further properties of the Kafka clients.
    pub fn kafka_properties(&self) -> BTreeMap<String, String> {
        let own = self.values.iter();
        own.filter_map(|(path, value)| {
            Some((path.strip_prefix(KAFKA_PROPERTIES)?.to_owned(), value.text.clone()))
        })
        .collect()
    }

    /// The current settings, one line each, without secrets.
    pub fn lines(&self) -> Vec<String> {
        let line = |(path, value): (&String, &Value)| {
            let shown = redacted(path, &value.text);
            format!("{path} = {shown:?}  # {}", value.from)
        };
        self.values.iter().map(line).collect()
    }

    fn check(&self) -> Vec<String> {
        let mut errors = Vec::new();
        for setting in SETTINGS {
            let Some(value) = self.values.get(setting.path) else { continue };
            if let Err(expected) = setting.accepts(&value.text) {
                if matches!(setting.kind, Kind::Channels) {
                    errors.push(format!("`{}` (from {}): {expected}", setting.path, value.from));
                    continue;
                }
                errors.push(format!(
                    "`{}` (from {}) must be {expected}, got {:?}",
                    setting.path,
                    value.from,
                    redacted(setting.path, &value.text)
                ));
            }
            if matches!(setting.kind, Kind::List)
                && let Some(twice) = named_twice(&value.text)
            {
                errors
                    .push(format!("`{}` (from {}) names {twice} twice", setting.path, value.from));
            }
        }
        errors
    }
}

/// The first entry that a comma list names twice.
fn named_twice(list: &str) -> Option<&str> {
    let entries: Vec<&str> = list.split(',').map(str::trim).filter(|e| !e.is_empty()).collect();
    let mut later = (1..).zip(&entries);
    later.find(|(n, entry)| entries[*n..].contains(*entry)).map(|(_, entry)| *entry)
}

fn is_known(path: &str) -> bool {
    SETTINGS.iter().any(|s| s.path == path)
        || path.strip_prefix(KAFKA_PROPERTIES).is_some_and(|rest| !rest.is_empty())
}

fn unknown(path: &str) -> String {
    let known: Vec<&str> = SETTINGS.iter().map(|setting| setting.path).collect();
    let similar = suggestion::nearest(path, &known);
    let hint = similar.map_or(String::new(), |known| format!("did you mean `{known}`? "));
    format!("unknown setting `{path}`; {hint}`plaudit config --help-settings` lists all")
}

fn unknown_variable(name: &str) -> String {
    let variables: Vec<String> = SETTINGS.iter().map(|setting| variable_of(setting.path)).collect();
    let known: Vec<&str> = variables.iter().map(String::as_str).collect();
    let similar = suggestion::nearest(name, &known);
    let hint = similar.map_or(String::new(), |known| format!("did you mean {known}? "));
    format!(
        "unknown setting {name} in the environment; {hint}`plaudit config --help-settings` lists all"
    )
}

/// The environment variable of a setting: its path in capitals joined by `_`.
pub fn variable_of(path: &str) -> String {
    format!("PLAUDIT_{}", path.replace('.', "_").to_uppercase())
}

/// The setting of an environment variable. For librdkafka's properties, whose names have dots,
/// `PLAUDIT_KAFKA_PROPERTIES_SASL_MECHANISM` is `sasl.mechanism`.
fn setting_of_variable(name: &str) -> Option<String> {
    if let Some(setting) = SETTINGS.iter().find(|s| variable_of(s.path) == name) {
        return Some(setting.path.to_owned());
    }
    let property =
        name.strip_prefix("PLAUDIT_KAFKA_PROPERTIES_").filter(|rest| !rest.is_empty())?;
    Some(format!("{KAFKA_PROPERTIES}{}", property.to_lowercase().replace('_', ".")))
}

/// Reads a file's tables into `path = value` pairs.
fn read_file(
    path: &Path,
    text: &str,
    values: &mut BTreeMap<String, Value>,
    errors: &mut Vec<String>,
) {
    let table: toml::Table = match text.parse() {
        Ok(table) => table,
        Err(error) => return errors.push(format!("{}: {error}", path.display())),
    };
    let mut waiting: Vec<(String, toml::Value)> = table.into_iter().collect();
    while let Some((name, value)) = waiting.pop() {
        let text = match value {
            toml::Value::Table(inner) => {
                waiting
                    .extend(inner.into_iter().map(|(key, value)| (format!("{name}.{key}"), value)));
                continue;
            }
            toml::Value::String(text) => text,
            // A list of tables becomes JSON.
            toml::Value::Array(items) if items.iter().any(toml::Value::is_table) => {
                serde_json::to_string(&items).unwrap_or_default()
            }
            toml::Value::Array(items) => {
                let text = |item: &toml::Value| {
                    item.as_str().map_or_else(|| item.to_string(), str::to_owned)
                };
                items.iter().map(text).collect::<Vec<_>>().join(",")
            }
            other => other.to_string(),
        };
        if is_known(&name) {
            values.insert(name, Value { text, from: path.display().to_string() });
        } else {
            errors.push(format!("{}: {}", path.display(), unknown(&name)));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn load(environment: &[(&str, &str)], flags: &[(&str, &str)]) -> Result<Config, ConfigError> {
        let environment = environment.iter().map(|(k, v)| ((*k).into(), (*v).into()));
        let flags: Vec<_> = flags.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
        Config::load(None, environment, &flags)
    }

    #[test]
    fn flags_override_the_environment_and_that_the_defaults() {
        assert_eq!(load(&[], &[]).unwrap().get("kafka.group"), Some("plaudit"));
        let environment =
            [("PLAUDIT_KAFKA_GROUP", "a"), ("PLAUDIT_AUTH_HS256_SECRET", &"s".repeat(32))];
        assert_eq!(load(&environment, &[]).unwrap().get("kafka.group"), Some("a"));
        assert_eq!(
            load(&environment, &[("kafka.group", "b")]).unwrap().get("kafka.group"),
            Some("b")
        );
    }

    #[test]
    fn an_unknown_setting_is_an_error_wherever_it_stands() {
        let message = load(&[("PLAUDIT_KAFKA_GRUOP", "a")], &[]).unwrap_err().to_string();
        assert!(message.contains("did you mean PLAUDIT_KAFKA_GROUP?"), "{message}");
        let message = load(&[], &[("kafka.gruop", "a")]).unwrap_err().to_string();
        assert!(message.contains("did you mean `kafka.group`?"), "{message}");
        let message = load(&[], &[("nothing.like.it", "a")]).unwrap_err().to_string();
        assert!(!message.contains("did you mean"), "{message}");
        let mut errors = vec![];
        read_file(
            Path::new("plaudit.toml"),
            "[kafka]\ngruop = 'a'\n[nothing]\nx = 1",
            &mut BTreeMap::new(),
            &mut errors,
        );
        assert_eq!(errors.len(), 2, "{errors:?}");
    }

    #[test]
    fn an_invalid_value_is_reported_with_what_is_expected() {
        let error = load(&[], &[("http.listen", "nowhere"), ("future_tolerance", "5 minutes")])
            .unwrap_err();
        assert_eq!(error.0.len(), 2, "{error}");
    }

    #[test]
    fn a_list_that_names_an_entry_twice_is_an_error() {
        assert_eq!(named_twice("a, b,c"), None);
        assert_eq!(named_twice("a, b ,c,b"), Some("b"));
        let error = load(&[("PLAUDIT_KAFKA_TOPICS", "a,b,a")], &[]).unwrap_err().to_string();
        assert!(error.contains("names a twice"), "{error}");
    }

    /// Checks `docs/operations.md` against the settings.
    #[test]
    fn every_setting_is_documented() {
        let docs = include_str!("../../docs/operations.md");
        for setting in SETTINGS {
            let row = docs.lines().find(|line| line.starts_with(&format!("| `{}`", setting.path)));
            let row =
                row.unwrap_or_else(|| panic!("`{}` is not in docs/operations.md", setting.path));
            assert!(row.contains(&variable_of(setting.path)), "{row}");
            assert!(setting.default.is_none_or(|default| row.contains(default)), "{row}");
        }
    }

    #[test]
    fn secrets_are_not_shown() {
        let environment = [
            ("PLAUDIT_AUTH_HS256_SECRET", "0123456789abcdef0123456789abcdef"),
            ("PLAUDIT_DATABASE_URL", "postgres://me:pass@host/db"),
            ("PLAUDIT_KAFKA_PROPERTIES_SASL_PASSWORD", "hunter2"),
        ];
        let shown = load(&environment, &[]).unwrap().lines().join("\n");
        for secret in ["0123456789abcdef", "pass@", "hunter2"] {
            assert!(!shown.contains(secret), "{shown}");
        }
        assert!(shown.contains("me:***@host"), "{shown}");
    }

    #[test]
    fn bytes_that_are_not_utf_8_are_an_error_in_our_variables_only() {
        use std::os::unix::ffi::OsStringExt as _;
        let load = |name: &str| {
            let bytes = OsString::from_vec(vec![0xff]);
            Config::load(None, [(OsString::from(name), bytes)].into_iter(), &[])
        };
        assert!(load("LS_COLORS").is_ok());
        let error = load("PLAUDIT_KAFKA_GROUP").unwrap_err().to_string();
        assert!(error.contains("PLAUDIT_KAFKA_GROUP is not UTF-8"), "{error}");
    }

    #[test]
    fn an_address_to_listen_on_may_be_a_name() {
        for good in ["127.0.0.1:8080", "[::1]:0", "localhost:8080"] {
            assert!(load(&[("PLAUDIT_HTTP_LISTEN", good)], &[]).is_ok(), "{good}");
        }
        for bad in ["8080", ":8080", "localhost", "localhost:http", "localhost:70000", "::1:80"] {
            assert!(load(&[("PLAUDIT_HTTP_LISTEN", bad)], &[]).is_err(), "{bad}");
        }
    }
}
