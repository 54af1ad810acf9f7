update rebuild_leases
set renewals = renewals + 1, leased_until = clock_timestamp() + make_interval(secs => $3)
where projection = $1 and epoch = $2
