//! `plaudit config`.

use std::process::ExitCode;

use crate::config::{Config, SETTINGS, variable_of};

/// Prints what is in force, or what there is to set.
pub fn run(config: &Config, help_settings: bool) -> ExitCode {
    if help_settings {
        for setting in SETTINGS {
            let default = setting.default.map_or("none".to_owned(), |d| format!("{d:?}"));
            println!("{} ({})", setting.path, variable_of(setting.path));
            println!("    {}; default: {default}", setting.kind.unit());
            println!("    {}", setting.meaning);
        }
        println!("kafka.properties.NAME (PLAUDIT_KAFKA_PROPERTIES_NAME)");
        println!("    any property of librdkafka, such as security.protocol or sasl.mechanism");
    } else {
        config.lines().iter().for_each(|line| println!("{line}"));
    }
    ExitCode::SUCCESS
}
