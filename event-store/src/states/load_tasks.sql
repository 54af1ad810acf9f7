-- The rows of some tasks of some users: one probe of the key each.
--
-- The order and the range keep the planner on the key. With three equalities it also considers the index by task,
-- which costs the same while the table is empty and the plan is made, and walks a whole lane later.
select w.place, t.task_id, t.completed_at, t.watermark, t.closed_key, t.closed_ends_at, t.unclaimed_count,
       t.version, t.period_key, t.starts_at, t.ends_at, t.closes_at, t.progress, t.completed, t.details
from unnest($1::smallint[], $2::text[], $3::text[]) with ordinality w (lane, user_id, task_id, place)
cross join lateral (
    select * from task_view
    where lane = w.lane and (user_id, task_id) >= (w.user_id, w.task_id)
    order by user_id, task_id limit 1
) t
where t.user_id = w.user_id and t.task_id = w.task_id
