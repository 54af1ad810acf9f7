select task_id, problem, extract(epoch from now() - progressed_at)::float8 from backfills
where state = 'running' and progressed_at < now() - make_interval(secs => $1)
order by task_id
