-- The rows of some tasks of some users. The order and the range keep the planner on the key.
select w.place, t.*
from unnest($1::smallint[], $2::text[], $3::text[]) with ordinality w (lane, user_id, task_id, place)
cross join lateral (
    select watermark, version, period_key, starts_at, ends_at, closes_at, progress, completed, details::text,
           user_id, task_id
    from task_view
    where lane = w.lane and (user_id, task_id) >= (w.user_id, w.task_id)
    order by user_id, task_id limit 1
) t
where t.user_id = w.user_id and t.task_id = w.task_id
