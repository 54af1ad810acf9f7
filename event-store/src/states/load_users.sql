-- For each user: the last sequence in the log, the row of user_view, and whether the type and
-- version of the last event are known.
select u.place, coalesce(e.sequence, 0), v.zones::text, v.attributes::text, v.updated_at, v.counted,
       e.sequence is null or (e.event_type, e.event_version) in (select event_type, event_version from event_fields)
from unnest($1::smallint[], $2::text[]) with ordinality u (lane, user_id, place)
left join lateral (
    select sequence, event_type, event_version from events
    where lane = u.lane and aggregate_type = $3 and aggregate_id = u.user_id
    order by sequence desc limit 1
) e on true
left join lateral (
    select zones, attributes, updated_at, counted from user_view
    where lane = u.lane and user_id = u.user_id limit 1
) v on true
