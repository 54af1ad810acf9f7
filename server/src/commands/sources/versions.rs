//! Earlier versions of a published source file: `plaudit sources diff` and `rollback`.

use std::process::ExitCode;
use std::time::Duration;

use plaudit_event_store::source_files::FileVersion;
use serde_json::json;
use similar::{ChangeTag, TextDiff};

use super::published::{known, publish_named, version_of};
use crate::cli::{FormatKind, Reason};
use crate::config::Config;
use crate::failure::Failure;
use crate::output::outln;
use crate::startup;

/// Time limit for the search of the shortest difference. After that the difference is correct, but
/// may be longer.
const COMPARING_MAX: Duration = Duration::from_secs(2);

/// Number of unchanged lines shown around a change.
const CONTEXT_LINES: usize = 3;

/// Compares two versions of a file line by line. A version that withdrew the file has no lines.
pub async fn diff(
    config: &Config,
    name: &str,
    [before, after]: [u32; 2],
    format: FormatKind,
) -> Result<ExitCode, Failure> {
    let (pool, _) = startup::checked_database(config).await?;
    let versions = known(&pool, name).await?;
    let content = |number| -> Result<&str, Failure> {
        Ok(version_of(&versions, name, number)?.content.as_deref().unwrap_or_default())
    };
    let (old, new) = (content(before)?, content(after)?);
    let diff = TextDiff::configure().timeout(COMPARING_MAX).diff_lines(old, new);
    let unified = || {
        let header = [before, after].map(|number| format!("{name} version {number}"));
        diff.unified_diff().context_radius(CONTEXT_LINES).header(&header[0], &header[1]).to_string()
    };
    if format == FormatKind::Json {
        outln!("{}", json!({"name": name, "before": before, "after": after, "diff": unified()}));
        return Ok(ExitCode::SUCCESS);
    }
    let count_of = |tag| diff.iter_all_changes().filter(|change| change.tag() == tag).count();
    let (added, removed) = (count_of(ChangeTag::Insert), count_of(ChangeTag::Delete));
    if added + removed > 0 {
        let text = unified();
        outln!("{}", text.strip_suffix('\n').unwrap_or(&text));
    }
    outln!("{added} added, {removed} removed");
    Ok(ExitCode::SUCCESS)
}

/// Publishes an earlier version again, as a new one, with the same checks as any publication.
pub async fn roll_back(
    config: &Config,
    name: &str,
    to: u32,
    why: &Reason,
) -> Result<ExitCode, Failure> {
    let (pool, _) = startup::checked_database(config).await?;
    let versions = known(&pool, name).await?;
    let FileVersion { content, .. } = version_of(&versions, name, to)?;
    let content = content.clone().ok_or_else(|| {
        Failure::new(format!(
            "version {to} withdrew {name}; `plaudit sources withdraw {name}` does so again"
        ))
    })?;
    publish_named(config, &pool, vec![(name.to_owned(), content)], why).await
}
