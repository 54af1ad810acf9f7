//! The names that a Kafka topic can have.

/// A name that no topic can have. With it in a subscription, the Kafka client would join no group.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{name:?} can't be the name of a topic; a name has 1 to {LENGTH_MAX} of a-z, A-Z, 0-9, '.', '_' and '-', and \
     is neither '.' nor '..'"
)]
pub struct InvalidTopicName {
    name: String,
}

/// The longest name, in characters.
const LENGTH_MAX: usize = 249;

/// Checks a name by the rules of Kafka.
///
/// # Source
///
/// `org.apache.kafka.common.internals.Topic.validate`.
pub fn check(name: &str) -> Result<(), InvalidTopicName> {
    let is_allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    let is_valid = (1..=LENGTH_MAX).contains(&name.len())
        && name.chars().all(is_allowed)
        && !matches!(name, "." | "..");
    if is_valid { Ok(()) } else { Err(InvalidTopicName { name: name.to_owned() }) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_that_no_topic_can_have_is_refused() {
        for name in ["plaudit.actions", "a", "Game_Teams-v2", "...", &"x".repeat(249)] {
            assert_eq!(check(name), Ok(()));
        }
        for name in ["", ".", "..", "a b", "a/b", "ä", "^regex.*", &"x".repeat(250)] {
            let error = check(name).unwrap_err().to_string();
            assert!(error.contains(name) && error.contains("249"), "{error}");
        }
    }
}
