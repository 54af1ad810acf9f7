delete from backfill_actions where lane = $1 and task_id = $2 and identity in (
    select identity from backfill_actions where lane = $1 and task_id = $2
    order by identity limit $3)
