-- A page of parked records. Sizes come first: the length of stored bytes is known without reading
-- them.
with found as materialized (
    select lane, id, parked_at,
           octet_length(bytes)::bigint + octet_length(headers::text) as size,
           row_number() over (order by parked_at, id) as place
    from (select * from parked
          where resolved_at is null
            and ($1::uuid is null
                 or (parked_at, id) > (select parked_at, id from parked where id = $1 limit 1))
          order by parked_at, id limit $2 + 1) as candidate
), fitting as (
    select lane, id,
           place <= $2 and (place = 1 or sum(size) over (order by place) <= $3) as fits,
           count(*) over () as candidates
    from found
)
select lane, id, reason, repairable, waiting, user_id, topic, incarnation, partition, "offset", headers, bytes,
       parked_at, resolved_at, resolution, resolved_by, resolved_reason, candidates
from fitting join parked using (lane, id)
where fits
order by parked_at, id
