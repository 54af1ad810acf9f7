//! Types and fields that no recent action had, which are probably misspelt.

use std::collections::BTreeSet;

use plaudit_domain::action::{RecentFields, RecentNames};
use plaudit_domain::catalogue::definition::{Measure, TaskDefinition};
use plaudit_domain::expression::Filter;

use super::Warning;
use crate::suggestion::{did_you_mean, nearest};

/// Compares the action types and fields that a task reads with those that were seen.
pub fn never_seen(task: &TaskDefinition, recent: &RecentFields, warnings: &mut Vec<Warning>) {
    let Some(since) = recent.since() else { return };
    let (mut seen, mut is_unknown) = (Vec::new(), false);
    for (index, kind) in task.objective.on.iter().enumerate() {
        match recent.of(kind) {
            RecentNames::Unknown => is_unknown = true,
            RecentNames::Names(names) => seen.push((kind.as_str(), names)),
            RecentNames::NoAction => {
                let types: Vec<&str> = recent.types().collect();
                let hint = did_you_mean(kind, &types);
                let message = format!("no action of type {kind} was seen since {since}{hint}");
                warnings.push((format!("objective.on[{index}]"), message));
            }
        }
    }
    // An unknown type may have any field.
    if is_unknown || seen.is_empty() {
        return;
    }
    let types = seen.iter().map(|(kind, _)| *kind).collect::<Vec<_>>().join(" or ");
    let names: Vec<&BTreeSet<String>> = seen.into_iter().map(|(_, names)| names).collect();
    let mut reported = BTreeSet::new();
    for (path, field) in fields_read(task) {
        let Some((missing, hint)) = missing(&field, &names) else { continue };
        if reported.insert((path, missing.clone())) {
            let message = format!("no action of type {types} had data.{missing} since {since}");
            warnings.push((path.to_owned(), format!("{message}{hint}")));
        }
    }
}

/// The fields below `data` that a task reads, such as `room.id`, with the place that reads them.
fn fields_read(task: &TaskDefinition) -> Vec<(&'static str, String)> {
    let filter = task.objective.filter.as_deref().map(Filter::compile).and_then(Result::ok);
    let of_filter = filter.map(|filter| filter.data_fields()).unwrap_or_default();
    let below_data = |path: &String| path.strip_prefix("data.").map(str::to_owned);
    let mut fields: Vec<_> =
        of_filter.iter().filter_map(below_data).map(|path| ("objective.where", path)).collect();
    match &task.objective.measure {
        Measure::Sum(path)
        | Measure::Max(path)
        | Measure::Latest(path)
        | Measure::Distinct(path) => {
            fields.push(("objective.measure", path.join(".")));
        }
        Measure::Count | Measure::Days => {}
    }
    fields
}

/// The first part of a field that no action had, down to one level below `data`, with a suggestion.
/// `None` if actions had the field, or if it is too long to be noted.
fn missing(field: &str, seen: &[&BTreeSet<String>]) -> Option<(String, String)> {
    let mut parts = field.splitn(3, '.');
    let first = parts.next()?;
    let second = parts.next().map(|second| format!("{first}.{second}"));
    for name in std::iter::once(first).chain(second.as_deref()) {
        if name.len() > RecentFields::NAME_BYTES_MAX {
            return None;
        }
        if seen.iter().any(|names| names.contains(name)) {
            continue;
        }
        // Names of the same level only.
        let parent = name.rfind('.').map_or("", |end| &name[..=end]);
        let siblings = seen.iter().flat_map(|names| names.iter().map(String::as_str));
        let siblings = siblings.filter_map(|known| known.strip_prefix(parent));
        let siblings: Vec<&str> = siblings.filter(|rest| !rest.contains('.')).collect();
        let meant = nearest(&name[parent.len()..], &siblings);
        let hint = meant.map(|meant| format!(" (did you mean data.{parent}{meant}?)"));
        return Some((name.to_owned(), hint.unwrap_or_default()));
    }
    None
}
