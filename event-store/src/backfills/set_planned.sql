update backfills set planned_at = now(), progressed_at = now(), problem = null
where task_id = $1 and epoch = $2 and planned_at is null
