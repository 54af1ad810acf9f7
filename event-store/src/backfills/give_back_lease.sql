update backfills set holder = null, leased_until = now() + make_interval(secs => $3)
where task_id = $1 and epoch = $2
