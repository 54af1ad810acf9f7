//! Decides whether a user has a task at all.

use serde_json::{Map, Value};

use super::TaskVersion;
use super::definition::Share;
use crate::expression::{Allowance, Expression, FieldPath, InvalidExpression, Variable};
use crate::ids::UserId;
use crate::lane;

/// The variables that the `where` of an audience may use.
const VARIABLES: [&str; 1] = ["user"];

/// Compiles the `where` of an audience: an expression over `user`.
pub fn audience_filter(source: &str) -> Result<Expression, InvalidExpression> {
    Expression::compile_condition(source, &VARIABLES)
}

/// The attributes that the `where` of an audience reads without a `has()` guard, such as
/// `user.vip`. A user without one of them is outside the audience.
pub fn unguarded_attributes(filter: &Expression) -> Vec<String> {
    filter.unguarded_attributes(0, VARIABLES[0])
}

/// The paths below `user` that the `where` of an audience reads or tests by `has()`.
pub fn audience_paths(filter: &Expression) -> Vec<FieldPath> {
    filter.paths(&VARIABLES)
}

impl TaskVersion {
    /// True if a user with these attributes has the task. Each action and each read checks this
    /// again, with the current attributes. A `where` that names a missing attribute, or can't be
    /// evaluated within the allowance, leaves the user out.
    pub fn is_in_audience(
        &self,
        user: &UserId,
        zone: &str,
        attributes: &Map<String, Value>,
        allowance: &mut Allowance,
    ) -> bool {
        let audience = &self.definition.audience;
        let salt = || audience.salt.as_deref().unwrap_or(self.definition.id.as_str());
        audience.share.is_none_or(|share| is_drawn(user, salt(), share))
            && self.audience_filter.as_ref().is_none_or(|filter| {
                filter.as_ref().is_ok_and(|f| holds(f, user, zone, attributes, allowance))
            })
    }
}

/// True if the share contains the user. One salt always draws the same users; another salt draws
/// others. The hash is that of Kafka's default partitioner.
fn is_drawn(user: &UserId, salt: &str, share: Share) -> bool {
    share.contains(lane::kafka_hash(&format!("{user}\u{1f}{salt}")))
}

fn holds(
    filter: &Expression,
    user: &UserId,
    zone: &str,
    attributes: &Map<String, Value>,
    allowance: &mut Allowance,
) -> bool {
    // Plaudit's own fields take precedence over attributes of the same name.
    let own = [("id", Variable::Text(user.as_str())), ("zone", Variable::Text(zone))];
    let user = Variable::Fields { own: &own, others: Some(attributes) };
    filter.holds(&[user], allowance).unwrap_or(false)
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;
    use serde_json::json;

    use super::*;

    fn version(audience: &Value) -> TaskVersion {
        let definition = json!({
            "id": "spring", "kind": "ordinary", "every": "once", "default_locale": "en",
            "text": { "en": { "title": "Spring" } },
            "objective": { "on": ["gift.sent"], "target": 1 }, "milestones": [{ "at": 1 }],
            "audience": audience,
        });
        let definition = serde_json::from_value(definition).unwrap();
        TaskVersion::new(definition, 1, Timestamp::UNIX_EPOCH).unwrap()
    }

    fn has(audience: &Value, attributes: &Value) -> bool {
        let attributes = attributes.as_object().unwrap();
        let user = "u42".parse().unwrap();
        let mut allowance = Allowance::default();
        version(audience).is_in_audience(&user, "Europe/Paris", attributes, &mut allowance)
    }

    #[test]
    fn an_audience_without_conditions_is_everybody() {
        assert!(has(&json!({}), &json!({})));
        assert!(has(&json!({ "salt": "a" }), &json!({})));
    }

    #[test]
    fn an_audience_is_evaluated_with_what_is_known_of_the_user() {
        let vip = json!({ "where": "user.vip >= 2 && user.id == 'u42' && user.zone != 'UTC'" });
        assert!(has(&vip, &json!({ "vip": 2 })));
        assert!(!has(&vip, &json!({ "vip": 1 })));
        assert!(!has(&vip, &json!({})), "the attribute is missing");
        assert!(!has(&vip, &json!({ "vip": "gold" })), "it can't be evaluated");
        assert!(
            has(&vip, &json!({ "vip": 2, "id": "other", "zone": "UTC" })),
            "what is known wins"
        );
        assert!(audience_filter("data.coins > 1").is_err());
        assert!(audience_filter("user.vip >").is_err());
    }

    #[test]
    fn attributes_that_are_not_asked_for_first_are_listed() {
        let unguarded = |source| unguarded_attributes(&audience_filter(source).unwrap());
        assert_eq!(unguarded("user.vip >= 2 && user.id != 'u1'"), ["user.vip"]);
        assert_eq!(unguarded("has(user.vip) && user.vip >= 2"), Vec::<String>::new());
    }

    #[test]
    fn a_share_is_drawn_evenly_and_stays_the_same() {
        let users: Vec<UserId> =
            (0..40_000).map(|n| format!("user-{n}").parse().unwrap()).collect();
        let drawn = |salt: &str, hundredths: u32| -> Vec<bool> {
            let share = Share::try_from(hundredths).unwrap();
            users.iter().map(|user| is_drawn(user, salt, share)).collect()
        };
        let count = |drawn: &[bool]| drawn.iter().filter(|is| **is).count();
        assert_eq!(count(&drawn("spring", 0)), 0);
        assert_eq!(count(&drawn("spring", 10_000)), users.len());
        // Five standard deviations of a fair draw.
        for (hundredths, expected, away) in
            [(5_000, 20_000, 500), (2_500, 10_000, 433), (100, 400, 100)]
        {
            for salt in ["spring", "autumn", "a", ""] {
                let got = count(&drawn(salt, hundredths));
                assert!(got.abs_diff(expected) < away, "{got} of {expected}, salt {salt:?}");
            }
        }
        // A larger share has all users of a smaller one; another salt draws independently.
        let (quarter, half) = (drawn("spring", 2_500), drawn("spring", 5_000));
        assert!(quarter.iter().zip(&half).all(|(quarter, half)| !quarter || *half));
        let other = drawn("autumn", 5_000);
        let both = half.iter().zip(&other).filter(|(a, b)| **a && **b).count();
        assert!(both.abs_diff(10_000) < 500, "{both}");
    }

    #[test]
    fn the_task_is_the_salt_that_is_not_given() {
        let users = (0..200).map(|n| format!("u{n}").parse::<UserId>().unwrap());
        let [own, named, other] = [json!({}), json!({ "salt": "spring" }), json!({ "salt": "x" })]
            .map(|mut audience| {
                audience["share_of_10000"] = json!(5_000);
                let version = version(&audience);
                let users = users.clone();
                users
                    .map(|user| {
                        version.is_in_audience(&user, "UTC", &Map::new(), &mut Allowance::default())
                    })
                    .collect::<Vec<_>>()
            });
        assert_eq!(own, named);
        assert_ne!(own, other);
    }
}
