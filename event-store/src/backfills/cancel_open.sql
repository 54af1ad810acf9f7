update backfills set state = 'cancelled', finished_at = now(), problem = null
where task_id = $1 and state in ('running', 'paused')
