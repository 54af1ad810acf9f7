insert into events
    (lane, aggregate_type, aggregate_id, sequence, event_type, event_version, payload, metadata, position)
select e.lane, 'UserTasks', e.user_id, e.sequence, e.event_type, e.event_version, e.payload::json, e.metadata::json,
       e.position
from unnest($1::smallint[], $2::text[], $3::bigint[], $4::text[], $5::text[], $6::text[], $7::text[], $8::bigint[])
     e (lane, user_id, sequence, event_type, event_version, payload, metadata, position)
