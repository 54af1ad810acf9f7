insert into backfill_partitions
    (task_id, topic, incarnation, partition, start_offset, next_offset, end_offset, kept_from, lost)
values ($1, $2, $3, $4, $5, $6, $7, $8, $9)
