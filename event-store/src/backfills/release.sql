update backfills set release_at = now(), release_by = $2, release_reason = $3,
       leased_until = null, progressed_at = now()
where task_id = $1
