-- Ends only deliveries that are still overdue: in the meantime one may have been delivered or
-- redelivered.
update deliveries d
set state = s.state, reason = s.reason, give_up_at = null, settled_at = now()
from unnest($1::smallint[], $2::uuid[], $3::text[], $4::text[], $5::text[]) s (lane, grant_id, channel, state, reason)
where d.lane = s.lane and d.grant_id = s.grant_id and d.channel = s.channel
  and d.state in ('waiting', 'sent') and d.give_up_at <= now()
