-- The shop's own tables. Kairan has its schema, `kairan`, in the same database.
create table if not exists users (
  id text primary key,
  name text not null,
  role_level int not null default 0
);
insert into users values ('1', 'Aiko', 0), ('2', 'Ben', 0), ('3', 'Chidi', 100) on conflict do nothing;

create table if not exists orders (
  id int primary key generated always as identity,
  user_id text not null references users,
  item text not null,
  status text not null default 'placed' check (status in ('placed', 'shipped', 'delivered', 'cancelled')),
  created_at timestamptz not null default now()
);

-- This is all there is to it: whatever changes an order, a page or a psql, its customer and the admins hear of it.
create or replace trigger order_placed after insert on orders for each row
  execute function kairan.publish_row('user-{user_id},admin-dashboard', 'order.{status}', 'id,item,status,user_id');
create or replace trigger order_changed after update of status on orders for each row
  when (old.status is distinct from new.status)
  execute function kairan.publish_row('user-{user_id},admin-dashboard', 'order.{status}', 'id,item,status,user_id');
