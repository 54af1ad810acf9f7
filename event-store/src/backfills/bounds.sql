select b.lane, b.task_id, b.topic, b.incarnation, b.partition, b.next_offset
from unnest($1::smallint[], $2::text[]) w (lane, task_id)
join backfill_bounds b on b.lane = w.lane and b.task_id = w.task_id
