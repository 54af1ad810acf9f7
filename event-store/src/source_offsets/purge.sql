-- Deletes offsets that a higher one of the same lane and source partition has replaced.
-- The highest is found by one probe of the end of its key, whatever the statistics say.
-- $1: the maximum number of rows.
delete from lane_offsets where ctid = any (array(
    select b.ctid from lane_offsets b
    where b.next_offset < (
        select h.next_offset from lane_offsets h
        where h.lane = b.lane and h.topic = b.topic and h.incarnation = b.incarnation
          and h.partition = b.partition
        order by h.next_offset desc limit 1
    )
    limit $1
))
