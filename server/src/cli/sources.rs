//! `plaudit sources`.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::{Format, Reason};

/// `plaudit sources`.
#[derive(Debug, Subcommand)]
pub enum SourcesCommand {
    /// Checks source files.
    Check {
        /// Source files.
        #[arg(required = true)]
        files: Vec<PathBuf>,
    },
    /// Shows the actions that source files make from records. Exit 1 if a record would be parked.
    Try {
        /// The source file; default with --topic: the files in force.
        file: Option<PathBuf>,
        #[command(flatten)]
        tried: Tried,
    },
    /// Publishes source files, all or none. They take effect in every process within 2 s, in place
    /// of the files of the same name in its folder.
    Publish {
        /// Source files; each is published under its name.
        #[arg(required = true)]
        files: Vec<PathBuf>,
        #[command(flatten)]
        why: Reason,
    },
    /// Lists the source files in force, including those of the folder.
    List(Format),
    /// Lists every version of a published file with author, time and reason.
    History {
        /// The name of the file, such as teams.yaml.
        name: String,
        #[command(flatten)]
        format: Format,
    },
    /// Prints a published file, as it was published.
    Export {
        /// The name of the file, such as teams.yaml.
        name: String,
        /// The version; default: the one in force.
        number: Option<u32>,
    },
    /// Compares two versions of a published file, line by line.
    Diff {
        /// The name of the file, such as teams.yaml.
        name: String,
        /// The earlier version.
        #[arg(value_name = "V1")]
        before: u32,
        /// The later version.
        #[arg(value_name = "V2")]
        after: u32,
        /// Output format.
        #[command(flatten)]
        format: Format,
    },
    /// Publishes an earlier version of a file again, as a new one.
    Rollback {
        /// The name of the file, such as teams.yaml.
        name: String,
        /// The version whose content is published again.
        #[arg(long, value_name = "VERSION")]
        to: u32,
        #[command(flatten)]
        why: Reason,
    },
    /// Withdraws a published file. The folder's file of this name takes effect again, if there is
    /// one.
    Withdraw {
        /// The name of the file, such as teams.yaml.
        name: String,
        #[command(flatten)]
        why: Reason,
    },
}

/// The records to try.
#[derive(Debug, Args)]
pub struct Tried {
    /// A record as JSON: {"topic", "key", "headers", "timestamp", "value"}.
    #[arg(long, required_unless_present = "topic", conflicts_with_all = ["topic", "last"])]
    pub record: Option<PathBuf>,
    /// The last records of this topic. Joins no group and commits nothing.
    #[arg(long)]
    pub topic: Option<String>,
    /// The number of records, up to 1000.
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u16).range(1..=1000))]
    pub last: u16,
}
