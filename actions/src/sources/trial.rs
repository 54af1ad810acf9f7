//! What a source file makes of one record: `plaudit sources try`.

use std::path::Path;

use super::mapping::Mapping;
use super::variables::Variables;
use super::{Mapped, ParkReason, SourceError, file};
use crate::record::OwnedRecord;

/// What one entry of a source file makes of a record.
#[derive(Debug, Clone, PartialEq)]
pub struct TriedEntry {
    /// The entry, such as `teams.yaml: sources[0]`.
    pub entry: String,
    /// What it makes of the record.
    pub outcome: TrialOutcome,
}

/// What an entry makes of a record.
#[derive(Debug, Clone, PartialEq)]
pub enum TrialOutcome {
    /// The entry is for this other topic.
    OtherTopic(String),
    /// `when` is false.
    DoesNotApply,
    /// What the record means for each user.
    Mapped(Vec<Mapped>),
}

impl TrialOutcome {
    /// Whether the record, or its part for one of several users, would be parked.
    pub fn parks(&self) -> bool {
        let Self::Mapped(mapped) = self else { return false };
        mapped.iter().any(|mapped| matches!(mapped, Mapped::Park(_)))
    }
}

/// Why nothing could be tried.
#[derive(Debug, thiserror::Error)]
pub enum TrialError {
    /// What is wrong with the source file.
    #[error("{}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))]
    Source(Vec<SourceError>),
    /// The record file does not hold a record.
    #[error("the record: {0}")]
    Record(String),
}

/// Tries each entry of a source file on a record, given as [`OwnedRecord::from_json`] reads it.
pub fn try_record(source_file: &Path, record_json: &str) -> Result<Vec<TriedEntry>, TrialError> {
    let mappings = file::read(source_file).map_err(TrialError::Source)?;
    let record = OwnedRecord::from_json(record_json).map_err(TrialError::Record)?;
    let record = record.as_raw();
    let variables = Variables::of(&record);
    let outcome = |mapping: &Mapping| match &variables {
        _ if mapping.topic() != record.topic => {
            TrialOutcome::OtherTopic(mapping.topic().to_owned())
        }
        Err(why) => TrialOutcome::Mapped(vec![Mapped::Park(ParkReason::unreadable(why))]),
        Ok(variables) if mapping.applies(variables) == Ok(false) => TrialOutcome::DoesNotApply,
        Ok(variables) => TrialOutcome::Mapped(mapping.map(variables)),
    };
    Ok(mappings.iter().map(|m| TriedEntry { entry: m.name.clone(), outcome: outcome(m) }).collect())
}
