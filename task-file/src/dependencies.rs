//! Which tasks of a file depend on which.

use std::collections::BTreeMap;

use plaudit_domain::ids::TaskId;

use crate::located::{Diagnostics, Located};
use crate::objective::other_tasks;
use crate::task::Draft;

/// Reads the prerequisites of the task called `own_id`.
pub fn read<'n>(
    place: &Located<'n>,
    own_id: Option<&TaskId>,
    diagnostics: &mut Diagnostics,
) -> Option<Vec<(TaskId, Located<'n>)>> {
    let items = place.items_if_any(diagnostics)?;
    Some(other_tasks(items, own_id, "require itself", diagnostics))
}

/// Where a search for cycles stands with a task.
#[derive(Clone, Copy)]
enum Visit {
    /// On the path from where the search began, as its nth task.
    OnPath(usize),
    /// Left behind, together with all that it depends on.
    Done,
}

/// Reports every entry of `requires` and `completions_of` that closes a cycle.
///
/// Tasks outside the file are passed over; whether they close a cycle is checked when the file is
/// published, against the whole catalogue.
pub fn refuse_cycles(drafts: &[Draft<'_>], diagnostics: &mut Diagnostics) {
    let ids = drafts
        .iter()
        .filter_map(|draft| Some((&draft.id.as_ref()?.0, draft.depends_on.as_slice())));
    let depends_on: BTreeMap<&TaskId, Dependencies<'_, '_>> = ids.collect();
    let mut visits = BTreeMap::new();
    for first in depends_on.keys() {
        if !visits.contains_key(first) {
            search(first, &depends_on, &mut visits, diagnostics);
        }
    }
}

type Dependencies<'d, 'n> = &'d [(TaskId, Located<'n>)];

/// Goes depth first through all that `first` depends on. The path is a list and not the stack of
/// the program, since a chain may be as long as the file.
fn search<'d>(
    first: &'d TaskId,
    depends_on: &BTreeMap<&'d TaskId, Dependencies<'d, '_>>,
    visits: &mut BTreeMap<&'d TaskId, Visit>,
    diagnostics: &mut Diagnostics,
) {
    let of = |id: &TaskId| depends_on.get(id).copied().unwrap_or_default().iter();
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
                    .add(place, format_args!("these tasks depend on each other: {}", named(cycle)));
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
    names.chain(cycle.take(1).map(TaskId::as_str)).collect::<Vec<_>>().join(" needs ")
}
