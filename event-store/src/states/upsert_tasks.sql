insert into task_view
    (lane, user_id, task_id, completed_at, watermark, closed_key, closed_ends_at, unclaimed_count,
     version, period_key, starts_at, ends_at, closes_at, progress, completed, details)
select r.lane, r.user_id, r.task_id, r.completed_at, r.watermark, r.closed_key, r.closed_ends_at, r.unclaimed_count,
       r.version, r.period_key, r.starts_at, r.ends_at, r.closes_at, r.progress, r.completed, r.details::json
from unnest($1::smallint[], $2::text[], $3::text[], $4::timestamptz[], $5::timestamptz[], $6::text[],
            $7::timestamptz[], $8::bigint[], $9::integer[], $10::text[], $11::timestamptz[], $12::timestamptz[],
            $13::timestamptz[], $14::bigint[], $15::boolean[], $16::text[])
     r (lane, user_id, task_id, completed_at, watermark, closed_key, closed_ends_at, unclaimed_count,
        version, period_key, starts_at, ends_at, closes_at, progress, completed, details)
on conflict (lane, user_id, task_id) do update set
    completed_at = excluded.completed_at, watermark = excluded.watermark, closed_key = excluded.closed_key,
    closed_ends_at = excluded.closed_ends_at, unclaimed_count = excluded.unclaimed_count,
    version = excluded.version, period_key = excluded.period_key, starts_at = excluded.starts_at,
    ends_at = excluded.ends_at, closes_at = excluded.closes_at, progress = excluded.progress,
    completed = excluded.completed, details = excluded.details
