-- Rows of a new follower: a lease for each group of lanes, and a checkpoint for each lane.
with groups as (
    insert into follower_leases (follower, lane_group)
    select $1, n::smallint
    from generate_series(0, (select least(count(*), $2::int) from lanes) - 1) n
    where not exists (select from follower_leases where follower = $1)
    on conflict do nothing
)
insert into follower_checkpoints (lane, follower, position)
select lane, $1, 0 from lanes
on conflict do nothing
