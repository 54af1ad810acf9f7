-- Stores the offset up to which these lanes have applied each source partition, for tasks that have
-- no boundary yet.
insert into backfill_bounds (lane, task_id, topic, incarnation, partition, next_offset)
select o.lane, t.task_id, o.topic, o.incarnation, o.partition, max(o.next_offset)
from unnest($1::smallint[]) l (lane)
cross join unnest($2::text[]) t (task_id)
join lane_offsets o on o.lane = l.lane
where not exists (select from backfill_lanes b where b.lane = l.lane and b.task_id = t.task_id)
group by o.lane, t.task_id, o.topic, o.incarnation, o.partition
on conflict do nothing
