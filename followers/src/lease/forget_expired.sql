delete from follower_members where ctid in (
    select ctid from follower_members
    where follower = $1 and expires_at < clock_timestamp()
    for update skip locked
)
