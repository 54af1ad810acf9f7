select position, user_id from follower_skipped
where lane = $1 and follower = $2
order by position
limit $3
