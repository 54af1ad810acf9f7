//! `plaudit rewards`.

use std::path::PathBuf;

use clap::Subcommand;
use jiff::Timestamp;
use uuid::Uuid;

use super::Format;

/// `plaudit rewards`.
#[derive(Debug, Subcommand)]
pub enum RewardsCommand {
    /// Lists grants with the state of their delivery.
    List {
        /// Only grants in this state, e.g. failed.
        #[arg(long)]
        state: Option<String>,
        /// Only grants with this code.
        #[arg(long)]
        code: Option<String>,
        /// Start after this grant.
        #[arg(long)]
        after: Option<Uuid>,
        /// Maximum number of entries, up to 1000.
        #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u16).range(1..=1000))]
        limit: u16,
        #[command(flatten)]
        format: Format,
    },
    /// Shows a grant with its last 200 delivery attempts.
    Show {
        /// The grant.
        grant: Uuid,
        #[command(flatten)]
        format: Format,
    },
    /// Delivers grants again, under the same ids. Exit 1 if one can't be delivered again.
    Redeliver {
        /// The grants.
        #[arg(required_unless_present = "failed", conflicts_with = "failed")]
        grants: Vec<Uuid>,
        /// All failed grants.
        #[arg(long)]
        failed: bool,
        /// With --failed: only grants with this code.
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
        /// Also rewards that would go to another payer than the one that was asked before: both may
        /// pay.
        #[arg(long)]
        to_new_payer: bool,
        /// Reason; kept in the users' histories.
        #[arg(long)]
        reason: String,
    },
    /// Grants a user a reward by hand, independent of any task. It is delivered like all others.
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
        /// Name of the grant among the user's grants by hand; each is granted once, ever. Absent: a
        /// new one, which is printed before anything is granted, so that the command can be
        /// repeated with it.
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
    /// Revokes undelivered rewards. Exit 1 if one can't be revoked.
    Revoke {
        /// The grants.
        #[arg(required = true)]
        grants: Vec<Uuid>,
        /// Also revoke the other lines of an unclaimed milestone: they can only be claimed
        /// together.
        #[arg(long)]
        whole_milestone: bool,
        /// The reason; kept in the user's history with your name.
        #[arg(long)]
        reason: String,
    },
    /// Compares grants with the payments a payer reports. Exit 1 if they differ.
    Reconcile {
        /// Grants that became payable, were delivered or failed at this instant or later.
        #[arg(long)]
        from: Timestamp,
        /// End of the span, exclusive.
        #[arg(long)]
        until: Timestamp,
        /// The payer's payments: CSV with a header, separated by `,` or `;`, or one JSON object per
        /// line (.jsonl, .ndjson, .json), with the fields `grant` and `amount`. Without it: what
        /// has failed.
        #[arg(long, value_name = "FILE")]
        against: Option<PathBuf>,
        #[command(flatten)]
        format: Format,
    },
    /// Delivers again what became due since a moment, after a restore of Plaudit or of a payer.
    Resync {
        /// Rewards that became due, were sent or ended at this instant or later, such as the moment
        /// that was restored; and what was sent before and is not confirmed.
        #[arg(long)]
        since: Timestamp,
        /// Also deliver again what is already delivered: for a payer that was restored itself.
        #[arg(long)]
        delivered: bool,
        /// Also rewards that would go to another payer than the one that was asked before: both may
        /// pay.
        #[arg(long)]
        to_new_payer: bool,
        /// Reason; kept in the users' histories.
        #[arg(long)]
        reason: String,
    },
    /// Sends test messages, which pay nothing, to a payer's endpoint. Exit 1 if it answers wrongly.
    TestEndpoint {
        /// The endpoint.
        url: String,
        /// The secret to sign with; default: the secrets of the channel with this URL.
        #[arg(long, value_name = "whsec_…")]
        secret: Option<String>,
        /// Allow an endpoint in a private network or on this machine.
        #[arg(long)]
        allow_private: bool,
    },
}
