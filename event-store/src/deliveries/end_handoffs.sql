-- Deletes the places before these ones, from the position in $4 on: dead rows before it stay in the
-- index as long as an old snapshot is open, and are not visited again.
delete from topic_handoffs t
using unnest($1::smallint[], $2::bigint[], $3::integer[], $4::bigint[]) h (lane, position, ordinal, from_position)
where t.lane = h.lane and t.position >= coalesce(h.from_position, 0)
  and (t.position, t.ordinal) < (h.position, h.ordinal)
