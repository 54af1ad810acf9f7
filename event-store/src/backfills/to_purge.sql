select task_id from backfills
where state in ('done', 'cancelled') and purged_at is null
  and finished_at < now() - interval '1 minute'
order by finished_at limit 1
