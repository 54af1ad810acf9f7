-- Totals that a later one has overtaken. $1: how many at most.
delete from budget_takes t
using (
    select ctid as place from budget_takes b
    where exists (
        select from budget_takes later
        where later.budget_id = b.budget_id and later.window_key = b.window_key and later.used > b.used
    )
    limit $1
) overtaken
where t.ctid = overtaken.place
