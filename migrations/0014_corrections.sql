-- Corrections: rewards granted and revoked by hand, progress that is changed by hand, actions that are taken back.

-- The sequence of the first event of an action in its user's stream, so that the facts of an action that is taken
-- back are found by one probe. Null: the action has none, or was decided before this column was there.
alter table seen_actions add column sequence bigint;

-- What changes by hand were answered with. A request that is repeated under its key gets the same again. Kept
-- for 30 days.
create table hand_receipts (
    lane            smallint    not null,
    user_id         text        collate "C" not null,
    -- What was done, such as `adjust daily-gifts`.
    operation       text        collate "C" not null,
    idempotency_key text        collate "C" not null,
    receipt         json        not null,
    given_at        timestamptz not null default now(),
    primary key (lane, user_id, operation, idempotency_key)
);

-- What upkeep deletes.
create index hand_receipts_by_age on hand_receipts (given_at);

-- A delivery of a grant that was revoked is never made.
alter table deliveries drop constraint deliveries_state_check;
alter table deliveries add constraint deliveries_state_check
    check (state in ('waiting', 'sent', 'delivered', 'failed', 'revoked'));

-- What the follower of rewards looks for in the log, with what is granted and revoked by hand.
create index events_of_deliveries on events (lane, position)
where event_type in ('milestone_reached', 'rewards_claimed', 'rewards_granted', 'redelivery_requested',
                     'reward_delivered', 'reward_failed', 'reward_granted', 'rewards_revoked');
drop index events_for_delivery;

insert into event_fields (event_type, event_version, field, shape, required) values
    ('progress_recorded', '1.0', 'dropped', 'integer', false),
    ('progress_corrected', '1.0', 'task', 'task', true),
    ('progress_corrected', '1.0', 'version', 'version', true),
    ('progress_corrected', '1.0', 'period', 'period', true),
    ('progress_corrected', '1.0', 'closes_at', 'instant', false),
    ('progress_corrected', '1.0', 'credited', 'integer', true),
    ('progress_corrected', '1.0', 'progress', 'integer', true),
    ('progress_corrected', '1.0', 'target', 'integer', true),
    ('progress_corrected', '1.0', 'at', 'instant', true),
    ('progress_corrected', '1.0', 'withheld', 'flag', false),
    ('progress_corrected', '1.0', 'carried', 'integer', false),
    ('progress_corrected', '1.0', 'surplus', 'integer', false),
    ('progress_corrected', '1.0', 'starts_over', 'flag', false),
    ('progress_corrected', '1.0', 'by', 'text', false),
    ('progress_corrected', '1.0', 'reason', 'text', true),
    ('action_reversed', '1.0', 'source', 'text', true),
    ('action_reversed', '1.0', 'id', 'text', true),
    ('action_reversed', '1.0', 'refused', 'text', false),
    ('action_reversed', '1.0', 'at', 'instant', true),
    ('credit_kept', '1.0', 'task', 'task', true),
    ('credit_kept', '1.0', 'version', 'version', true),
    ('credit_kept', '1.0', 'period', 'text', true),
    ('credit_kept', '1.0', 'credited', 'integer', true),
    ('credit_kept', '1.0', 'reason', 'text', true),
    ('credit_kept', '1.0', 'at', 'instant', true),
    ('reward_granted', '1.0', 'reward', 'reward', true),
    ('reward_granted', '1.0', 'by', 'text', true),
    ('reward_granted', '1.0', 'reason', 'text', true),
    ('rewards_revoked', '1.0', 'task', 'task', true),
    ('rewards_revoked', '1.0', 'version', 'version', true),
    ('rewards_revoked', '1.0', 'period', 'text', true),
    ('rewards_revoked', '1.0', 'milestone', 'integer', true),
    ('rewards_revoked', '1.0', 'rewards', 'rewards', true),
    ('rewards_revoked', '1.0', 'unclaimed', 'flag', false),
    ('rewards_revoked', '1.0', 'by', 'text', true),
    ('rewards_revoked', '1.0', 'reason', 'text', true),
    ('rewards_revoked', '1.0', 'at', 'instant', true);
