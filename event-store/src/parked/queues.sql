-- The records that each user waits behind, in order. One probe of the partial index each.
select u.place, p.id
from unnest($1::smallint[], $2::text[]) with ordinality u (lane, user_id, place)
cross join lateral (
    select id, ordinal from parked
    where lane = u.lane and user_id = u.user_id and repairable and resolved_at is null
    order by ordinal limit $3
) p
order by u.place, p.ordinal
