-- The customer hears of a parcel by a notification of their own. Who does not receive it in time gets an e-mail: see
-- mailer.ts. Ten seconds are for trying it out; a shop would wait some minutes.
create or replace function tell_customer() returns trigger language plpgsql as $$
begin
  perform kairan.publish(
    'user-' || new.user_id,
    jsonb_build_object('id', new.id, 'item', new.item, 'status', new.status, 'user_id', new.user_id),
    'order.shipped',
    follow_up_after => '10 seconds'
  );
  return null;
end $$;

create or replace trigger order_changed after update of status on orders for each row
  when (old.status is distinct from new.status and new.status <> 'shipped')
  execute function kairan.publish_row('user-{user_id},admin-dashboard', 'order.{status}', 'id,item,status,user_id');
create or replace trigger order_shipped after update of status on orders for each row
  when (old.status is distinct from new.status and new.status = 'shipped')
  execute function kairan.publish_row('admin-dashboard', 'order.{status}', 'id,item,status,user_id');
create or replace trigger customer_told after update of status on orders for each row
  when (old.status is distinct from new.status and new.status = 'shipped')
  execute function tell_customer();
