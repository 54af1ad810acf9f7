-- The places of the actions that their tasks have already decided. One probe of the key each.
select a.place
from unnest($1::smallint[], $2::text[], $3::uuid[]) with ordinality a (lane, task_id, identity, place)
cross join lateral (
    select from backfill_actions b
    where b.lane = a.lane and b.task_id = a.task_id and b.identity = a.identity limit 1
) known
