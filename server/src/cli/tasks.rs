//! `plaudit tasks`.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::Format;

/// `plaudit tasks`.
#[derive(Debug, Args)]
pub struct TasksArgs {
    /// A server to talk to instead of the database, e.g. `https://plaudit.example`.
    #[arg(long, global = true, value_name = "URL", requires = "token")]
    pub url: Option<String>,
    /// The bearer token for the server, with the role operator.
    #[arg(long, global = true, value_name = "TOKEN", requires = "url")]
    pub token: Option<String>,
    /// The operation.
    #[command(subcommand)]
    pub command: TasksCommand,
}

/// `plaudit tasks`.
#[derive(Debug, Subcommand)]
pub enum TasksCommand {
    /// Checks task files; needs nothing but the files.
    Validate {
        /// Task files, YAML or JSON.
        #[arg(required = true)]
        files: Vec<PathBuf>,
    },
    /// Shows what publishing task files would change, and for how many users.
    Plan {
        /// Task files, YAML or JSON.
        #[arg(required = true)]
        files: Vec<PathBuf>,
        #[command(flatten)]
        format: Format,
    },
    /// Publishes task files, all or nothing.
    Publish {
        /// Task files, YAML or JSON.
        #[arg(required = true)]
        files: Vec<PathBuf>,
        #[command(flatten)]
        why: Reason,
    },
    /// Lists the catalogue.
    List(Format),
    /// Shows a task's version in force.
    Show {
        /// The task.
        id: String,
    },
    /// Lists a task's versions and other changes with authors and reasons.
    History {
        /// The task.
        id: String,
        #[command(flatten)]
        format: Format,
    },
    /// Compares two versions of a task.
    Diff {
        /// The task.
        id: String,
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
    /// Publishes an earlier version again, as a new one.
    Rollback {
        /// The task.
        id: String,
        /// The version whose definition is published again.
        #[arg(long, value_name = "VERSION")]
        to: u32,
        #[command(flatten)]
        why: Reason,
    },
    /// Prints the catalogue as a task file that publishes to the same.
    Export {
        /// The tasks; default: all that are not retired.
        ids: Vec<String>,
    },
    /// Pauses a task: it stops counting; claims still work.
    Pause {
        /// The task.
        id: String,
        #[command(flatten)]
        why: Reason,
    },
    /// Resumes a paused task.
    Resume {
        /// The task.
        id: String,
        #[command(flatten)]
        why: Reason,
    },
    /// Retires a task for good; claims still work. Asks for confirmation on a terminal.
    Retire {
        /// The task.
        id: String,
        /// Skips the confirmation.
        #[arg(long)]
        yes: bool,
        #[command(flatten)]
        why: Reason,
    },
    /// Shows and changes backfills: new tasks that count past actions.
    Backfill {
        /// The operation.
        #[command(subcommand)]
        command: BackfillCommand,
    },
    /// Explains why a task does not move for a user, or what an action would do.
    Why {
        /// The user.
        user: String,
        /// The task.
        task: String,
        /// An action as JSON; missing attributes are filled in.
        #[arg(long, value_name = "FILE")]
        action: Option<PathBuf>,
        #[command(flatten)]
        format: Format,
    },
    /// Dry run: shows what actions would do, with the catalogue in force or task files. Writes
    /// nothing.
    Simulate {
        /// Task files, treated as published; default: the catalogue in force.
        files: Vec<PathBuf>,
        /// The user whose history the actions are added to.
        #[arg(long, required_unless_present = "actions")]
        user: Option<String>,
        /// Actions as JSON: one, an array, or one per line.
        #[arg(long, value_name = "FILE")]
        actions: Option<PathBuf>,
        #[command(flatten)]
        format: Format,
    },
    /// Changes a user's progress in an open period, up or down. Exit 1 if refused.
    Adjust {
        /// The user.
        user: String,
        /// The task.
        task: String,
        /// The amount to add; negative to subtract.
        #[arg(
            long,
            value_name = "N",
            allow_hyphen_values = true,
            required_unless_present = "to",
            conflicts_with = "to"
        )]
        by: Option<i64>,
        /// The progress to set.
        #[arg(long, value_name = "N", value_parser = clap::value_parser!(i64).range(0..))]
        to: Option<i64>,
        #[command(flatten)]
        how: CorrectionArgs,
    },
    /// Completes an open period of a user, even if the task is locked. Exit 1 if refused.
    Complete {
        /// The user.
        user: String,
        /// The task.
        task: String,
        #[command(flatten)]
        how: CorrectionArgs,
    },
    /// Restarts an open period of a user; for a continuous task, the streak. Exit 1 if refused.
    Reset {
        /// The user.
        user: String,
        /// The task.
        task: String,
        #[command(flatten)]
        how: CorrectionArgs,
    },
    /// Fills a missed period of a user's streak, as a make-up does. Exit 1 if it can't be.
    Restore {
        /// The user.
        user: String,
        /// The task.
        task: String,
        /// The missed period, e.g. 2026-03-29.
        #[arg(long, value_name = "KEY")]
        period: String,
        #[command(flatten)]
        why: CorrectionReason,
    },
    /// Prints the JSON Schema of task files.
    Schema,
}

/// `plaudit tasks backfill`.
#[derive(Debug, Subcommand)]
pub enum BackfillCommand {
    /// Shows the progress of a task's backfill, or of all.
    Status {
        /// The task.
        id: Option<String>,
        #[command(flatten)]
        format: Format,
    },
    /// Pauses a backfill until it is resumed.
    Pause {
        /// The task.
        id: String,
        #[command(flatten)]
        why: Reason,
    },
    /// Resumes a paused backfill where it stopped.
    Resume {
        /// The task.
        id: String,
        #[command(flatten)]
        why: Reason,
    },
    /// Cancels a backfill. What it has counted stays counted.
    Cancel {
        /// The task.
        id: String,
        #[command(flatten)]
        why: Reason,
    },
    /// Grants the rewards that a finished backfill holds back (`rewards: hold`).
    Release {
        /// The task.
        id: String,
        #[command(flatten)]
        why: Reason,
    },
}

/// Arguments of corrections of progress.
#[derive(Debug, Clone, Args)]
pub struct CorrectionArgs {
    /// The period, e.g. 2026-03-29; default: the current one.
    #[arg(long, value_name = "KEY")]
    pub period: Option<String>,
    #[command(flatten)]
    pub why: CorrectionReason,
}

/// Options of a correction: its reason, idempotency key and output.
#[derive(Debug, Clone, Args)]
pub struct CorrectionReason {
    /// The reason; kept in the user's history with your name.
    #[arg(long)]
    pub reason: String,
    /// Repeats with the same key make the change once.
    #[arg(long, value_name = "KEY")]
    pub idempotency_key: Option<String>,
    /// The output format.
    #[command(flatten)]
    pub format: Format,
}

/// The reason of a change.
#[derive(Debug, Clone, Args)]
pub struct Reason {
    /// Reason; recorded with your name.
    #[arg(long)]
    pub reason: Option<String>,
}
