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
    /// What to do.
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
    /// Lists a task's versions and other changes, with who made them and why.
    History {
        /// The task.
        id: String,
        #[command(flatten)]
        format: Format,
    },
    /// Shows what is different between two versions of a task.
    Diff {
        /// The task.
        id: String,
        /// The earlier version.
        #[arg(value_name = "V1")]
        before: u32,
        /// The later version.
        #[arg(value_name = "V2")]
        after: u32,
        /// How to print.
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
        /// Only these tasks; without any, all that are not retired.
        ids: Vec<String>,
    },
    /// Pauses a task: no progress, but claims.
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
    /// Retires a task for good; claims stay possible. Asks first if a terminal is there.
    Retire {
        /// The task.
        id: String,
        /// Does not ask.
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
    /// Explains why a task did not move for a user, or would not move by an action.
    Why {
        /// The user.
        user: String,
        /// The task.
        task: String,
        /// An action as JSON; what is missing of its attributes is filled in.
        #[arg(long, value_name = "FILE")]
        action: Option<PathBuf>,
        #[command(flatten)]
        format: Format,
    },
    /// Shows what actions would do, by the catalogue in force or with task files. Writes nothing.
    Simulate {
        /// Task files that are tried as if they were published; without any, the catalogue in force.
        files: Vec<PathBuf>,
        /// The user on whose history the actions come on top.
        #[arg(long, required_unless_present = "actions")]
        user: Option<String>,
        /// Actions as JSON: one, an array, or one a line.
        #[arg(long, value_name = "FILE")]
        actions: Option<PathBuf>,
        #[command(flatten)]
        format: Format,
    },
    /// Changes a user's progress in an open period, up or down. Exit 1 if it can't be.
    Adjust {
        /// The user.
        user: String,
        /// The task.
        task: String,
        /// The amount to add; below zero to take back.
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
    /// Completes an open period of a user, whether the task is locked or not. Exit 1 if it can't be.
    Complete {
        /// The user.
        user: String,
        /// The task.
        task: String,
        #[command(flatten)]
        how: CorrectionArgs,
    },
    /// Starts an open period of a user over; of a continuous task, the streak. Exit 1 if it can't be.
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
    /// Shows how far the backfill of a task is; without a task, all of them.
    Status {
        /// The task.
        id: Option<String>,
        #[command(flatten)]
        format: Format,
    },
    /// Pauses it: it reads nothing until it is resumed.
    Pause {
        /// The task.
        id: String,
        #[command(flatten)]
        why: Reason,
    },
    /// Lets it go on where it was.
    Resume {
        /// The task.
        id: String,
        #[command(flatten)]
        why: Reason,
    },
    /// Ends it. What it has counted stays counted.
    Cancel {
        /// The task.
        id: String,
        #[command(flatten)]
        why: Reason,
    },
    /// Grants what a finished one holds back (`rewards: hold`).
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
    /// The period, e.g. 2026-03-29; absent: the one of this moment.
    #[arg(long, value_name = "KEY")]
    pub period: Option<String>,
    #[command(flatten)]
    pub why: CorrectionReason,
}

/// The reason of a correction, and how it is made once and printed.
#[derive(Debug, Clone, Args)]
pub struct CorrectionReason {
    /// The reason; kept in the user's history with your name.
    #[arg(long)]
    pub reason: String,
    /// The same key makes the change once, however often it is called.
    #[arg(long, value_name = "KEY")]
    pub idempotency_key: Option<String>,
    /// The output format.
    #[command(flatten)]
    pub format: Format,
}

/// Why something is changed.
#[derive(Debug, Clone, Args)]
pub struct Reason {
    /// Why; recorded with your name.
    #[arg(long)]
    pub reason: Option<String>,
}
