insert into source_partitions (topic, incarnation, partition, next_offset)
select $1, $2, n.partition, n.next_offset from unnest($3::int[], $4::bigint[]) n (partition, next_offset)
on conflict (topic, incarnation, partition)
do update set next_offset = greatest(source_partitions.next_offset, excluded.next_offset)
