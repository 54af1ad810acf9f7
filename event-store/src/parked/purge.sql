delete from parked where (lane, id) in (
    select lane, id from parked where resolved_at < now() - make_interval(days => $1) limit 1000)
