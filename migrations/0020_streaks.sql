-- A missed period that an operator filled by hand: who, and why. Absent where an action made it up.
insert into event_fields (event_type, event_version, field, shape, required) values
    ('period_made_up', '1.0', 'by', 'text', false),
    ('period_made_up', '1.0', 'reason', 'text', false);
