//! `plaudit config`.

use std::process::ExitCode;

use crate::config::{Config, SETTINGS, variable_of};
use crate::output::outln;

/// Prints all settings.
pub fn help() -> ExitCode {
    for setting in SETTINGS {
        let default = setting.default.map_or("none".to_owned(), |d| format!("{d:?}"));
        outln!("{} ({})", setting.path, variable_of(setting.path));
        outln!("    {}; default: {default}", setting.kind.unit());
        outln!("    {}", setting.meaning);
    }
    outln!("kafka.properties.NAME (PLAUDIT_KAFKA_PROPERTIES_NAME)");
    outln!("    any property of librdkafka, such as security.protocol or sasl.mechanism");
    ExitCode::SUCCESS
}

/// Prints the current settings.
pub fn show(config: &Config) -> ExitCode {
    config.lines().iter().for_each(|line| outln!("{line}"));
    ExitCode::SUCCESS
}
