select user_id from user_digests where lane = $1 and user_id > $2 order by user_id limit $3
