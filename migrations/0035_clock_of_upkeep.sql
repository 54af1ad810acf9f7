-- The time by which upkeep ages rows, on a database whose clock may jump ahead: the clock without the
-- time that it skipped between two looks. A clock that is set back takes off what it goes back.
alter table dedup_window add column skipped interval not null default '0';

-- Between two looks at most five minutes count; see `LOOK_SECONDS_MAX` in windows.rs.
create function plaudit_upkeep_time() returns timestamptz language sql volatile as $$
    select least(clock_timestamp(), looked_at + interval '5 minutes') - skipped from dedup_window
$$;
