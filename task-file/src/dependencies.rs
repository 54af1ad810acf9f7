//! Which tasks wait for which.

use std::collections::{BTreeMap, BTreeSet};

use plaudit_domain::ids::TaskId;

use crate::located::{Diagnostics, Located};
use crate::task::{Draft, task_id};

/// Reads the prerequisites of the task called `own_id`.
pub fn read<'n>(
    place: &Located<'n>,
    own_id: Option<&TaskId>,
    diagnostics: &mut Diagnostics,
) -> Option<Vec<(TaskId, Located<'n>)>> {
    let items = place.items_if_any(diagnostics)?;
    let mut known = BTreeSet::new();
    let mut read = Vec::with_capacity(items.len());
    for item in items {
        let Some(id) = task_id(&item, diagnostics) else { continue };
        if own_id == Some(&id) {
            diagnostics.add(&item, "a task cannot require itself");
        } else if known.insert(id.clone()) {
            read.push((id, item));
        } else {
            diagnostics.add(&item, format_args!("{id} is listed twice"));
        }
    }
    Some(read)
}

/// Where a search for cycles stands with a task.
#[derive(Clone, Copy)]
enum Visit {
    /// On the path from where the search began, as its nth task.
    OnPath(usize),
    /// Left behind, together with all that it waits for.
    Done,
}

/// Reports every requirement that closes a cycle of tasks that wait for each other.
///
/// Tasks outside the file are taken for done; whether they close a cycle shows where the whole
/// catalogue is known.
pub fn refuse_cycles(drafts: &[Draft<'_>], diagnostics: &mut Diagnostics) {
    let ids =
        drafts.iter().filter_map(|draft| Some((&draft.id.as_ref()?.0, draft.requires.as_slice())));
    let requires: BTreeMap<&TaskId, Requirements<'_, '_>> = ids.collect();
    let mut visits = BTreeMap::new();
    for first in requires.keys() {
        if !visits.contains_key(first) {
            search(first, &requires, &mut visits, diagnostics);
        }
    }
}

type Requirements<'d, 'n> = &'d [(TaskId, Located<'n>)];

/// Goes depth first through all that `first` waits for. The path is a list and not the stack of
/// the program, since a chain may be as long as the file.
fn search<'d>(
    first: &'d TaskId,
    requires: &BTreeMap<&'d TaskId, Requirements<'d, '_>>,
    visits: &mut BTreeMap<&'d TaskId, Visit>,
    diagnostics: &mut Diagnostics,
) {
    let of = |id: &TaskId| requires.get(id).copied().unwrap_or_default().iter();
    let mut path = vec![(first, of(first))];
    visits.insert(first, Visit::OnPath(0));
    while let Some((here, rest)) = path.last_mut() {
        let Some((next, place)) = rest.next() else {
            visits.insert(here, Visit::Done);
            path.pop();
            continue;
        };
        match visits.get(next) {
            Some(Visit::Done) => {}
            Some(Visit::OnPath(start)) => {
                let cycle = path[*start..].iter().map(|(id, _)| *id);
                diagnostics
                    .add(place, format_args!("these tasks wait for each other: {}", named(cycle)));
            }
            None => {
                visits.insert(next, Visit::OnPath(path.len()));
                path.push((next, of(next)));
            }
        }
    }
}

/// Names the tasks of a cycle, or the first of many.
fn named<'d>(cycle: impl ExactSizeIterator<Item = &'d TaskId> + Clone) -> String {
    const NAMED_MAX: usize = 6;
    let left_out = (cycle.len() > NAMED_MAX).then_some("…");
    let names = cycle.clone().take(NAMED_MAX).map(TaskId::as_str).chain(left_out);
    names.chain(cycle.take(1).map(TaskId::as_str)).collect::<Vec<_>>().join(" requires ")
}
