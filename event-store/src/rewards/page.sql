-- A page of a user's rewards, oldest first, with the head of the lane. $1: the lane, $2: the user,
-- $3 and $4: the row after which the page begins, $5: the limit, $6: now: rewards due by now are in
-- their next state, whether an event records it yet or not, $7: the state to select, or null. The
-- program puts the state as of $6 in the place of its name in braces.
select l.next_position - 1,
       r.task_id, r.period_key, r.milestone, r.line, r.grant_id, r.kind, r.code, r.amount, r.state,
       r.granted_at, r.granted_position, r.ordinal, r.version, r.period_starts_at, r.period_ends_at,
       r.claimed_at, r.claimed_position, r.claim_until, r.lapses_at, r.lapses_as
from lanes l
left join lateral (
    select * from reward_state r
    where r.lane = $1 and r.user_id = $2 and (r.granted_position, r.ordinal) > ($3, $4)
      and ($7::text is null or $7 = {state_as_of})
    order by r.granted_position, r.ordinal
    limit $5
) r on true
where l.lane = $1
order by r.granted_position, r.ordinal
