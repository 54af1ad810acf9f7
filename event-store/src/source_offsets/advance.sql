insert into lane_offsets (lane, topic, incarnation, partition, next_offset)
select o.lane, o.topic, o.incarnation, o.partition, o.next_offset
from unnest($1::smallint[], $2::text[], $3::int[], $4::int[], $5::bigint[])
     o (lane, topic, incarnation, partition, next_offset)
on conflict do nothing
