insert into follower_checkpoints (follower, lane, position)
select follower, lane, 0 from lane_numbers, unnest(array['delivery', 'digests']) follower
on conflict do nothing
