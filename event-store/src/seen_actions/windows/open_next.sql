update dedup_window set current = current + 1, opened_at = clock_timestamp()
where current = $1 and opened_at <= clock_timestamp() - make_interval(secs => $2)
