-- An operator may have requested a redelivery, also by another channel, after the delivery was
-- read.
select d.grant_id
from unnest($1::smallint[], $2::uuid[], $3::text[], $4::integer[]) w (lane, grant_id, channel, redeliveries)
cross join lateral (
    select grant_id from deliveries
    where lane = w.lane and grant_id = w.grant_id and channel = w.channel and pays and redeliveries = w.redeliveries
) d
