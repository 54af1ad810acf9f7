-- From now on another channel leads to the payers of these grants. Webhooks that led there before
-- end; the topic keeps or gets its copy.
update deliveries d
set pays       = false,
    state      = case when d.channel = 'kafka' and d.state = 'sent' then 'delivered'
                      when d.channel <> 'kafka' and d.state in ('waiting', 'sent') then 'replaced'
                      else d.state end,
    settled_at = case when d.state = 'sent' or (d.channel <> 'kafka' and d.state = 'waiting') then now()
                      else d.settled_at end,
    give_up_at = null
from unnest($1::smallint[], $2::uuid[], $3::text[]) q (lane, grant_id, channel)
where d.lane = q.lane and d.grant_id = q.grant_id and d.channel <> q.channel
  and (d.pays or (d.channel <> 'kafka' and d.state in ('waiting', 'sent')))
