update rebuilds set phase = $2
where projection = $1 and exists (select from rebuild_leases where projection = $1 and epoch = $3)
