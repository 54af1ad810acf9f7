-- All that task screens need of some users, from one snapshot. $1: their lanes; $2: the users, in
-- the same order; $3: now. A milestone that is due to lapse by then can no longer be claimed, even
-- if the lapse is not recorded yet. The head of the lane, the catalogue's identity and the user's
-- row are repeated in each row: a user has few. Claimable milestones come with their task, the
-- oldest 40 of them, and only if there are any. `c.the_one` leads the planner to the key, since the
-- connections of screens are told not to scan tables; `offset 0` keeps each probe a lookup by key,
-- whatever the planner makes of arrays.
select w.place, l.next_position - 1, c.identity, u.zones, u.attributes, u.updated_at, u.counted,
       case when t.unclaimed_count > 0 then (
           select count(*) from reward_state
           where lane = w.lane and user_id = w.user_id and task_id = t.task_id
             and state = 'claimable' and ordinal = 0 and lapses_at <= $3
       ) end,
       case when t.unclaimed_count > 0 then (
           select json_agg(json_build_object(
                      'period_key', r.period_key, 'period_starts_at', r.period_starts_at,
                      'period_ends_at', r.period_ends_at, 'milestone', r.milestone, 'version', r.version,
                      'granted_at', r.granted_at, 'line', r.line, 'grant_id', r.grant_id, 'kind', r.kind,
                      'code', r.code, 'amount', r.amount, 'claim_until', r.claim_until)
                  order by r.period_starts_at nulls first, r.milestone, r.ordinal)
           from (select granted_position from reward_state
                 where lane = w.lane and user_id = w.user_id and task_id = t.task_id
                   and state = 'claimable' and ordinal = 0 and (lapses_at is null or lapses_at > $3)
                 order by period_starts_at nulls first, milestone limit 40) m
           cross join lateral (
               select * from reward_state
               where lane = w.lane and user_id = w.user_id and granted_position = m.granted_position order by ordinal
           ) r
       ) end,
       t.task_id, t.completed_at, t.watermark, t.closed_key, t.closed_ends_at, t.unclaimed_count,
       t.version, t.period_key, t.starts_at, t.ends_at, t.closes_at, t.progress, t.completed, t.details
from unnest($1::smallint[], $2::text[]) with ordinality w (lane, user_id, place)
cross join catalogue c
cross join lateral (select next_position from lanes where lane = w.lane offset 0) l
left join lateral (
    select zones, attributes, updated_at, counted from user_view
    where lane = w.lane and user_id = w.user_id offset 0
) u on true
left join lateral (
    select * from task_view where lane = w.lane and user_id = w.user_id offset 0
) t on true
where c.the_one
