-- The sequences of the first events of some actions. One probe of the key each.
select a.identity, s.sequence
from unnest($1::smallint[], $2::uuid[]) a (lane, identity)
cross join lateral (
    select sequence from seen_actions
    where lane = a.lane and identity = a.identity and dedup_window in ($3, $3 - 1) and sequence is not null limit 1
) s
