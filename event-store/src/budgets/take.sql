-- Takes amounts from the windows that still hold the whole amount. $3: the amounts, $4: the limits.
insert into budget_takes (budget_id, window_key, used)
select k.budget_id, k.window_key, coalesce(h.used, 0) + k.taken
from unnest($1::text[], $2::text[], $3::bigint[], $4::bigint[]) k (budget_id, window_key, taken, most)
left join lateral (
    select used from budget_takes t
    where t.budget_id = k.budget_id and t.window_key = k.window_key
    order by used desc limit 1
) h on true
where coalesce(h.used, 0) <= k.most - k.taken
