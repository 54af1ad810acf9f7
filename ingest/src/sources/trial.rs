//! What a source file makes of one record: `plaudit sources try`.

use std::path::Path;

use super::mapping::Facts;
use super::{Reading, SetAside, SourceFault, file};
use crate::record::OwnedRecord;

/// What one entry of a source file makes of a record.
#[derive(Debug, Clone, PartialEq)]
pub struct Tried {
    /// The entry, such as `teams.yaml: sources[0]`.
    pub entry: String,
    /// What it makes of it.
    pub outcome: TrialOutcome,
}

/// What an entry makes of a record.
#[derive(Debug, Clone, PartialEq)]
pub enum TrialOutcome {
    /// The entry speaks of this other topic.
    OtherTopic(String),
    /// `when` is false.
    DoesNotApply,
    /// What the record means.
    Readings(Vec<Reading>),
}

/// Why nothing could be tried.
#[derive(Debug, thiserror::Error)]
pub enum TrialError {
    /// The source file is faulty.
    #[error("{}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))]
    Faulty(Vec<SourceFault>),
    /// The record file is no record.
    #[error("the record: {0}")]
    Record(String),
}

/// Tries each entry of a source file on a record, given as [`OwnedRecord::from_json`] reads it.
pub fn try_record(source_file: &Path, record_json: &str) -> Result<Vec<Tried>, TrialError> {
    let mappings = file::read(source_file).map_err(TrialError::Faulty)?;
    let record = OwnedRecord::from_json(record_json).map_err(TrialError::Record)?;
    let record = record.as_raw();
    let facts = Facts::of(&record);
    let outcome = |mapping: &super::Mapping| match &facts {
        _ if mapping.topic() != record.topic => {
            TrialOutcome::OtherTopic(mapping.topic().to_owned())
        }
        Err(why) => TrialOutcome::Readings(vec![Reading::SetAside(SetAside::unreadable(why))]),
        Ok(facts) if mapping.applies(facts) == Ok(false) => TrialOutcome::DoesNotApply,
        Ok(facts) => TrialOutcome::Readings(mapping.read(facts)),
    };
    Ok(mappings.iter().map(|m| Tried { entry: m.name.clone(), outcome: outcome(m) }).collect())
}
