-- The row itself, to its user and to the admins: at every insert, and when the status is another.
create trigger order_placed after insert on orders for each row
  execute function kairan.publish_row('user-{user_id},admin-dashboard', 'order.placed', 'id,item,status');

create trigger order_status after update of status on orders for each row
  when (old.status is distinct from new.status)
  execute function kairan.publish_row('user-{user_id},admin-dashboard', 'order.status', 'id,status');

-- What the row does not say, or another table decides: a trigger of your own.
create function tell_of_stock() returns trigger language plpgsql as $$
begin
  -- try_publish warns where publish would fail: for tables whose writes matter more than the news of them.
  perform kairan.try_publish(
    'admin-dashboard',
    jsonb_build_object('item', new.item, 'count', new.count),
    type => 'stock.low',
    dedupe_key => format('stock-%s-low-%s', new.item, current_date),
    expires_at => now() + interval '1 day'
  );
  return null;
end $$;

create trigger stock_low after update of count on stock for each row
  when (new.count < 3 and old.count >= 3)
  execute function tell_of_stock();
