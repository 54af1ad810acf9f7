-- The grants among $2 that the channel in order may have handed to the broker, without a note of it.
select d.grant_id
from unnest($1::smallint[], $2::uuid[]) w (lane, grant_id)
cross join lateral (
    select position, ordinal, grant_id from deliveries
    where lane = w.lane and grant_id = w.grant_id and channel = 'kafka' and pays and state = 'waiting'
) d
cross join lateral (
    select position, ordinal from topic_handoffs where lane = w.lane order by position desc, ordinal desc limit 1
) h
where (d.position, d.ordinal) <= (h.position, h.ordinal)
