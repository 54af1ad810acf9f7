-- Streaks: what protected a missed period, make-ups, freezes that were granted or wished for.

alter table event_fields drop constraint event_fields_shape_check;
alter table event_fields add constraint event_fields_shape_check check (shape in
    ('task', 'version', 'integer', 'text', 'flag', 'instant', 'object', 'period', 'mode', 'reward', 'rewards',
     'protection', 'protected', 'rejudged'));

-- As before, and the shapes of streaks.
create or replace function plaudit_has_shape(shape text, value jsonb) returns boolean
language plpgsql immutable as $$
declare
    content text := value #>> '{}';
    kind    text := jsonb_typeof(value);
begin
    case shape
    when 'text' then return kind = 'string';
    when 'task' then return kind = 'string' and content ~ '^[a-z0-9._-]{1,64}$';
    when 'flag' then return kind = 'boolean';
    when 'object' then return kind = 'object';
    when 'integer' then return kind = 'number' and content ~ '^-?[0-9]+$' and content::bigint is not null;
    when 'version' then return kind = 'number' and content ~ '^[0-9]+$' and content::bigint <= 4294967295;
    when 'mode' then return kind = 'string' and content in ('manual', 'automatic');
    when 'instant' then
        return kind = 'string'
           and content ~ '^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]{1,9})?(Z|[+-][0-9]{2}:[0-9]{2})$'
           and content::timestamptz is not null;
    when 'period' then
        return kind = 'object' and plaudit_has_shape('text', value -> 'key')
           and value ? 'starts_at' and value ? 'ends_at'
           and (value -> 'starts_at' = 'null' or plaudit_has_shape('instant', value -> 'starts_at'))
           and (value -> 'ends_at' = 'null' or plaudit_has_shape('instant', value -> 'ends_at'));
    when 'reward' then
        return kind = 'object'
           and plaudit_has_shape('text', value -> 'grant') and (value ->> 'grant')::uuid is not null
           and plaudit_has_shape('task', value -> 'task')
           and plaudit_has_shape('version', value -> 'version')
           and plaudit_has_shape('text', value -> 'period')
           and plaudit_has_shape('integer', value -> 'milestone')
           and plaudit_has_shape('text', value -> 'line')
           and plaudit_has_shape('text', value -> 'kind')
           and plaudit_has_shape('text', value -> 'code')
           and plaudit_has_shape('integer', value -> 'amount')
           and plaudit_has_shape('instant', value -> 'reached_at');
    when 'rewards' then
        return kind = 'array'
           and (select coalesce(bool_and(plaudit_has_shape('reward', item)), true)
                from jsonb_array_elements(value) item);
    when 'protection' then return kind = 'string' and content in ('pause', 'freeze', 'grace');
    when 'protected' then
        return kind = 'array'
           and (select coalesce(bool_and(jsonb_typeof(item) = 'object'
                                         and item - 'period' - 'by' = '{}'
                                         and plaudit_has_shape('period', item -> 'period')
                                         and plaudit_has_shape('protection', item -> 'by')), true)
                from jsonb_array_elements(value) item);
    when 'freeze changes' then
        return kind = 'array'
           and (select coalesce(bool_and(jsonb_typeof(item) = 'object'
                                         and item - 'at' - 'by' = '{}'
                                         and plaudit_has_shape('instant', item -> 'at')
                                         and plaudit_has_shape('integer', item -> 'by')), true)
                from jsonb_array_elements(value) item);
    when 'stretches' then
        return kind = 'array' and jsonb_array_length(value) > 0
           and (select bool_and(jsonb_typeof(item) = 'object'
                                and item - 'from' - 'last' - 'count' - 'before' - 'cycle_from' = '{}'
                                and item ? 'from'
                                and (item -> 'from' = 'null' or plaudit_has_shape('instant', item -> 'from'))
                                and plaudit_has_shape('period', item -> 'last')
                                and plaudit_has_shape('integer', item -> 'count')
                                and (not item ? 'before' or plaudit_has_shape('integer', item -> 'before'))
                                and (coalesce(item -> 'cycle_from', 'null') = 'null'
                                     or plaudit_has_shape('instant', item -> 'cycle_from')))
                from jsonb_array_elements(value) item);
    when 'rejudged' then
        return kind = 'object'
           and value - 'step' - 'stretches' - 'freeze_changes' = '{}'
           and plaudit_has_shape('integer', value -> 'step')
           and plaudit_has_shape('stretches', value -> 'stretches')
           and (not value ? 'freeze_changes' or plaudit_has_shape('freeze changes', value -> 'freeze_changes'));
    end case;
end
$$;

insert into event_fields (event_type, event_version, field, shape, required) values
    ('streak_advanced', '1.0', 'freezes', 'integer', false),
    ('streak_advanced', '1.0', 'protected', 'protected', false),
    ('streak_advanced', '1.0', 'fillable_from', 'instant', false),
    ('streak_advanced', '1.0', 'rejudged', 'rejudged', false),
    ('streak_protected', '1.0', 'task', 'task', true),
    ('streak_protected', '1.0', 'version', 'version', true),
    ('streak_protected', '1.0', 'period', 'period', true),
    ('streak_protected', '1.0', 'by', 'protection', true),
    ('streak_protected', '1.0', 'at', 'instant', true),
    ('period_made_up', '1.0', 'task', 'task', true),
    ('period_made_up', '1.0', 'version', 'version', true),
    ('period_made_up', '1.0', 'period', 'period', true),
    ('period_made_up', '1.0', 'at', 'instant', true),
    ('freezes_granted', '1.0', 'task', 'task', true),
    ('freezes_granted', '1.0', 'version', 'version', true),
    ('freezes_granted', '1.0', 'count', 'integer', true),
    ('freezes_granted', '1.0', 'dropped', 'integer', true),
    ('freezes_granted', '1.0', 'freezes', 'integer', true),
    ('freezes_granted', '1.0', 'at', 'instant', true),
    ('freezes_granted', '1.0', 'reason', 'text', false),
    ('freezes_granted', '1.0', 'by', 'text', false),
    ('freeze_reserved', '1.0', 'task', 'task', true),
    ('freeze_reserved', '1.0', 'version', 'version', true),
    ('freeze_reserved', '1.0', 'period', 'period', true),
    ('freeze_reserved', '1.0', 'at', 'instant', true);
