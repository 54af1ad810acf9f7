select partition, coalesce(max(applied), 0), coalesce(max(seen), 0) from (
    select partition, next_offset as applied, next_offset as seen
    from source_partitions where topic = $1 and incarnation = $2
    union all
    select partition, null, max(next_offset) from lane_offsets
    where topic = $1 and incarnation = $2 group by partition
) k group by partition
