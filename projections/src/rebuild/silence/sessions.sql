-- Whether a session works, and when the state of one changed last. A session that waits for its client does not work:
-- in the middle of a `COPY`, PostgreSQL shows it as active for as long as the rest of the rows does not come.
select bool_or(state not like 'idle%' and wait_event_type is distinct from 'Client'), max(state_change)
from pg_stat_activity
where datname = current_database() and application_name = $1
