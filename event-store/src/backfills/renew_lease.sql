update backfills set leased_until = now() + make_interval(secs => $3)
where task_id = $1 and epoch = $2 returning state
