select b.*, p.records, p.records_read from backfills b
cross join lateral (
    select sum(end_offset - start_offset)::bigint as records,
           coalesce(sum(next_offset - start_offset), 0)::bigint as records_read
    from backfill_partitions where task_id = b.task_id
) p
