update backfills set state = 'done', finished_at = now(), problem = null,
       holder = null, leased_until = null
where task_id = $1 and epoch = $2 and state = 'running'
