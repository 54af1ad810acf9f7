-- Deletes totals replaced by a later one. $1: the maximum number of rows.
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
