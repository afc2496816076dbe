create table push_subscriptions (
  endpoint text primary key,
  user_id text not null,
  p256dh text not null,
  auth text not null
);
create index on push_subscriptions (user_id);
