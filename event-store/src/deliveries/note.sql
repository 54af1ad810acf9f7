-- Every attempt is stored: the last 200, of which the last 20 with the answers. It changes the
-- state only while the delivery waits and no operator has requested a redelivery since the attempt
-- began; an attempt that began before the request is added to attempts_before. A row that has
-- become a copy ends once it is sent.
update deliveries d
set state      = case when d.state <> 'waiting' or d.redeliveries <> n.redeliveries then d.state
                      when n.state = 'sent' and (d.acknowledged or not d.pays) then 'delivered'
                      else n.state end,
    due_at     = case when d.redeliveries <> n.redeliveries then d.due_at else now() + make_interval(secs => n.wait) end,
    give_up_at = case when d.state <> 'waiting' or d.redeliveries <> n.redeliveries or n.state = 'waiting' then d.give_up_at
                      when n.state = 'sent' and d.pays and not d.acknowledged
                      then now() + make_interval(secs => n.acknowledged_within)
                 end,
    settled_at = case when d.state <> 'waiting' or d.redeliveries <> n.redeliveries then d.settled_at
                      when n.state in ('delivered', 'failed') then now()
                      when n.state = 'sent' and (d.acknowledged or not d.pays) then now()
                 end,
    attempts   = d.attempts + 1,
    attempts_before = d.attempts_before + case when d.redeliveries <> n.redeliveries then 1 else 0 end,
    attempted  = (case when jsonb_array_length(d.attempted) >= 200 then d.attempted - 0 else d.attempted end
                  #- array['-20', 'answer'])
                 || jsonb_build_array(n.attempt),
    reason     = case when d.state = 'waiting' and d.redeliveries = n.redeliveries then n.reason else d.reason end
from unnest($1::smallint[], $2::uuid[], $3::text[], $4::double precision[], $5::double precision[],
            $6::jsonb[], $7::text[], $9::integer[])
     n (lane, grant_id, state, wait, acknowledged_within, attempt, reason, redeliveries)
where d.lane = n.lane and d.grant_id = n.grant_id and d.channel = $8
