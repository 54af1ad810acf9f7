select n.lane from lane_numbers n
where not exists (select from backfill_lanes l where l.lane = n.lane and l.task_id = $1)
order by n.lane
