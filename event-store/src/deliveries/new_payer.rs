//! Redeliveries that would go to a different payer than the earlier attempts.

use std::fmt;
use std::sync::Arc;

use plaudit_domain::user_tasks::RewardState;
use uuid::Uuid;

use super::{DeliveryState, GrantEntry};

/// Maps the kind and the code of a reward to a channel.
type Route = dyn Fn(&str, &str) -> Option<String> + Send + Sync;

/// Names the channel that leads to the payer of a reward, by its kind and code and the settings in force.
#[derive(Clone)]
pub struct PayerRoutes(Arc<Route>);

impl PayerRoutes {
    /// Wraps a function that returns `None` if this process does not know the channel.
    pub fn new(route: impl Fn(&str, &str) -> Option<String> + Send + Sync + 'static) -> Self {
        Self(Arc::new(route))
    }

    /// Routes of a process without channel settings.
    pub fn unknown() -> Self {
        Self::new(|_, _| None)
    }
}

impl fmt::Debug for PayerRoutes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PayerRoutes")
    }
}

/// A redelivery was refused, because it would go to a different payer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "grant {grant} was sent by the channel {asked}, and would go by {new} now: if the payer behind {asked} has paid and \
     its answer was lost, the one behind {new} pays it a second time. If it is the same payer, or the first one has not \
     paid, repeat this with --to-new-payer, or `to_new_payer` over HTTP"
)]
pub struct NewPayer {
    /// The grant.
    pub grant: Uuid,
    /// The channel that it was already sent by.
    pub asked: String,
    /// The channel of the current settings.
    pub new: String,
}

impl GrantEntry {
    /// Returns the conflict if a redelivery would go to a different payer than the earlier
    /// attempts. `None` if nothing was sent, the channel is the same, or this process does not know
    /// it.
    pub fn new_payer(&self, routes: &PayerRoutes) -> Option<NewPayer> {
        let (reward, to_payer) = (&self.row.reward, self.deliveries.iter().find(|d| d.pays)?);
        let new = routes.0(&reward.kind, &reward.code)?;
        // The state changes to `Delivering` before the first attempt is noted, or the topic's place
        // is stored.
        let was_sent = to_payer.attempts > 0
            || to_payer.may_be_published
            || to_payer.state == DeliveryState::Sent.as_str()
            || matches!(self.row.state, RewardState::Delivering | RewardState::Delivered);
        let (grant, asked) = (reward.grant, to_payer.channel.clone());
        (was_sent && new != asked).then_some(NewPayer { grant, asked, new })
    }
}
