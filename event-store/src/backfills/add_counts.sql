update backfills set moved = moved + $3, unmoved = unmoved + $4, failed = failed + $5,
       reversed = reversed + $7,
       progressed_at = now(), problem = null,
       leased_until = now() + make_interval(secs => $6)
where task_id = $1 and epoch = $2 returning state
