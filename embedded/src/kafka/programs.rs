//! Finds Java and Kafka's jars.

use crate::EmbeddedError;
use std::env;
use std::fs;
use std::path::{Path, PathBuf};

/// Returns the Java program, which must be version 17 or later. An older one fails with its own
/// message, which the caller passes on.
pub(super) fn java() -> PathBuf {
    let below_home = || Some(PathBuf::from(env::var_os("JAVA_HOME")?).join("bin/java"));
    env::var_os("EMBEDDED_JAVA")
        .map(PathBuf::from)
        .or_else(|| below_home().filter(|java| java.is_file()))
        .unwrap_or_else(|| PathBuf::from("java"))
}

/// Returns the folder of Kafka's jars. `dir` is the broker's own folder.
pub(super) fn libs(dir: &Path) -> Result<PathBuf, EmbeddedError> {
    let candidates = candidates(dir);
    let found = candidates.iter().find(|libs| has_broker(libs));
    found.cloned().ok_or_else(|| {
        let all: Vec<_> = candidates.iter().map(|libs| libs.display().to_string()).collect();
        EmbeddedError::KafkaMissing { searched: all.join(", ") }
    })
}

fn candidates(dir: &Path) -> Vec<PathBuf> {
    if let Some(libs) = env::var_os("EMBEDDED_KAFKA_LIBS") {
        return vec![PathBuf::from(libs)]; // who names a folder wants no other
    }
    let mut candidates: Vec<PathBuf> =
        dir.parent().map(|parent| parent.join("kafka-libs")).into_iter().collect();
    // Cargo runs tests in the folder of their crate; `.plaudit` is further up.
    let cwd = env::current_dir().unwrap_or_default();
    candidates.extend(cwd.ancestors().map(|above| above.join(".plaudit/kafka-libs")));
    candidates.push(PathBuf::from("/opt/kafka/libs"));
    candidates
}

fn has_broker(libs: &Path) -> bool {
    let is_broker = |name: &str| name.starts_with("kafka_2.");
    let mut entries = fs::read_dir(libs).into_iter().flatten().flatten();
    entries.any(|entry| entry.file_name().to_str().is_some_and(is_broker))
}
