-- When a payer acknowledges a reward that was already delivered, its redelivery ends. A redelivery
-- not yet noted as sent is still sent: the acknowledgement may be a repeat of an older one.
update deliveries d
set state        = case when d.state = 'waiting' then 'waiting' when s.delivered then 'delivered' else 'failed' end,
    acknowledged = d.acknowledged or d.state = 'waiting',
    reason       = case when d.state = 'waiting' then d.reason when not s.delivered then 'the payer reported a failure' end,
    give_up_at   = case when d.state = 'waiting' then d.give_up_at end,
    settled_at   = case when d.state = 'waiting' then d.settled_at else now() end
from unnest($1::smallint[], $2::uuid[], $3::boolean[]) s (lane, grant_id, delivered)
where d.lane = s.lane and d.grant_id = s.grant_id and d.pays and d.redeliveries > 0
  and (d.state = 'sent' or (d.state in ('waiting', 'failed') and s.delivered))
