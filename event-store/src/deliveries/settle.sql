-- Answers of payers apply to the channels that lead to them, unless the delivery must still be
-- sent. A revocation also ends waiting copies. What the sender has noted already is left alone.
update deliveries d
set state = s.state, reason = s.reason, give_up_at = null, settled_at = now()
from unnest($1::smallint[], $2::uuid[], $3::text[], $4::text[]) s (lane, grant_id, state, reason)
where d.lane = s.lane and d.grant_id = s.grant_id
  and (d.state, d.reason) is distinct from (s.state, s.reason)
  and ((d.pays and not (d.acknowledged and d.state = 'waiting' and s.state = 'delivered'))
       or (s.state = 'revoked' and d.state = 'waiting'))
