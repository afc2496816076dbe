-- For a migration that also runs where there is no Kairan: unit tests, Prisma's shadow database.
do $$ begin
  if to_regproc('kairan.publish_row') is not null then
    create trigger order_placed after insert on orders for each row
      execute function kairan.publish_row('user-{user_id},admin-dashboard', 'order.placed', 'id,item,status');
  end if;
end $$;
