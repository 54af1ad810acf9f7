-- The highest offset of each pair, by one probe of the end of its key, however many rows come
-- before.
select w.lane, w.topic, w.incarnation, w.partition, o.next_offset
from unnest($1::smallint[], $2::text[], $3::int[], $4::int[]) w (lane, topic, incarnation, partition)
cross join lateral (
    select next_offset from lane_offsets
    where lane = w.lane and topic = w.topic
      and incarnation = w.incarnation and partition = w.partition
    order by next_offset desc limit 1
) o
