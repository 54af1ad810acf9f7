-- All that task screens need of some users, from one snapshot. $1: their lanes, $2: the users, place by
-- place. The head of the lane, the catalogue's identity and the zones come with each row: a user has few.
-- `c.the_one` leads the planner to the key, since connections are told not to scan tables; `offset 0`
-- keeps each probe one of the key, whatever the planner makes of arrays.
select w.place, l.next_position - 1, c.identity, u.zones,
       t.task_id, t.completed_at, t.version, t.period_key, t.starts_at, t.ends_at, t.closes_at,
       t.progress, t.completed, t.details
from unnest($1::smallint[], $2::text[]) with ordinality w (lane, user_id, place)
cross join catalogue c
cross join lateral (select next_position from lanes where lane = w.lane offset 0) l
left join lateral (
    select zones from user_view where lane = w.lane and user_id = w.user_id offset 0
) u on true
left join lateral (
    select task_id, completed_at, version, period_key, starts_at, ends_at, closes_at,
           progress, completed, details
    from task_view where lane = w.lane and user_id = w.user_id offset 0
) t on true
where c.the_one
