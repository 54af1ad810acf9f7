-- The due milestones of some users, with all their lines. $3: as of this time, $4: the index of the
-- user, $5: the maximum number of milestones per user.
select w.place, r.task_id, r.period_key, r.milestone, r.line, r.grant_id, r.kind, r.code, r.amount, r.state,
       r.granted_at, r.granted_position, r.ordinal, r.version, r.period_starts_at, r.period_ends_at,
       r.claimed_at, r.claimed_position, r.claim_until, r.lapses_at, r.lapses_as
from unnest($1::smallint[], $2::text[], $3::timestamptz[], $4::bigint[]) w (lane, user_id, as_of, place)
cross join lateral (
    select granted_position from reward_state
    where lane = w.lane and user_id = w.user_id and state = 'claimable' and ordinal = 0
      and lapses_at is not null and lapses_at <= w.as_of
    order by task_id, lapses_at
    limit $5
) m
join lateral (
    select * from reward_state
    where lane = w.lane and user_id = w.user_id and granted_position = m.granted_position order by ordinal
) r on true
order by w.place, r.task_id, r.period_starts_at nulls first, r.milestone, r.ordinal
