insert into source_topics (topic, incarnation) values ($1, 1)
on conflict (topic) do update set incarnation = source_topics.incarnation + 1, accepted_at = now()
returning incarnation
