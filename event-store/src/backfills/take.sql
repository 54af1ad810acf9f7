-- Takes a backfill that has work and no worker. $1: the holder, $2: the duration of the lease in
-- seconds.
update backfills set epoch = epoch + 1, holder = $1, leased_until = now() + make_interval(secs => $2)
where task_id = (
    select task_id from backfills
    where (state = 'running' or (state in ('done', 'cancelled') and release_at is not null and released_at is null))
      and (leased_until is null or leased_until < now())
    order by leased_until nulls first, created_at
    limit 1 for update skip locked
)
returning task_id, epoch, counts_from, rewards, planned_at is not null as is_planned, state, release_at, release_by,
          release_reason
