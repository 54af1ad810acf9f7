update backfills set released_users = released_users + $3, progressed_at = now(),
       released_at = case when $4 then now() end,
       leased_until = now() + make_interval(secs => $5)
where task_id = $1 and epoch = $2
