insert into distinct_values (lane, user_id, task_id, period_key, chunk, hashes)
select v.lane, v.user_id, v.task_id, v.period_key, v.chunk, v.hashes
from unnest($1::smallint[], $2::text[], $3::text[], $4::text[], $5::smallint[], $6::bytea[])
     v (lane, user_id, task_id, period_key, chunk, hashes)
on conflict (lane, user_id, task_id, period_key, chunk) do update set hashes = excluded.hashes
