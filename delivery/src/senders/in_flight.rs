//! The messages that are on their way, by channel. Such a message is not sent a second time, and
//! not given up before its answer is there.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard};

use uuid::Uuid;

/// Shared by the senders of a process and its upkeep.
#[derive(Debug, Clone, Default)]
pub struct InFlight(Arc<Mutex<HashMap<String, HashSet<Uuid>>>>);

impl InFlight {
    pub fn add(&self, channel: &str, grant: Uuid) {
        self.lock().entry(channel.to_owned()).or_default().insert(grant);
    }

    pub fn remove(&self, channel: &str, grant: Uuid) {
        if let Some(grants) = self.lock().get_mut(channel) {
            grants.remove(&grant);
        }
    }

    pub fn has(&self, channel: &str, grant: Uuid) -> bool {
        self.lock().get(channel).is_some_and(|grants| grants.contains(&grant))
    }

    /// Removes a channel's messages: its sender starts, so nothing is on its way.
    pub fn forget(&self, channel: &str) {
        self.lock().remove(channel);
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, HashSet<Uuid>>> {
        self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}
