-- The identities known in the open window or the one before. One probe of the key each.
select a.identity
from unnest($1::smallint[], $2::uuid[]) a (lane, identity)
cross join lateral (
    select from seen_actions
    where lane = a.lane and identity = a.identity and dedup_window in ($3, $3 - 1) limit 1
) s
