//! `plaudit streaks`.

use clap::{Args, Subcommand};
use jiff::Timestamp;
use plaudit_domain::ids::TaskId;

use super::Format;

/// `plaudit streaks`.
#[derive(Debug, Args)]
pub struct StreaksArgs {
    /// A server to talk to instead of the database, e.g. `https://plaudit.example`.
    #[arg(long, global = true, value_name = "URL", requires = "token")]
    pub url: Option<String>,
    /// The bearer token for the server, with the role operator.
    #[arg(long, global = true, value_name = "TOKEN", requires = "url")]
    pub token: Option<String>,
    /// The operation.
    #[command(subcommand)]
    pub command: StreaksCommand,
}

/// `plaudit streaks`.
#[derive(Debug, Subcommand)]
pub enum StreaksCommand {
    /// Declares that no streak breaks over a span of time, such as an outage.
    Amnesty {
        /// The first instant of the span, e.g. 2026-03-29T00:00:00Z.
        #[arg(long, value_name = "INSTANT")]
        from: Timestamp,
        /// The end of the span, exclusive.
        #[arg(long, value_name = "INSTANT")]
        until: Timestamp,
        /// Continuous tasks, separated by commas; default: all.
        #[arg(long, value_name = "ID,…", value_delimiter = ',')]
        tasks: Option<Vec<TaskId>>,
        /// The reason; recorded with your name.
        #[arg(long)]
        reason: String,
    },
    /// Lists the amnesties with their authors and reasons.
    List(Format),
}
