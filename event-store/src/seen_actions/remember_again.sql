insert into seen_actions (lane, dedup_window, identity)
select a.lane, $3, a.identity from unnest($1::smallint[], $2::uuid[]) a (lane, identity)
on conflict do nothing
