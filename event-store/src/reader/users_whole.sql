-- The whole streams of some users, in their order. The condition: see users_page.sql.
select u.lane, u.user_id, e.sequence, e.position, e.event_type, e.event_version, e.payload::text
from unnest($1::smallint[], $2::text[]) with ordinality u (lane, user_id, place)
cross join lateral (
    select sequence, position, event_type, event_version, payload from events
    where lane = u.lane and aggregate_type = $3 and aggregate_id = u.user_id{kinds}
    order by sequence offset 0
) e
order by u.place, e.sequence
