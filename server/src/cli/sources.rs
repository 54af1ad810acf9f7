//! `plaudit sources`.

use std::path::PathBuf;

use clap::{Args, Subcommand};

/// `plaudit sources`.
#[derive(Debug, Subcommand)]
pub enum SourcesCommand {
    /// Checks source files.
    Check {
        /// Source files.
        #[arg(required = true)]
        files: Vec<PathBuf>,
    },
    /// Shows what source files make of records. Exit 1 if one would be parked.
    Try {
        /// The source file; with --topic absent: those in force.
        file: Option<PathBuf>,
        #[command(flatten)]
        tried: Tried,
    },
}

/// Which records are tried.
#[derive(Debug, Args)]
pub struct Tried {
    /// A record as JSON: {"topic", "key", "headers", "timestamp", "value"}.
    #[arg(long, required_unless_present = "topic", conflicts_with_all = ["topic", "last"])]
    pub record: Option<PathBuf>,
    /// The last records of this topic. Joins no group and commits nothing.
    #[arg(long)]
    pub topic: Option<String>,
    /// How many, up to 1000.
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u16).range(1..=1000))]
    pub last: u16,
}
