//! Dependencies between the tasks of a file.

use std::collections::BTreeMap;

use plaudit_domain::catalogue::DependencyCycle;
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

/// The state of a task in a search for cycles.
#[derive(Clone, Copy)]
enum Visit {
    /// On the path of the search, at this index.
    OnPath(usize),
    /// Finished, together with everything that it depends on.
    Done,
}

/// Reports every entry of `requires` and `completions_of` that closes a cycle.
///
/// Tasks outside the file are skipped. Publishing the file checks the whole catalogue, and finds
/// the cycles that they close.
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

/// Searches depth first through everything that `first` depends on. The path is a list, not the
/// program's stack, because a chain may be as long as the file.
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
                let tasks = path[*start..].iter().map(|(id, _)| (*id).clone()).collect();
                diagnostics.add(place, DependencyCycle { tasks });
            }
            None => {
                visits.insert(next, Visit::OnPath(path.len()));
                path.push((next, of(next)));
            }
        }
    }
}
