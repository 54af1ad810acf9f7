insert into streak_looks (lane, user_id, task_id, due_at)
select r.lane, r.user_id, r.task_id, r.due_at
from unnest($1::smallint[], $2::text[], $3::text[], $4::timestamptz[]) r (lane, user_id, task_id, due_at)
on conflict (lane, user_id, task_id) do update set due_at = excluded.due_at
where streak_looks.due_at is distinct from excluded.due_at
