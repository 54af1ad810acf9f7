-- Deliveries: grants on their way to the paying systems, and what was answered.

-- One row per grant and channel, for ever. A follower of the log adds the rows; from then on the senders of
-- the channels go by them alone, so that a slow channel keeps no other one and no lane waiting.
create table deliveries (
    lane       smallint    not null,
    grant_id   uuid        not null,
    channel    text        collate "C" not null,
    -- Whether this channel leads to the payer. The other rows of a grant are copies, and what becomes of
    -- them changes nothing about the grant.
    pays       boolean     not null,
    user_id    text        collate "C" not null,
    -- The place in the log of what made it payable: the order in which a channel in order sends.
    position   bigint      not null,
    ordinal    integer     not null,
    -- The reward as it was granted.
    reward     json        not null,
    -- waiting: to be sent, first or again. sent: handed over, not acknowledged. The others are final.
    state      text        not null check (state in ('waiting', 'sent', 'delivered', 'failed')),
    -- Not sent before.
    due_at     timestamptz not null,
    -- Given up then: the end of the retries while it waits, of the wait for an acknowledgement once it is
    -- sent. Null: never.
    give_up_at timestamptz,
    attempts   integer     not null default 0,
    -- The last attempts, oldest first, at most 20: when, how long, with which status and answer.
    attempted  jsonb       not null default '[]',
    -- Why it failed.
    reason     text,
    queued_at  timestamptz not null default clock_timestamp(),
    primary key (lane, grant_id, channel)
) with (fillfactor = 70);

-- What the channel in order sends next.
create index deliveries_in_order on deliveries (lane, position, ordinal)
where state = 'waiting' and channel = 'kafka';

-- What a channel without order sends next.
create index deliveries_by_due on deliveries (channel, lane, due_at)
where state = 'waiting' and channel <> 'kafka';

-- What is to be given up.
create index deliveries_by_end on deliveries (lane, give_up_at)
where state in ('waiting', 'sent') and give_up_at is not null;

-- What operators ask for: all that is not delivered.
create index deliveries_undelivered on deliveries (lane, grant_id) where state <> 'delivered';

-- What the follower of rewards looks for in the log: what makes rewards payable, and what payers and
-- operators said since.
create index events_for_delivery on events (lane, position)
where event_type in ('milestone_reached', 'rewards_claimed', 'rewards_granted', 'redelivery_requested',
                     'reward_delivered', 'reward_failed');
drop index events_with_rewards;

insert into event_fields (event_type, event_version, field, shape, required) values
    ('reward_delivered', '1.0', 'reward', 'reward', true),
    ('reward_delivered', '1.0', 'at', 'instant', true),
    ('reward_failed', '1.0', 'reward', 'reward', true),
    ('reward_failed', '1.0', 'reason', 'text', true),
    ('reward_failed', '1.0', 'at', 'instant', true),
    ('acknowledgement_ignored', '1.0', 'grant', 'text', true),
    ('acknowledgement_ignored', '1.0', 'delivered', 'flag', true),
    ('acknowledgement_ignored', '1.0', 'reason', 'text', true),
    ('acknowledgement_ignored', '1.0', 'at', 'instant', true),
    ('redelivery_requested', '1.0', 'reward', 'reward', true),
    ('redelivery_requested', '1.0', 'by', 'text', true),
    ('redelivery_requested', '1.0', 'reason', 'text', true),
    ('redelivery_requested', '1.0', 'at', 'instant', true),
    ('redelivery_requested', '1.0', 'stays_delivered', 'flag', false);
