-- $3: the number of last attempts to return.
select d.grant_id, d.channel, d.pays, d.state, d.attempts,
       case when jsonb_array_length(d.attempted) <= $3 then d.attempted
            else (select jsonb_agg(attempt order by number)
                  from jsonb_array_elements(d.attempted) with ordinality a (attempt, number)
                  where number > jsonb_array_length(d.attempted) - $3) end,
       d.reason, d.queued_at,
       case when d.state = 'waiting' then d.due_at end, d.give_up_at, d.settled_at,
       d.channel = 'kafka' and d.state = 'waiting'
       and exists (select from topic_handoffs h where h.lane = $1 and (h.position, h.ordinal) >= (d.position, d.ordinal))
from unnest($2::uuid[]) g (grant_id)
cross join lateral (select * from deliveries where lane = $1 and grant_id = g.grant_id) d
order by d.grant_id, d.pays desc, d.channel
