-- A round that failed is made again, up to the same place.
insert into topic_handoffs (lane, position, ordinal)
select h.lane, h.position, h.ordinal from unnest($1::smallint[], $2::bigint[], $3::integer[]) h (lane, position, ordinal)
on conflict do nothing
