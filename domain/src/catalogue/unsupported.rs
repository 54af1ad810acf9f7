//! What a task file can say and the rules do not do yet.
//!
//! The one list of it. Whoever implements a behaviour removes its line here: from then on task files
//! may use it.

use super::definition::TaskDefinition;

/// A field whose behaviour is missing.
struct Feature {
    name: &'static str,
    /// The path below the task, if the task uses it.
    used_at: fn(&TaskDefinition) -> Option<String>,
}

#[rustfmt::skip]
const FEATURES: &[Feature] = &[
    Feature { name: "backfill", used_at: |t| at("backfill", t.backfill.is_some()) },
];

/// What a task uses that the rules do not do yet: the path below the task, and the reason.
pub fn unsupported(task: &TaskDefinition) -> Vec<(String, String)> {
    let used = FEATURES.iter().filter_map(|feature| {
        let path = (feature.used_at)(task)?;
        Some((path, format!("`{}` is not supported yet", feature.name)))
    });
    used.collect()
}

fn at(path: &str, is_used: bool) -> Option<String> {
    is_used.then(|| path.to_owned())
}
