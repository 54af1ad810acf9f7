-- A page of the rewards that a user can claim, oldest first, with the head of the lane. $1: the
-- lane, $2: the user, $3 and $4: the row after which the page begins, $5: the limit, $6: now.
-- Rewards due by now can't be claimed any more, whether an event records it yet or not.
select l.next_position - 1,
       r.task_id, r.period_key, r.milestone, r.line, r.grant_id, r.kind, r.code, r.amount, r.state,
       r.granted_at, r.granted_position, r.ordinal, r.version, r.period_starts_at, r.period_ends_at,
       r.claimed_at, r.claimed_position, r.claim_until, r.lapses_at, r.lapses_as
from lanes l
left join lateral (
    select * from reward_state r
    where r.lane = $1 and r.user_id = $2 and (r.granted_position, r.ordinal) > ($3, $4)
      and r.state = 'claimable' and (r.lapses_at is null or r.lapses_at > $6)
    order by r.granted_position, r.ordinal
    limit $5
) r on true
where l.lane = $1
order by r.granted_position, r.ordinal
