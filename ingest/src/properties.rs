//! Properties of the Kafka client that the operator can't set.

use std::collections::BTreeMap;

/// A property that is refused, and the reason.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`kafka.properties` can't set `{name}`: {why}")]
pub struct RefusedProperty {
    name: String,
    why: &'static str,
}

/// Properties on which reading depends, or which have a setting of their own.
const REFUSED: &[(&str, &str)] = &[
    ("bootstrap.servers", "the brokers are named by `kafka.brokers`"),
    ("metadata.broker.list", "the brokers are named by `kafka.brokers`"),
    ("group.id", "the group is named by `kafka.group`"),
    ("group.instance.id", "static membership is set by `kafka.instance_id`"),
    ("group.protocol", "it is set by `kafka.group_protocol`"),
    ("enable.auto.offset.store", "an offset is stored once its record is committed, not before"),
    ("auto.offset.reset", "records that are gone would be skipped without being named"),
    ("topic.auto.offset.reset", "records that are gone would be skipped without being named"),
    ("enable.partition.eof", "the end of a partition would be taken for a fault of it"),
    ("allow.auto.create.topics", "a topic that is missing is named and waited for, never made"),
];

/// Refuses properties that would break acknowledging after the commit, or noticing lost records.
pub fn check(properties: &BTreeMap<String, String>) -> Result<(), RefusedProperty> {
    let refused = REFUSED.iter().find(|(name, _)| properties.contains_key(*name));
    refused.map_or(Ok(()), |(name, why)| Err(RefusedProperty { name: (*name).to_owned(), why }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_acknowledging_depends_on_is_refused_by_name_and_the_rest_is_let_through() {
        let given = |name: &str| BTreeMap::from([(name.to_owned(), "x".to_owned())]);
        for (name, why) in REFUSED {
            let refused = check(&given(name)).unwrap_err().to_string();
            assert!(refused.contains(name) && refused.contains(why), "{refused}");
        }
        for name in ["security.protocol", "sasl.mechanism", "fetch.max.bytes", "enable.auto.commit"]
        {
            assert_eq!(check(&given(name)), Ok(()));
        }
    }
}
