delete from parked where (lane, id) in (
    select lane, id from parked where resolved_at < (select plaudit_upkeep_time()) - make_interval(days => $1) limit 1000)
