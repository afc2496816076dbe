-- A thousand rows in one update: one notification for each user, not for each row.
create function tell_of_shipping() returns trigger language plpgsql as $$
begin
  insert into kairan.notifications (channels, payload, type)
  select array['user-' || after.user_id], jsonb_build_object('orderIds', jsonb_agg(id order by id)), 'orders.shipped'
  from after join before using (id)
  where after.status = 'shipped' and before.status <> 'shipped'
  group by after.user_id;
  return null;
end $$;

create trigger orders_shipped after update on orders
  referencing old table as before new table as after
  for each statement execute function tell_of_shipping();
