//! The broker's answer about topics and partitions, including what could not be found out. Blocks.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use rdkafka::error::{KafkaError, KafkaResult};

use super::broker::{Broker, Committed, PartitionOf, is_of_the_broker, is_unknown};
use crate::offsets::partition_state::Watermarks;
use crate::source_partition::SourcePartition;

/// The questions of one round.
pub struct Asked {
    pub topics: Vec<Arc<str>>,
    /// Partitions whose watermarks are needed.
    pub ends: BTreeSet<SourcePartition>,
    /// Partitions whose committed offsets are needed too.
    pub unsure: Vec<SourcePartition>,
}

/// The answers of one round. A topic or partition without an answer does not affect the others.
#[derive(Debug, Default)]
pub struct OffsetAnswer {
    /// The partitions by topic; `None` if the topic does not exist.
    pub topics: HashMap<Arc<str>, KafkaResult<Option<Vec<PartitionOf>>>>,
    pub watermarks: HashMap<SourcePartition, Watermarks>,
    pub committed: HashMap<SourcePartition, i64>,
    /// The partitions that can't be verified, with the reason.
    pub refused: BTreeMap<SourcePartition, String>,
}

impl OffsetAnswer {
    /// Asks the questions of one round. Fails only if the broker as a whole does not answer.
    pub fn ask(asked: &Asked, broker: &Broker) -> KafkaResult<Self> {
        let mut answer = Self::of_topics(&asked.topics, broker)?;
        answer.ask_ends(&asked.ends, broker)?;
        answer.ask_committed(&asked.unsure, broker)?;
        Ok(answer)
    }

    /// Asks for everything about all partitions of the topics.
    pub fn ask_all(topics: &[Arc<str>], broker: &Broker) -> KafkaResult<Self> {
        let mut answer = Self::of_topics(topics, broker)?;
        let mut all = BTreeSet::new();
        for (topic, partitions) in &answer.topics {
            let at =
                |of: &PartitionOf| SourcePartition { topic: Arc::clone(topic), partition: of.id };
            all.extend(
                partitions.as_ref().ok().and_then(Option::as_ref).into_iter().flatten().map(at),
            );
        }
        answer.ask_ends(&all, broker)?;
        let all: Vec<SourcePartition> = all.into_iter().collect();
        answer.ask_committed(&all, broker)?;
        Ok(answer)
    }

    fn of_topics(topics: &[Arc<str>], broker: &Broker) -> KafkaResult<Self> {
        let mut answer = Self::default();
        for topic in topics {
            let partitions = match broker.partitions(topic) {
                Err(error) if is_of_the_broker(&error) => return Err(error),
                partitions => partitions,
            };
            answer.topics.insert(Arc::clone(topic), partitions);
        }
        Ok(answer)
    }

    /// Asks for the committed offsets of the partitions whose watermarks are known.
    fn ask_committed(&mut self, of: &[SourcePartition], broker: &Broker) -> KafkaResult<()> {
        let found = |at: &&SourcePartition| self.watermarks.contains_key(*at);
        let of: Vec<SourcePartition> = of.iter().filter(found).cloned().collect();
        let Committed { offsets, refused } = broker.committed(&of)?;
        self.committed = offsets;
        self.refused.extend(refused.into_iter().map(|(at, why)| (at, why.to_string())));
        Ok(())
    }

    fn ask_ends(&mut self, ends: &BTreeSet<SourcePartition>, broker: &Broker) -> KafkaResult<()> {
        // A broker that did not answer is not asked again.
        let mut silent: HashMap<i32, KafkaError> = HashMap::new();
        for at in ends {
            let Some(partition) = self.partition(at) else { continue };
            let Some(leader) = partition.leader else {
                self.refused.insert(at.clone(), "it has no leader".to_owned());
                continue;
            };
            if let Some(error) = silent.get(&leader) {
                self.refused.insert(at.clone(), error.to_string());
                continue;
            }
            match broker.watermarks(at) {
                Ok(marks) => {
                    self.watermarks.insert(at.clone(), marks);
                }
                Err(error) if is_unknown(&error) => {} // deleted a moment ago
                Err(error) => {
                    self.refused.insert(at.clone(), error.to_string());
                    if is_of_the_broker(&error) {
                        silent.insert(leader, error);
                    }
                }
            }
        }
        match silent.into_values().next() {
            Some(error) if self.watermarks.is_empty() => Err(error),
            _ => Ok(()),
        }
    }

    fn partition(&self, at: &SourcePartition) -> Option<PartitionOf> {
        let Some(Ok(Some(partitions))) = self.topics.get(&at.topic) else { return None };
        partitions.iter().find(|partition| partition.id == at.partition).copied()
    }

    /// Describes in one line which of a topic's partitions can't be verified, or returns `None` if
    /// all are.
    pub fn refused_of(&self, topic: &str) -> Option<String> {
        /// Further ones would say the same.
        const NAMED_MAX: usize = 3;
        let refused: Vec<_> = self.refused.iter().filter(|(at, _)| *at.topic == *topic).collect();
        let named = refused.iter().take(NAMED_MAX);
        let named: Vec<String> =
            named.map(|(at, why)| format!("partition {}: {why}", at.partition)).collect();
        let more = refused.len().saturating_sub(NAMED_MAX);
        let more = if more > 0 { format!(", and {more} more") } else { String::new() };
        (!named.is_empty()).then(|| {
            format!("the topic {topic} can't be verified whole: {}{more}", named.join(", "))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_known_of_a_topic_is_described_in_one_line() {
        let mut answer = OffsetAnswer::default();
        assert_eq!(answer.refused_of("t"), None);
        for partition in 0..5 {
            let at = SourcePartition { topic: "t".into(), partition };
            answer.refused.insert(at, "it has no leader".to_owned());
        }
        let described = answer.refused_of("t").unwrap();
        assert!(described.contains("partition 2: it has no leader, and 2 more"), "{described}");
        assert_eq!(answer.refused_of("other"), None);
    }
}
