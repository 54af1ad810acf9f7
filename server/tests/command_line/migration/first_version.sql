-- A database as the first version of Plaudit left it, to be loaded after migrations 0001 to 0003: what its executor
-- wrote for three users, row by row. Its events repeat names and hold nulls; its identities lie in generations of seven
-- days, of which the running one depends on the clock. Written by hand from that version's source; never changed.

insert into lanes (lane) select generate_series(0, 63);
update catalogue set revision = 1;

insert into tasks (task_id, changed_at) values ('first-team', '2026-03-01T00:00:00Z');
insert into task_versions (task_id, version, definition, published_at, published_by) values
    ('first-team', 1, '{"id":"first-team","kind":"ordinary","text":{"en":{"title":"first-team","description":""}},"default_locale":"en","order":0,"every":"once","zone":{"fixed":"UTC"},"day_starts_at":"00:00","window":{},"while_locked":"skip","objective":{"on":["team.formed"],"measure":"count","target":1,"cap":{},"lateness_seconds":0},"milestones":[{"at":1,"rewards":[{"line":"coins","kind":"currency","code":"coin","amount":100}]}],"claim":{"mode":"manual"},"on_new_version":"keep"}',
     '2026-03-01T00:00:00Z', 'olga');
insert into tasks (task_id, changed_at) values ('daily-gifts', '2026-03-01T00:00:00Z');
insert into task_versions (task_id, version, definition, published_at, published_by) values
    ('daily-gifts', 1, '{"id":"daily-gifts","kind":"periodic","text":{"en":{"title":"daily-gifts","description":""}},"default_locale":"en","order":0,"every":"day","zone":"user","day_starts_at":"00:00","window":{},"while_locked":"skip","objective":{"on":["gift.sent"],"where":"data.coins >= 10","measure":{"sum":["coins"]},"target":1000,"cap":{},"lateness_seconds":7200},"milestones":[{"at":100,"rewards":[{"line":"small","kind":"currency","code":"coin","amount":10}]},{"at":1000,"rewards":[{"line":"big","kind":"currency","code":"coin","amount":50}]}],"claim":{"mode":"manual"},"on_new_version":"keep"}',
     '2026-03-01T00:00:00Z', 'olga');
insert into tasks (task_id, changed_at) values ('sign-in', '2026-03-01T00:00:00Z');
insert into task_versions (task_id, version, definition, published_at, published_by) values
    ('sign-in', 1, '{"id":"sign-in","kind":"continuous","text":{"en":{"title":"sign-in","description":""}},"default_locale":"en","order":0,"every":"day","zone":{"fixed":"UTC"},"day_starts_at":"00:00","window":{},"while_locked":"skip","objective":{"on":["user.signed_in"],"measure":"count","target":1,"cap":{},"lateness_seconds":0},"milestones":[{"at":3,"rewards":[{"line":"d3","kind":"currency","code":"coin","amount":5}]}],"claim":{"mode":"manual"},"on_new_version":"keep","streak":{}}',
     '2026-03-01T00:00:00Z', 'olga');

-- Appends as the executor did: under the row of the lane, which holds the next position.
create function pg_temp.append(of_user text, payload json, metadata json, at timestamptz) returns void
language plpgsql as $$
declare
    place bigint;
begin
    update lanes set next_position = next_position + 1 where lane = plaudit_lane(of_user)
    returning next_position - 1 into place;
    insert into events (lane, aggregate_type, aggregate_id, sequence, event_type, event_version, payload, metadata,
                        position, recorded_at)
    select plaudit_lane(of_user), 'UserTasks', of_user,
           1 + (select count(*) from events where aggregate_id = of_user), payload ->> 'type', '1.0', payload, metadata,
           place, at;
end
$$;

-- Ann, in Paris: by records of partition 0, and a claim under an Idempotency-Key.
select pg_temp.append('ann',
    '{"type":"user_updated","at":"2026-03-28T08:00:00Z","zone":"Europe/Paris","attributes":{"level":3,"nickname":null}}',
    '{"action_source":"/old","action_id":"z-1","action_type":"plaudit.user.updated","topic":"plaudit.actions","partition":"0","offset":"0"}', '2026-03-28T08:00:01Z');
select pg_temp.append('ann',
    '{"type":"progress_recorded","task":"first-team","version":1,"period":{"key":"once","starts_at":null,"ends_at":null},"closes_at":null,"credited":1,"progress":1,"target":1,"at":"2026-03-28T09:00:00Z"}',
    '{"action_source":"/old","action_id":"t-1","action_type":"team.formed","topic":"plaudit.actions","partition":"0","offset":"1"}', '2026-03-28T09:00:01Z');
select pg_temp.append('ann',
    '{"type":"milestone_reached","task":"first-team","version":1,"period":{"key":"once","starts_at":null,"ends_at":null},"milestone":1,"at":"2026-03-28T09:00:00Z","mode":"manual","rewards":[{"grant":"1e02a31f-dec8-5f1a-a5d7-828c7213d3ec","task":"first-team","version":1,"period":"once","milestone":1,"line":"coins","kind":"currency","code":"coin","amount":100,"reached_at":"2026-03-28T09:00:00Z"}]}',
    '{"action_source":"/old","action_id":"t-1","action_type":"team.formed","topic":"plaudit.actions","partition":"0","offset":"1"}', '2026-03-28T09:00:01Z');
select pg_temp.append('ann',
    '{"type":"task_completed","task":"first-team","version":1,"period":"once","at":"2026-03-28T09:00:00Z"}',
    '{"action_source":"/old","action_id":"t-1","action_type":"team.formed","topic":"plaudit.actions","partition":"0","offset":"1"}', '2026-03-28T09:00:01Z');
select pg_temp.append('ann',
    '{"type":"rewards_claimed","task":"first-team","version":1,"period":{"key":"once","starts_at":null,"ends_at":null},"milestone":1,"at":"2026-03-28T10:00:00Z","rewards":[{"grant":"1e02a31f-dec8-5f1a-a5d7-828c7213d3ec","task":"first-team","version":1,"period":"once","milestone":1,"line":"coins","kind":"currency","code":"coin","amount":100,"reached_at":"2026-03-28T09:00:00Z"}]}',
    '{"request_id":"0195dcf0-0000-7000-8000-000000000001"}', '2026-03-28T10:00:00Z');
select pg_temp.append('ann',
    '{"type":"progress_recorded","task":"daily-gifts","version":1,"period":{"key":"2026-03-29","starts_at":"2026-03-28T23:00:00Z","ends_at":"2026-03-29T22:00:00Z"},"closes_at":"2026-03-30T00:00:00Z","credited":130,"progress":130,"target":1000,"at":"2026-03-29T09:00:00Z"}',
    '{"action_source":"/old","action_id":"g-1","action_type":"gift.sent","topic":"plaudit.actions","partition":"0","offset":"2"}', '2026-03-29T09:00:01Z');
select pg_temp.append('ann',
    '{"type":"milestone_reached","task":"daily-gifts","version":1,"period":{"key":"2026-03-29","starts_at":"2026-03-28T23:00:00Z","ends_at":"2026-03-29T22:00:00Z"},"milestone":100,"at":"2026-03-29T09:00:00Z","mode":"manual","rewards":[{"grant":"268d7ddd-62a4-5300-9495-d447ed43d13a","task":"daily-gifts","version":1,"period":"2026-03-29","milestone":100,"line":"small","kind":"currency","code":"coin","amount":10,"reached_at":"2026-03-29T09:00:00Z"}]}',
    '{"action_source":"/old","action_id":"g-1","action_type":"gift.sent","topic":"plaudit.actions","partition":"0","offset":"2"}', '2026-03-29T09:00:01Z');
select pg_temp.append('ann',
    '{"type":"action_not_counted","task":"daily-gifts","version":1,"reason":"data.coins is not an integer","at":"2026-03-29T09:30:00Z"}',
    '{"action_source":"/old","action_id":"g-2","action_type":"gift.sent","topic":"plaudit.actions","partition":"0","offset":"3"}', '2026-03-29T09:30:01Z');
select pg_temp.append('ann',
    '{"type":"delivery_started","reward":{"grant":"1e02a31f-dec8-5f1a-a5d7-828c7213d3ec","task":"first-team","version":1,"period":"once","milestone":1,"line":"coins","kind":"currency","code":"coin","amount":100,"reached_at":"2026-03-28T09:00:00Z"}}',
    '{"follower":"delivery"}', '2026-03-29T09:30:02Z');

-- Carol, over HTTP: two steps of a streak.
select pg_temp.append('carol',
    '{"type":"progress_recorded","task":"sign-in","version":1,"period":{"key":"2026-03-27","starts_at":"2026-03-27T00:00:00Z","ends_at":"2026-03-28T00:00:00Z"},"credited":1,"progress":1,"target":1,"at":"2026-03-27T07:00:00Z"}',
    '{"action_source":"/old","action_id":"s-1","action_type":"user.signed_in","request_id":"0195dcf0-0000-7000-8000-000000000011"}', '2026-03-27T07:00:00Z');
select pg_temp.append('carol',
    '{"type":"streak_advanced","task":"sign-in","version":1,"period":{"key":"2026-03-27","starts_at":"2026-03-27T00:00:00Z","ends_at":"2026-03-28T00:00:00Z"},"current":1,"longest":1,"step":1,"at":"2026-03-27T07:00:00Z"}',
    '{"action_source":"/old","action_id":"s-1","action_type":"user.signed_in","request_id":"0195dcf0-0000-7000-8000-000000000011"}', '2026-03-27T07:00:00Z');
select pg_temp.append('carol',
    '{"type":"progress_recorded","task":"sign-in","version":1,"period":{"key":"2026-03-28","starts_at":"2026-03-28T00:00:00Z","ends_at":"2026-03-29T00:00:00Z"},"credited":1,"progress":1,"target":1,"at":"2026-03-28T07:00:00Z"}',
    '{"action_source":"/old","action_id":"s-2","action_type":"user.signed_in","request_id":"0195dcf0-0000-7000-8000-000000000012"}', '2026-03-28T07:00:00Z');
select pg_temp.append('carol',
    '{"type":"streak_advanced","task":"sign-in","version":1,"period":{"key":"2026-03-28","starts_at":"2026-03-28T00:00:00Z","ends_at":"2026-03-29T00:00:00Z"},"current":2,"longest":2,"step":2,"at":"2026-03-28T07:00:00Z"}',
    '{"action_source":"/old","action_id":"s-2","action_type":"user.signed_in","request_id":"0195dcf0-0000-7000-8000-000000000012"}', '2026-03-28T07:00:00Z');

-- The folds of the states: ann's is current. Stock postgres-es appended to carol, whose state is behind.
insert into user_states (lane, user_id, sequence, state)
select lane, aggregate_id, max(sequence),
       '{"counted":true,"tasks":{"first-team":{"completed_at":"2026-03-28T09:00:00Z","unsettled":[]}}}'
from events group by lane, aggregate_id;
insert into user_view (lane, user_id, zones) values
    (plaudit_lane('ann'), 'ann', '{"current":"Europe/Paris","changes":[]}');

insert into cqrs_events (aggregate_type, aggregate_id, sequence, event_type, event_version, payload, metadata) values
    ('UserTasks', 'carol', 5, 'progress_recorded', '1.0',
     '{"type":"progress_recorded","task":"sign-in","version":1,"period":{"key":"2026-03-29","starts_at":"2026-03-29T00:00:00Z","ends_at":"2026-03-30T00:00:00Z"},"credited":1,"progress":1,"target":1,"at":"2026-03-29T07:00:00Z"}',
     '{}');
insert into cqrs_events (aggregate_type, aggregate_id, sequence, event_type, event_version, payload, metadata) values
    ('UserTasks', 'carol', 6, 'streak_advanced', '1.0',
     '{"type":"streak_advanced","task":"sign-in","version":1,"period":{"key":"2026-03-29","starts_at":"2026-03-29T00:00:00Z","ends_at":"2026-03-30T00:00:00Z"},"current":3,"longest":3,"step":3,"at":"2026-03-29T07:00:00Z"}',
     '{}');
insert into cqrs_events (aggregate_type, aggregate_id, sequence, event_type, event_version, payload, metadata) values
    ('UserTasks', 'carol', 7, 'milestone_reached', '1.0',
     '{"type":"milestone_reached","task":"sign-in","version":1,"period":{"key":"2026-03-29","starts_at":"2026-03-29T00:00:00Z","ends_at":"2026-03-30T00:00:00Z"},"milestone":3,"at":"2026-03-29T07:00:00Z","mode":"manual","rewards":[{"grant":"7427ed66-7816-59fc-90cc-b790143e8c9c","task":"sign-in","version":1,"period":"2026-03-29","milestone":3,"line":"d3","kind":"currency","code":"coin","amount":5,"reached_at":"2026-03-29T07:00:00Z"}]}',
     '{}');

-- The receipt of ann's claim.
insert into claim_keys (lane, user_id, task_id, idempotency_key, receipts, claimed_at)
select plaudit_lane('ann'), 'ann', 'first-team', 'k-1',
       replace('[{"user":"ann","task":"first-team","period":"once","milestone":1,"position":"LANE:5","claimed_at":"2026-03-28T10:00:00Z","rewards":[{"grant":"1e02a31f-dec8-5f1a-a5d7-828c7213d3ec","line":"coins","kind":"currency","code":"coin","amount":100,"state":"claimed"}]}]',
               'LANE', plaudit_lane('ann')::text)::json,
       '2026-03-28T10:00:00Z';

-- What was read of the topic: ann's lane, and the partition as a whole.
insert into source_topics (topic, incarnation) values ('plaudit.actions', 0);
insert into source_partitions (topic, incarnation, partition, next_offset) values ('plaudit.actions', 0, 0, 6);
insert into lane_offsets (lane, topic, incarnation, partition, next_offset) values
    (plaudit_lane('ann'), 'plaudit.actions', 0, 0, 4), (plaudit_lane('bob'), 'plaudit.actions', 0, 0, 5),
    (plaudit_lane('plaudit.actions/0'), 'plaudit.actions', 0, 0, 6);

-- The identities of what was decided, in the generation that runs. z-1 is ann's zone, x-1 an action of a type that no
-- task listens to.
do $$
declare
    running int := floor(extract(epoch from now()) / 604800);
begin
    execute format('create table seen_actions_%1$s (like seen_actions including all);
                    alter table seen_actions attach partition seen_actions_%1$s for values in (%1$s)', running);
    insert into seen_actions (lane, generation, identity)
    select plaudit_lane(u), running, identity::uuid from (values
        ('ann', '64bb343c-f353-50f3-bba6-2683da48ec3c'),
        ('ann', 'fa9f06ec-eb95-5ee4-a528-cc4afd7b961b'),
        ('ann', 'c5a5f8e2-3c4f-5f57-910e-78e5e3589a9f'),
        ('ann', '6bb86ac7-91f5-57d5-8cce-50efb7754919'),
        ('ann', '541da207-6b20-5dde-a2f0-8adedaf6f256'),
        ('carol', '181c5f04-1e25-5455-9b5b-8f6e82995dcc'),
        ('carol', 'd3a945a7-3c55-53d4-8a8b-54edc7c878fe')) s (u, identity);
end
$$;

-- Bob's first action could not be applied, and a record of the topic could not be read.
insert into parked (lane, id, reason, repairable, user_id, topic, partition, "offset", headers, bytes, parked_at) values
    (plaudit_lane('bob'), 'e4af3175-816a-5d30-b037-8670cba899b4', 'an internal error while applying it', true, 'bob',
     'plaudit.actions', 0, 4, '{"content-type":"application/cloudevents+json"}',
     convert_to('{"data":{},"id":"t-7","source":"/old","specversion":"1.0","subject":"bob","time":"2026-03-29T08:00:00Z","type":"team.formed"}', 'UTF8'), '2026-03-29T08:00:01Z'),
    (plaudit_lane('plaudit.actions/0'), '67ecae70-63b5-558d-9536-7cfbc38eb5e2', 'no CloudEvents 1.0 JSON object: expected value', false, null,
     'plaudit.actions', 0, 5, '{}', 'garbage', '2026-03-29T08:00:02Z');

insert into follower_checkpoints (follower, lane, position)
select 'delivery', lane, next_position - 1 from lanes;
