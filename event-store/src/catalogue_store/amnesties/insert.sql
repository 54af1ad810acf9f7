insert into streak_amnesties (id, starts_at, ends_at, tasks, declared_by, reason)
values ($1, $2, $3, $4, $5, $6)
returning id, starts_at, ends_at, tasks, declared_at, declared_by, reason
