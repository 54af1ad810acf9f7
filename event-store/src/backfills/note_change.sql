insert into backfill_changes (task_id, changed_at, change, changed_by, reason)
values ($1, clock_timestamp(), $2, $3, $4)
