-- For each user: the last sequence in the log, and the row of user_view.
select u.place, e.sequence, v.zones::text, v.counted
from unnest($1::smallint[], $2::text[]) with ordinality u (lane, user_id, place)
left join lateral (
    select sequence from events
    where lane = u.lane and aggregate_type = 'UserTasks' and aggregate_id = u.user_id
    order by sequence desc limit 1
) e on true
left join lateral (
    select zones, counted from user_view where lane = u.lane and user_id = u.user_id limit 1
) v on true
