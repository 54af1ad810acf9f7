update follower_checkpoints set position = $1
where lane = $2 and follower = $3 and position = $4 and epoch = $5
