-- Deletes offsets that a higher one of the same lane and source partition has replaced.
-- $1: the maximum number of rows.
delete from lane_offsets o
using (
    select ctid as place from lane_offsets b
    where exists (
        select from lane_offsets later
        where later.lane = b.lane and later.topic = b.topic and later.incarnation = b.incarnation
          and later.partition = b.partition and later.next_offset > b.next_offset
    )
    limit $1
) overtaken
where o.ctid = overtaken.place
