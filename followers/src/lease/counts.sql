-- The processes that follow, and the groups of lanes that they share.
select (select count(*) from follower_members where follower = $1),
       (select count(*) from follower_leases where follower = $1)
