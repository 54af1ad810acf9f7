//! `plaudit rewards`.

use std::path::PathBuf;

use clap::Subcommand;
use jiff::Timestamp;
use uuid::Uuid;

use super::Format;

/// `plaudit rewards`.
#[derive(Debug, Subcommand)]
pub enum RewardsCommand {
    /// Lists grants with how their delivery goes.
    List {
        /// Only those in this state, e.g. failed.
        #[arg(long)]
        state: Option<String>,
        /// Only those of this code.
        #[arg(long)]
        code: Option<String>,
        /// Begin after this grant.
        #[arg(long)]
        after: Option<Uuid>,
        /// How many at most, up to 1000.
        #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u16).range(1..=1000))]
        limit: u16,
        #[command(flatten)]
        format: Format,
    },
    /// Shows a grant with every attempt to deliver it.
    Show {
        /// The grant.
        grant: Uuid,
        #[command(flatten)]
        format: Format,
    },
    /// Delivers grants again, under the same ids. Exit 1 if one of them can't be.
    Redeliver {
        /// The grants.
        #[arg(required_unless_present = "failed", conflicts_with = "failed")]
        grants: Vec<Uuid>,
        /// All that have failed.
        #[arg(long)]
        failed: bool,
        /// With --failed: only those of this code.
        #[arg(long, requires = "failed")]
        code: Option<String>,
        /// With --failed: only those of this kind.
        #[arg(long, requires = "failed")]
        kind: Option<String>,
        /// With --failed: only those whose delivery goes by this channel.
        #[arg(long, requires = "failed")]
        channel: Option<String>,
        /// With --failed: only those that were first seen to be due at this instant or later.
        #[arg(long, requires = "failed")]
        since: Option<Timestamp>,
        /// Why; it is kept in the users' histories.
        #[arg(long)]
        reason: String,
    },
    /// Grants a user a reward that no task promised. It is delivered as others are.
    Grant {
        /// The user.
        user: String,
        /// For the payer, e.g. currency.
        #[arg(long)]
        kind: String,
        /// For the payer, e.g. coin.
        #[arg(long)]
        code: String,
        /// The amount.
        #[arg(long, value_parser = clap::value_parser!(i64).range(1..))]
        amount: i64,
        /// Tells grants by hand of a user apart: the same line is granted once, for ever. Absent: a new one,
        /// which is printed before anything is granted, so that the command can be repeated with it.
        #[arg(long)]
        line: Option<String>,
        /// Stands for a line, as the header of the same name does over HTTP.
        #[arg(long, value_name = "KEY", conflicts_with = "line")]
        idempotency_key: Option<String>,
        /// The reason; kept in the user's history with your name.
        #[arg(long)]
        reason: String,
        #[command(flatten)]
        format: Format,
    },
    /// Takes rewards back that are not delivered. Exit 1 if one of them can't be.
    Revoke {
        /// The grants.
        #[arg(required = true)]
        grants: Vec<Uuid>,
        /// Also the other lines of a milestone that nobody claimed: they can only be claimed together.
        #[arg(long)]
        whole_milestone: bool,
        /// The reason; kept in the user's history with your name.
        #[arg(long)]
        reason: String,
    },
    /// Compares grants with what a payer says it paid. Exit 1 if they differ.
    Reconcile {
        /// What became payable, was delivered or failed at this instant or later.
        #[arg(long)]
        from: Timestamp,
        /// And before this instant.
        #[arg(long)]
        until: Timestamp,
        /// What the payer says: CSV with a header, separated by `,` or `;`, or one JSON object per line (.jsonl,
        /// .ndjson, .json), with the fields `grant` and `amount`. Without it: what has failed.
        #[arg(long, value_name = "FILE")]
        against: Option<PathBuf>,
        #[command(flatten)]
        format: Format,
    },
    /// After a restore of Plaudit or of a payer: delivers again what became due since then.
    Resync {
        /// What became due, was sent or ended at this instant or later, such as the moment that was restored; and what
        /// was sent before and is not confirmed.
        #[arg(long)]
        since: Timestamp,
        /// Also what is delivered already: for a payer that has forgotten what it paid.
        #[arg(long)]
        delivered: bool,
        /// Why; it is kept in the users' histories.
        #[arg(long)]
        reason: String,
    },
    /// Sends a payer's endpoint test messages that pay nothing. Exit 1 if it answers wrongly.
    TestEndpoint {
        /// The endpoint.
        url: String,
        /// The secret to sign with; by default those of the channel with this address.
        #[arg(long, value_name = "whsec_…")]
        secret: Option<String>,
        /// The endpoint may be in a private network, or on this machine.
        #[arg(long)]
        allow_private: bool,
    },
}
