-- A webhook that was never called is still sent although an action reported the reward as
-- delivered: the action may have confirmed the copy.
update deliveries d set acknowledged = true
from unnest($1::smallint[], $2::uuid[]) s (lane, grant_id)
where d.lane = s.lane and d.grant_id = s.grant_id and d.pays and d.channel <> 'kafka' and d.state = 'waiting'
  and d.attempts = 0 and d.redeliveries = 0
