update rebuilds set state = 'failed', error = $2
where projection = $1 and state in ('running', 'paused')
  and exists (select from rebuild_leases where projection = $1 and epoch = $3)
