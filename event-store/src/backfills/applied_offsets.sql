select topic, incarnation, partition, max(next_offset) from backfill_bounds
where task_id = $1 group by topic, incarnation, partition
