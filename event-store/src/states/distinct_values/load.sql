-- Chunks of sets of distinct values: one probe of the key each.
select w.place, d.hashes
from unnest($1::smallint[], $2::text[], $3::text[], $4::text[], $5::smallint[]) with ordinality
     w (lane, user_id, task_id, period_key, chunk, place)
cross join lateral (
    select hashes from distinct_values
    where lane = w.lane and user_id = w.user_id and task_id = w.task_id and period_key = w.period_key
      and chunk = w.chunk
    offset 0
) d
