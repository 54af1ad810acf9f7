-- Of the attempts the last 200 are kept, and of these the last 20 with the answers.
update deliveries d
set state      = case when d.state <> 'waiting' then d.state
                      when d.acknowledged and n.state = 'sent' then 'delivered'
                      else n.state end,
    due_at     = now() + make_interval(secs => n.wait),
    give_up_at = case when d.state <> 'waiting' or n.state = 'waiting' then d.give_up_at
                      when n.state = 'sent' and not d.acknowledged
                      then now() + make_interval(secs => n.acknowledged_within)
                 end,
    settled_at = case when d.state <> 'waiting' then d.settled_at
                      when n.state in ('delivered', 'failed') or (d.acknowledged and n.state = 'sent') then now()
                 end,
    attempts   = d.attempts + 1,
    attempted  = (case when jsonb_array_length(d.attempted) >= 200 then d.attempted - 0 else d.attempted end
                  #- array['-20', 'answer'])
                 || jsonb_build_array(n.attempt),
    reason     = case when d.state = 'waiting' then n.reason else d.reason end
from unnest($1::smallint[], $2::uuid[], $3::text[], $4::double precision[], $5::double precision[],
            $6::jsonb[], $7::text[])
     n (lane, grant_id, state, wait, acknowledged_within, attempt, reason)
where d.lane = n.lane and d.grant_id = n.grant_id and d.channel = $8
