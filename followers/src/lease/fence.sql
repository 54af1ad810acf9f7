-- From here on the checkpoints move under the new epoch only. Waits for a step that is being
-- committed, and so reads where it went.
update follower_checkpoints
set epoch = $3
where follower = $1 and lane % $4 = $2
returning lane, position
