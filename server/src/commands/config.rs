//! `plaudit config`.

use std::process::ExitCode;

use crate::config::{Config, SETTINGS, variable_of};
use crate::output::say;

/// Prints what there is to set.
pub fn help() -> ExitCode {
    for setting in SETTINGS {
        let default = setting.default.map_or("none".to_owned(), |d| format!("{d:?}"));
        say!("{} ({})", setting.path, variable_of(setting.path));
        say!("    {}; default: {default}", setting.kind.unit());
        say!("    {}", setting.meaning);
    }
    say!("kafka.properties.NAME (PLAUDIT_KAFKA_PROPERTIES_NAME)");
    say!("    any property of librdkafka, such as security.protocol or sasl.mechanism");
    ExitCode::SUCCESS
}

/// Prints what is in force.
pub fn show(config: &Config) -> ExitCode {
    config.lines().iter().for_each(|line| say!("{line}"));
    ExitCode::SUCCESS
}
