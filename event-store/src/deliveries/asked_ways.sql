-- The channels that these grants were already sent by, if another channel leads to their payers
-- now. An attempt that was cut off with its process is not noted; $4 marks the grants that may have
-- had one.
select d.grant_id, d.channel
from unnest($1::smallint[], $2::uuid[], $3::text[], $4::boolean[]) q (lane, grant_id, channel, was_sent)
cross join lateral (
    select grant_id, channel, attempts, state from deliveries where lane = q.lane and grant_id = q.grant_id and pays
) d
where d.channel <> q.channel and (q.was_sent or d.attempts > 0 or d.state = 'sent')
