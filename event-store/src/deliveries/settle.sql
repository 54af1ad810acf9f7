-- What payers said goes to the channels that lead to them, unless it is to be sent all the same; that a grant was
-- revoked ends copies that wait as well.
update deliveries d
set state = s.state, reason = s.reason, give_up_at = null, settled_at = now()
from unnest($1::smallint[], $2::uuid[], $3::text[], $4::text[]) s (lane, grant_id, state, reason)
where d.lane = s.lane and d.grant_id = s.grant_id
  and ((d.pays and not (d.acknowledged and d.state = 'waiting' and s.state = 'delivered'))
       or (s.state = 'revoked' and d.state = 'waiting'))
