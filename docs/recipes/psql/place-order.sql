-- An order, what is left of the item, and who should hear of it: all of it, or nothing.
begin;
insert into orders (user_id, item) values (:'user_id', :'item') returning id as order_id \gset
select kairan.publish(
  array['user-' || :'user_id', 'admin-dashboard'],
  jsonb_build_object('orderId', :order_id, 'item', :'item'),
  type => 'order.placed'
);
-- When none is left this fails, and nobody hears of an order that there is not.
update stock set count = count - 1 where item = :'item';
commit;
