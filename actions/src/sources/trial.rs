//! Tries source files on one record, for `plaudit sources try`.

use super::mapping::Mapping;
use super::{Mapped, ParkReason, Sources};
use crate::formats::{DecodeError, Unavailable};
use crate::record::RawRecord;

/// The outcome of one entry of a source file for the record.
#[derive(Debug, Clone, PartialEq)]
pub struct TriedEntry {
    /// The entry, such as `teams.yaml: sources[0]`.
    pub entry: String,
    /// The outcome.
    pub outcome: TrialOutcome,
}

/// The outcome of an entry for a record.
#[derive(Debug, Clone, PartialEq)]
pub enum TrialOutcome {
    /// The entry maps this other topic.
    OtherTopic(String),
    /// `when` is false, so the entry does not apply.
    DoesNotApply,
    /// The actions and parked parts, by user.
    Mapped(Vec<Mapped>),
}

impl TrialOutcome {
    /// Returns true if the record, or its part for one of several users, would be parked.
    pub fn parks(&self) -> bool {
        let Self::Mapped(mapped) = self else { return false };
        mapped.iter().any(|mapped| matches!(mapped, Mapped::Park(_)))
    }
}

impl Sources {
    /// Tries every entry on a record, in the order of the files. Fails if the record would have to
    /// wait for its schema.
    pub fn try_record(&self, record: &RawRecord<'_>) -> Result<Vec<TriedEntry>, Unavailable> {
        let topic = self.by_topic.get(record.topic);
        let variables = match topic.map(|topic| self.variables(record, topic.format)) {
            None => None,
            Some(Ok(variables)) => Some(Ok(variables)),
            Some(Err(DecodeError::Unreadable(why))) => Some(Err(why)),
            Some(Err(DecodeError::Unavailable(why))) => return Err(why),
        };
        let mut data_bytes = 0;
        let mut outcome = |mapping: &Mapping| match &variables {
            Some(variables) if mapping.topic == record.topic => match variables {
                Err(why) => TrialOutcome::Mapped(vec![Mapped::Park(ParkReason::unreadable(why))]),
                Ok(variables) if mapping.applies(variables) == Ok(false) => {
                    TrialOutcome::DoesNotApply
                }
                Ok(variables) => TrialOutcome::Mapped(mapping.map(variables, &mut data_bytes)),
            },
            _ => TrialOutcome::OtherTopic(mapping.topic.clone()),
        };
        let tried = |mapping: &Mapping| TriedEntry {
            entry: mapping.name.clone(),
            outcome: outcome(mapping),
        };
        Ok(self.mappings.iter().map(tried).collect())
    }
}
