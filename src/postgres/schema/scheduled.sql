-- Later: notifications that are sent at their time. They are kept apart from what is numbered, so that they cost it
-- nothing until they are due. Then they are published like any other.

create table kairan.scheduled (
  id uuid primary key,
  channels text[] not null,
  payload jsonb not null,
  type text,
  dedupe_key text,
  expires_at timestamptz,
  follow_up_after interval,
  send_at timestamptz not null,
  created_at timestamptz not null default clock_timestamp(),
  traceparent text default nullif(pg_catalog.current_setting('kairan.traceparent', true), ''),
  publisher text not null default 'role:' || current_user,
  error text,
  -- An update does not fire the trigger that says so in words.
  constraint send_at_a_moment_before_the_year_10000 check (
    isfinite(send_at) and send_at <= '9999-12-31T23:59:59.999Z'
  )
);
-- The default of a notification's id, which depends on the version of Postgres.
do $$ begin
  execute (
    select 'alter table kairan.scheduled alter id set default ' || pg_get_expr(d.adbin, d.adrelid)
    from pg_attrdef d join pg_attribute a on a.attrelid = d.adrelid and a.attnum = d.adnum
    where d.adrelid = 'kairan.notifications'::regclass and a.attname = 'id'
  );
end $$;
comment on table kairan.scheduled is
  'Notifications that are sent later. Insert here, or call kairan.publish with send_at. A row goes to kairan.notifications when it is due.';
comment on column kairan.scheduled.id is 'The id that the notification will have.';
comment on column kairan.scheduled.channels is 'As in kairan.notifications.';
comment on column kairan.scheduled.payload is 'As in kairan.notifications.';
comment on column kairan.scheduled.type is 'As in kairan.notifications.';
comment on column kairan.scheduled.dedupe_key is 'As in kairan.notifications. Of several with the same key, one is sent.';
comment on column kairan.scheduled.expires_at is 'As in kairan.notifications.';
comment on column kairan.scheduled.follow_up_after is 'As in kairan.notifications: counted from when it was sent.';
comment on column kairan.scheduled.send_at is 'When it is sent: within a second from then on.';
comment on column kairan.scheduled.created_at is 'When it was scheduled.';
comment on column kairan.scheduled.traceparent is 'As in kairan.notifications.';
comment on column kairan.scheduled.publisher is 'Whose dedupe_key it is.';
comment on column kairan.scheduled.error is 'Why it could not be published when it was due.';
-- With the id, as a million can be due at the same moment: the dashboard reads them page by page.
create index scheduled_send_at on kairan.scheduled (send_at, id) where error is null;
comment on index kairan.scheduled_send_at is 'Finds what is due.';
create index scheduled_created_at on kairan.scheduled (created_at);
comment on index kairan.scheduled_created_at is 'Finds what kairan.deliveries is asked for by its age.';
create index scheduled_channel on kairan.scheduled ((channels[1]));
comment on index kairan.scheduled_channel is 'Finds what kairan.deliveries is asked for by channel, where it is the first or the only one.';
-- In the words of kairan.deliveries. The planner takes "between" for rare, and "> 1" for every third row.
create index scheduled_several on kairan.scheduled (created_at) where cardinality(channels) between 2 and 1000;
comment on index kairan.scheduled_several is 'Finds what names more channels than the first.';
create index scheduled_failed on kairan.scheduled (send_at, id) where error is not null;
comment on index kairan.scheduled_failed is 'Finds what failed so long ago that it is removed.';
create unique index scheduled_dedupe_key on kairan.scheduled (publisher, dedupe_key)
  where dedupe_key is not null and error is null;
comment on index kairan.scheduled_dedupe_key is 'Finds what was already scheduled with a dedupe_key. What failed does not keep its key: its publisher may try again.';

create function kairan.check_scheduled() returns trigger language plpgsql as $$
declare
  examined kairan.notifications;
begin
  if not isfinite(new.send_at) or new.send_at > '9999-12-31T23:59:59.999Z' then
    raise exception 'kairan: send_at is %, which never comes', new.send_at using errcode = 'invalid_parameter_value',
      hint = 'Name a moment, like now() + interval ''1 hour''.';
  end if;
  examined.channels := new.channels;
  examined.payload := new.payload;
  examined.type := new.type;
  examined.dedupe_key := new.dedupe_key;
  examined.follow_up_after := new.follow_up_after;
  examined.created_at := now();
  examined.bytes := octet_length(new.payload::text);
  new.channels := kairan.examine(examined);
  if octet_length(new.traceparent) <> 55 then
    new.traceparent := null;
  end if;
  return new;
end $$;
comment on function kairan.check_scheduled() is 'Trigger: refuses a notification that could not be published.';
create trigger check_scheduled before insert or update of channels, payload, type, dedupe_key, follow_up_after on kairan.scheduled
  for each row execute function kairan.check_scheduled();
comment on trigger check_scheduled on kairan.scheduled is 'Refuses a notification that could not be published.';

create function kairan.send_due(most int default 500) returns int language plpgsql
  set lock_timeout = '200ms'
as $$
declare
  sent int;
  clashing int;
  item kairan.scheduled;
  reason text;
  state text;
  blocked text[] := '{}';
  waits int := 0;
begin
  -- Some at a time, so that none of them holds up what is published meanwhile.
  with due as (
    select id from kairan.scheduled
    where error is null and send_at <= clock_timestamp() order by send_at limit most
    for update skip locked
  ),
  taken as (
    delete from kairan.scheduled s using due d where s.id = d.id returning s.*
  ),
  made as (
    insert into kairan.notifications (
      id, channels, payload, type, dedupe_key, expires_at, follow_up_after, traceparent, publisher
    )
    select t.id, t.channels, t.payload, t.type, t.dedupe_key, t.expires_at, t.follow_up_after, t.traceparent,
      case when t.dedupe_key is not null then t.publisher end
    from taken t order by t.send_at, t.id
    on conflict do nothing
    returning id
  )
  -- "limit" keeps the planner from reading all notifications for them.
  select count(*), count(*) filter (
    where case when m.id is null then (
      select n.id from kairan.notifications n
      where n.publisher = t.publisher and n.dedupe_key = t.dedupe_key limit 1
    ) is null else false end
  ) into sent, clashing
  from taken t left join made m on m.id = t.id;
  if clashing > 0 then
    raise 'some were neither published now nor before with their dedupe_key'; -- For the handler.
  end if;
  return sent;
exception when others then
  -- One of them can't be published any more, or a transaction that is open has its dedupe_key. Each alone, so that it
  -- does not hold up the others.
  sent := 0;
  perform set_config('lock_timeout', '20ms', true);
  for item in
    select * from kairan.scheduled
    where error is null and send_at <= clock_timestamp() order by send_at limit most
    for update skip locked
  loop
    sent := sent + 1;
    if item.dedupe_key is not null and item.publisher = any(blocked) then
      update kairan.scheduled s set send_at = clock_timestamp() + interval '1 second' where s.id = item.id;
      continue;
    end if;
    begin
      insert into kairan.notifications (
        id, channels, payload, type, dedupe_key, expires_at, follow_up_after, traceparent, publisher
      )
      values (
        item.id, item.channels, item.payload, item.type, item.dedupe_key, item.expires_at, item.follow_up_after,
        item.traceparent, case when item.dedupe_key is not null then item.publisher end
      )
      on conflict do nothing;
      if not found and not exists (
        select from kairan.notifications n where n.publisher = item.publisher and n.dedupe_key = item.dedupe_key
      ) then
        raise exception 'kairan: another notification has this id';
      end if;
      delete from kairan.scheduled s where s.id = item.id;
    exception when others then
      get stacked diagnostics reason = message_text, state = returned_sqlstate;
      if state = '55P03' then
        blocked := blocked || item.publisher;
        waits := waits + 1;
        -- A transaction that is open has ids of thousands: from here on each costs little, and comes again later.
        if waits = 5 then
          perform set_config('lock_timeout', '1ms', true);
        end if;
        update kairan.scheduled s set send_at = clock_timestamp() + interval '1 second' + waits * interval '100 milliseconds'
        where s.id = item.id;
        continue;
      elsif state ~ '^(08|40|53|55|57)' then
        raise; -- It passes, and is tried again.
      end if;
      update kairan.scheduled s set error = left(reason, 1000) where s.id = item.id;
    end;
  end loop;
  return sent;
end $$;
comment on function kairan.send_due(int) is
  'Publishes at most `most` of what is due, and returns how many it took. Any number of instances may call it.';

create function kairan.prune_scheduled(keep interval, batch int default 1000) returns int language plpgsql as $$
declare
  removed int;
begin
  delete from kairan.scheduled s
  using (
    select id from kairan.scheduled where error is not null and send_at < now() - keep order by send_at limit batch
    for update skip locked
  ) old
  where s.id = old.id;
  get diagnostics removed = row_count;
  return removed;
end $$;
comment on function kairan.prune_scheduled(interval, int) is
  'Removes at most `batch` that could not be published, `keep` after they were due. Returns how many.';
