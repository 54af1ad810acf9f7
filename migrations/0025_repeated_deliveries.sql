-- Deliveries that are made again: of rewards that were delivered before, for a payer that forgot them, and of those that
-- another payer would get by now.

-- What operators list as failed although the reward stays delivered: it was sent again, or confirmed before it was sent,
-- and did not reach its payer.
create index deliveries_failed_repeats on deliveries (lane, grant_id)
    where state = 'failed' and pays and (redeliveries > 0 or acknowledged);

-- What the follower of rewards looks for in the log, with acknowledgements that change no reward: they may be about one
-- that was sent again.
create index events_about_deliveries on events (lane, position)
where event_type in ('milestone_reached', 'rewards_claimed', 'rewards_granted', 'redelivery_requested',
                     'reward_delivered', 'reward_failed', 'reward_granted', 'rewards_revoked',
                     'acknowledgement_ignored');
drop index events_of_deliveries;

insert into event_fields (event_type, event_version, field, shape, required) values
    ('redelivery_requested', '1.0', 'keeps_payer', 'flag', false);
