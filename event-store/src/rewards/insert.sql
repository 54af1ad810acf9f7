insert into reward_state
    (lane, user_id, task_id, period_key, milestone, line, grant_id, kind, code, amount, state, granted_at,
     granted_position, ordinal, version, period_starts_at, period_ends_at, claimed_at, claimed_position,
     claim_until, lapses_at, lapses_as)
select r.lane, r.user_id, r.task_id, r.period_key, r.milestone, r.line, r.grant_id, r.kind, r.code, r.amount, r.state,
       r.granted_at, r.granted_position, r.ordinal, r.version, r.period_starts_at, r.period_ends_at,
       r.claimed_at, r.claimed_position, r.claim_until, r.lapses_at, r.lapses_as
from unnest($1::smallint[], $2::text[], $3::text[], $4::text[], $5::bigint[], $6::text[], $7::uuid[], $8::text[],
            $9::text[], $10::bigint[], $11::text[], $12::timestamptz[], $13::bigint[], $14::integer[], $15::integer[],
            $16::timestamptz[], $17::timestamptz[], $18::timestamptz[], $19::bigint[], $20::timestamptz[], $21::timestamptz[],
            $22::text[])
     r (lane, user_id, task_id, period_key, milestone, line, grant_id, kind, code, amount, state, granted_at,
        granted_position, ordinal, version, period_starts_at, period_ends_at, claimed_at, claimed_position,
        claim_until, lapses_at, lapses_as)
-- A grant is made once. Should the log hold it twice, the first one counts.
on conflict (lane, grant_id) do nothing
