-- The channels that these grants were sent by, where others lead to their payers by now. An attempt that ended with its
-- process is not noted; $4 says of which grants there may have been one.
select d.grant_id, d.channel
from unnest($1::smallint[], $2::uuid[], $3::text[], $4::boolean[]) q (lane, grant_id, channel, was_sent)
cross join lateral (
    select grant_id, channel, attempts, state from deliveries where lane = q.lane and grant_id = q.grant_id and pays
) d
where d.channel <> q.channel and (q.was_sent or d.attempts > 0 or d.state = 'sent')
