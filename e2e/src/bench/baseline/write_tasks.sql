insert into task_view
    (lane, user_id, task_id, watermark, version, period_key, starts_at, ends_at, closes_at, progress, completed, details)
select r.lane, r.user_id, r.task_id, r.watermark, r.version, r.period_key, r.starts_at, r.ends_at, r.closes_at,
       r.progress, r.completed, r.details::json
from unnest($1::smallint[], $2::text[], $3::text[], $4::timestamptz[], $5::integer[], $6::text[], $7::timestamptz[],
            $8::timestamptz[], $9::timestamptz[], $10::bigint[], $11::boolean[], $12::text[])
     r (lane, user_id, task_id, watermark, version, period_key, starts_at, ends_at, closes_at, progress, completed,
        details)
on conflict (lane, user_id, task_id) do update set
    watermark = excluded.watermark, version = excluded.version, period_key = excluded.period_key,
    starts_at = excluded.starts_at, ends_at = excluded.ends_at, closes_at = excluded.closes_at,
    progress = excluded.progress, completed = excluded.completed, details = excluded.details
