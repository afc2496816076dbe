-- The shop is reminded of an order that waits: the reminder is scheduled with the order, and withdrawn when the order
-- is shipped or cancelled. Thirty seconds are for trying it out; a shop would wait a day.
create table if not exists reminders (
  order_id int primary key references orders on delete cascade,
  notification_id uuid not null
);

create or replace function remind_shop() returns trigger language plpgsql as $$
begin
  insert into reminders (order_id, notification_id)
  values (new.id, kairan.publish(
    'admin-dashboard',
    jsonb_build_object('id', new.id, 'item', new.item, 'status', 'waiting', 'user_id', new.user_id),
    'order.waiting',
    send_at => now() + interval '30 seconds'
  ));
  return null;
end $$;

create or replace function forget_reminder() returns trigger language plpgsql as $$
begin
  perform kairan.withdraw(r.notification_id) from reminders r where r.order_id = new.id;
  delete from reminders r where r.order_id = new.id;
  return null;
end $$;

create or replace trigger order_waits after insert on orders for each row execute function remind_shop();
create or replace trigger order_waits_no_longer after update of status on orders for each row
  when (old.status = 'placed' and new.status <> 'placed')
  execute function forget_reminder();
