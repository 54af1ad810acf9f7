delete from lane_offsets o
using (select lane, topic, incarnation, partition, max(next_offset) as next_offset
       from lane_offsets group by lane, topic, incarnation, partition having count(*) > 1) last
where (o.lane, o.topic, o.incarnation, o.partition) = (last.lane, last.topic, last.incarnation, last.partition)
  and o.next_offset < last.next_offset
