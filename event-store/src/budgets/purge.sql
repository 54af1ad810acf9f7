-- Deletes totals that a later one has replaced. $1: the maximum number of rows.
delete from budget_takes where ctid = any (array(
    select b.ctid from budget_takes b
    where b.used < (
        select h.used from budget_takes h
        where h.budget_id = b.budget_id and h.window_key = b.window_key
        order by h.used desc limit 1
    )
    limit $1
))
