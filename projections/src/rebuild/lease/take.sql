insert into rebuild_leases as l (projection, epoch, renewals, leased_until)
values ($1, 1, 0, clock_timestamp() + make_interval(secs => $2))
on conflict (projection) do update
set epoch = l.epoch + 1, renewals = l.renewals + 1, leased_until = excluded.leased_until
where l.leased_until <= clock_timestamp()
returning epoch
