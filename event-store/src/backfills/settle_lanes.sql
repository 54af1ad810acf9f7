-- Marks the boundary as stored, also in lanes that have applied nothing.
insert into backfill_lanes (lane, task_id)
select l.lane, t.task_id
from unnest($1::smallint[]) l (lane) cross join unnest($2::text[]) t (task_id)
on conflict do nothing
