-- What a user can claim, oldest first: pages of it must not walk what was claimed before.
create index reward_state_claimable_in_order
    on reward_state (lane, user_id, granted_position, ordinal)
    where state = 'claimable';
