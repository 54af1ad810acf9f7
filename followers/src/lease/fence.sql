-- After this statement the checkpoints move under the new epoch only. It waits for a step that is
-- being committed, and so returns the position after that step.
update follower_checkpoints
set epoch = $3
where follower = $1 and lane % $4 = $2
returning lane, position
