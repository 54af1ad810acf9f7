-- Deliveries: routes that change, how a redelivery begins, and when a delivery ended.

-- replaced: an operator had the grant delivered again, and another channel leads to the payer since. It is not sent.
-- Rows satisfied the narrower condition before, so none is checked.
alter table deliveries drop constraint deliveries_state_check;
alter table deliveries add constraint deliveries_state_check
    check (state in ('waiting', 'sent', 'delivered', 'failed', 'revoked', 'replaced')) not valid;

-- How often an operator had it delivered again, and how many of its attempts were made before the last time: the
-- waits between attempts begin again from there.
alter table deliveries add column redeliveries integer not null default 0;
alter table deliveries add column attempts_before integer not null default 0;
-- An action said that it is delivered before its webhook was ever asked, so perhaps of a copy: it is sent all the same.
alter table deliveries add column acknowledged boolean not null default false;
-- When it became delivered, failed, revoked or replaced. Null: it has not, or had before this column was there.
alter table deliveries add column settled_at timestamptz;

-- What lost its way to the payer by a redelivery is at its end.
update deliveries set state = 'replaced', give_up_at = null
where state in ('waiting', 'sent') and give_up_at is not null and not pays and channel <> 'kafka';
update deliveries set state = 'delivered', give_up_at = null
where state in ('waiting', 'sent') and give_up_at is not null and not pays and state = 'sent' and channel = 'kafka';

insert into event_fields (event_type, event_version, field, shape, required) values
    ('redelivery_requested', '1.0', 'stays_delivering', 'flag', false);
