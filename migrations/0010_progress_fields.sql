-- What `progress_recorded` may say beside the total: what was carried over, and what a measure counts only
-- once, or only if it is the latest.
insert into event_fields (event_type, event_version, field, shape, required) values
    ('progress_recorded', '1.0', 'carried', 'integer', false),
    ('progress_recorded', '1.0', 'surplus', 'integer', false),
    ('progress_recorded', '1.0', 'latest', 'flag', false),
    ('progress_recorded', '1.0', 'value', 'text', false),
    ('progress_recorded', '1.0', 'day', 'text', false),
    ('progress_recorded', '1.0', 'completion_of', 'task', false);
