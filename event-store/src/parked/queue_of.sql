-- A user's records that block later actions, up to a number of records and bytes, but at least one.
select lane, id, reason, repairable, waiting, user_id, topic, incarnation, partition, "offset", headers, bytes,
       parked_at, resolved_at, resolution, resolved_by, resolved_reason
from (
    select *, row_number() over (order by ordinal) as place,
           sum(octet_length(bytes)::bigint) over (order by ordinal) as bytes_so_far
    from (
        select * from parked
        where lane = $1 and user_id = $2 and repairable and resolved_at is null
        order by ordinal limit $3
    ) as first
) as sized
where place = 1 or bytes_so_far <= $4
order by ordinal
