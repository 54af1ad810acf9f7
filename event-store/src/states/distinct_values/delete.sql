-- All chunks of some sets.
delete from distinct_values d
using unnest($1::smallint[], $2::text[], $3::text[], $4::text[]) s (lane, user_id, task_id, period_key)
where d.lane = s.lane and d.user_id = s.user_id and d.task_id = s.task_id and d.period_key = s.period_key
