-- Amnesties: spans of time over which no streak breaks, such as an outage, with who declared them and why. They
-- are few, read with the catalogue, and never changed. `tasks` null: all continuous tasks.
create table streak_amnesties (
    id          uuid        primary key,
    starts_at   timestamptz not null,
    ends_at     timestamptz not null,
    tasks       text[]      collate "C" check (cardinality(tasks) > 0),
    declared_at timestamptz not null default now(),
    declared_by text        not null,
    reason      text        not null,
    check (starts_at < ends_at)
);

do $$
begin
    execute format('revoke update, delete, truncate on streak_amnesties from %I', current_user);
end
$$;
