insert into backfill_actions (lane, task_id, identity)
select * from unnest($1::smallint[], $2::text[], $3::uuid[]) on conflict do nothing
