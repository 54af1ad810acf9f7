-- $1: the days after which a name is deleted, $2: the maximum number of rows.
delete from action_fields where (action_type, field) in (
    select action_type, field from action_fields
    where last_seen_on < ((select plaudit_upkeep_time()) at time zone 'utc')::date - $1::int limit $2)
