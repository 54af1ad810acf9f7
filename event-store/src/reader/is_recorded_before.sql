select coalesce(e.recorded_at < $3, false)
from unnest($1::smallint[], $2::bigint[]) with ordinality l (lane, number, place)
left join lateral (
    select recorded_at from events where lane = l.lane and position = l.number
) e on true
order by l.place
