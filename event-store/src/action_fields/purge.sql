delete from action_fields where last_seen_on < (now() at time zone 'utc')::date - $1::int
