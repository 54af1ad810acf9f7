insert into seen_actions (lane, dedup_window, identity, sequence)
select a.lane, $4, a.identity, a.sequence
from unnest($1::smallint[], $2::uuid[], $3::bigint[]) a (lane, identity, sequence)
