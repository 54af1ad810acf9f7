select p.id from unnest($1::smallint[], $2::uuid[]) a (lane, id)
join parked p on p.lane = a.lane and p.id = a.id
where p.resolved_at is null or p.resolution = 'discarded'
