-- The amount granted from each window: its last row.
select k.budget_id, k.window_key, h.used
from unnest($1::text[], $2::text[]) k (budget_id, window_key)
cross join lateral (
    select used from budget_takes t
    where t.budget_id = k.budget_id and t.window_key = k.window_key
    order by used desc limit 1
) h
