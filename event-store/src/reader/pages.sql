-- The next events of several lanes, each lane in order.
-- The program puts a condition on the event types in the place of its name in braces.
select span.lane, e.aggregate_id, e.sequence, e.position, e.event_type, e.event_version, e.payload::text
from unnest($1::smallint[], $2::bigint[], $3::bigint[]) with ordinality span (lane, after, up_to, place)
cross join lateral (
    select aggregate_id, sequence, position, event_type, event_version, payload
    from events
    where lane = span.lane and position > span.after and position <= span.up_to
      and aggregate_type = $4{kinds}
    order by position limit $5
) e
order by span.place, e.position
