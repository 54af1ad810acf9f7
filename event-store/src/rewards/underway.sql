-- The deliveries of grants to their payers.
select d.grant_id, d.channel, d.queued_at, d.give_up_at
from unnest($1::smallint[], $2::uuid[]) w (lane, grant_id)
cross join lateral (
    select * from deliveries where lane = w.lane and grant_id = w.grant_id and pays
) d
