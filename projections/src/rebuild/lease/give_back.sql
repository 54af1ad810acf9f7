update rebuild_leases set leased_until = clock_timestamp()
where projection = $1 and epoch = $2
