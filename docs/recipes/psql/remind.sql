-- May run as often as it likes: with the same key it is published once, and has one id.
select kairan.publish(
  'user-' || :'user_id',
  jsonb_build_object('orderId', :order_id),
  type => 'order.reminder', dedupe_key => 'order-' || :'order_id' || '-reminder'
);
