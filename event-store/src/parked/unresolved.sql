select p.id, p.repairable
from unnest($1::smallint[], $2::uuid[]) a (lane, id)
join parked p on p.lane = a.lane and p.id = a.id
where p.resolved_at is null
