update backfill_partitions p set next_offset = n.next_offset, lost = n.lost
from unnest($2::text[], $3::int[], $4::int[], $5::bigint[], $6::bigint[])
     n (topic, incarnation, partition, next_offset, lost)
where p.task_id = $1 and p.topic = n.topic and p.incarnation = n.incarnation
  and p.partition = n.partition
