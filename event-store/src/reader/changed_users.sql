select s.lane, e.aggregate_id, max(e.position)
from unnest($1::smallint[], $2::bigint[], $3::bigint[]) s (lane, after, up_to)
cross join lateral (
    select aggregate_id, position from events
    where lane = s.lane and position > s.after and position <= s.up_to offset 0
) e
group by s.lane, e.aggregate_id
