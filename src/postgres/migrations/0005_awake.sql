-- Publishing without the bell: a NOTIFY in a transaction takes one lock of the whole cluster at commit and
-- holds it until the commit is on disk. While an instance is awake anyway, nobody has to ring.

create function kairan.awake_lock() returns bigint language sql immutable parallel safe as $$
  select 118066125103471 -- "kairan" in ASCII, and one: the migrations' lock is next to it.
$$;
comment on function kairan.awake_lock() is
  'The advisory lock that an instance holds while it numbers without being asked. It goes with the connection that holds it.';

create function kairan.present_lock() returns bigint language sql immutable parallel safe as $$
  select 118066125103472
$$;
comment on function kairan.present_lock() is
  'The advisory lock that every instance shares. Who gets it alone has nobody to tell what was numbered.';

create sequence kairan.max_event_bytes as int minvalue 1;
comment on sequence kairan.max_event_bytes is
  'MAX_EVENT_BYTES: the largest payload, in bytes of its text. Written by the service when it starts. A sequence, because its value can be had without a query: reading a table took a sixth of a publish.';
select setval('kairan.max_event_bytes', max_event_bytes) from kairan.settings;
drop table kairan.settings;

create or replace function kairan.check_notification() returns trigger language plpgsql as $$
begin
  new.bytes := octet_length(new.payload::text);
  -- The ordinary notification, in one expression: plpgsql evaluates it without running a query. Each
  -- statement more costs every publish, since it is prepared anew in each transaction. To count the
  -- characters of the user id in the regular expression, as kairan.is_channel does, costs as much again.
  if cardinality(new.channels) = 1
    and char_length(new.channels[1]) <= 205
    and new.channels[1] ~ '^(all-users|admin-dashboard|user-[^\u0001-\u0020\u007f,]+)$'
    and jsonb_typeof(new.payload) = 'object'
    and not new.payload ? 'metadata'
    and new.bytes <= pg_sequence_last_value('kairan.max_event_bytes')
    and coalesce(char_length(new.type), 1) between 1 and 200
    and coalesce(char_length(new.dedupe_key), 1) between 1 and 200
    and new.created_at between '1970-01-01Z' and now() + interval '1 day'
  then
    return new;
  end if;
  perform kairan.examine(new);
  return new;
end $$;

create function kairan.examine(examined kairan.notifications) returns void language plpgsql as $$
declare
  max_size bigint := coalesce(pg_sequence_last_value('kairan.max_event_bytes'), 65536);
  bad text;
begin
  if examined.channels is null or cardinality(examined.channels) not between 1 and 1000 then
    raise exception 'kairan: a notification has 1 to 1000 channels, not %', coalesce(cardinality(examined.channels), 0)
      using errcode = 'invalid_parameter_value',
            hint = 'Name at least one: user-{user id}, all-users or admin-dashboard.';
  end if;

  select coalesce(c, 'null') into bad from unnest(examined.channels) c where kairan.is_channel(c) is not true limit 1;
  if found then
    raise exception 'kairan: unknown channel "%"', left(bad, 250)
      using errcode = 'invalid_parameter_value',
            hint = 'A channel is user-{user id}, all-users or admin-dashboard; a user id has 1 to 200 characters, none of them a space, a comma or a control character. Several channels are a text[]: $1::text[].';
  end if;

  if examined.payload is null or jsonb_typeof(examined.payload) <> 'object' then
    if examined.payload #>> '{}' ~ '^\s*\{' then
      raise exception 'kairan: the payload was encoded as JSON twice: %', left(examined.payload::text, 100)
        using errcode = 'invalid_parameter_value',
              hint = 'It arrived as a JSON string that holds an object. Pass the object, not its JSON.stringify (postgres.js: sql.json(payload)), or send text and cast it: $1::text::jsonb.';
    end if;
    raise exception 'kairan: the payload is not a JSON object but %: %',
        coalesce(jsonb_typeof(examined.payload), 'null'), coalesce(left(examined.payload::text, 100), 'null')
      using errcode = 'invalid_parameter_value',
            hint = 'Wrap it: {"value": …}.';
  end if;

  if jsonb_typeof(examined.payload -> 'metadata') not in ('object', 'null') then
    raise exception 'kairan: payload.metadata is not a JSON object but %: %',
        jsonb_typeof(examined.payload -> 'metadata'), left((examined.payload -> 'metadata')::text, 100)
      using errcode = 'invalid_parameter_value',
            hint = 'Kairan adds deliveryChannel to payload.metadata, so it has to be an object. Use another key.';
  end if;

  if examined.bytes > max_size then
    raise exception 'kairan: the payload has % bytes, more than the % that are allowed', examined.bytes, max_size
      using errcode = 'program_limit_exceeded',
            hint = 'Publish a reference that the browser fetches, or raise MAX_EVENT_BYTES.';
  end if;
  if char_length(examined.type) not between 1 and 200 then
    raise exception 'kairan: the type has % characters, not 1 to 200: "%"', char_length(examined.type), left(examined.type, 100)
      using errcode = 'invalid_parameter_value', hint = 'Leave it null, or name what happened: order.shipped.';
  end if;

  if char_length(examined.dedupe_key) not between 1 and 200 then
    raise exception 'kairan: the dedupe_key has % characters, not 1 to 200: "%"', char_length(examined.dedupe_key), left(examined.dedupe_key, 100)
      using errcode = 'invalid_parameter_value', hint = 'Leave it null, or hash a longer one.';
  end if;

  -- Retention goes by it, and streams say it: one from the far future would keep all that follows for ever.
  if examined.created_at not between '1970-01-01Z' and now() + interval '1 day' then
    raise exception 'kairan: created_at lies before 1970 or in the future: %', examined.created_at
      using errcode = 'invalid_parameter_value', hint = 'Leave it out: it is the time of the insert. Unix milliseconds are to_timestamp($1 / 1000.0).';
  end if;
end $$;
comment on function kairan.examine(kairan.notifications) is 'Raises what is wrong with a notification, if anything is, and what to do about it.';

create or replace function kairan.fan_out() returns trigger language plpgsql as $$
begin
  insert into kairan.deliveries (notification_id, channel, created_at)
  select i.id, c.channel, i.created_at
  from inserted i, unnest(i.channels) c (channel)
  on conflict (notification_id, channel) do nothing; -- A channel that was named twice.
  if found then
    perform kairan.ring();
  end if;
  return null;
end $$;

create function kairan.ring() returns void language plpgsql as $$
begin
  -- Only looked at, not held until commit: a publisher that stays open would keep everyone from going to
  -- sleep or waking up. One that sees an instance awake and commits when it no longer is, is waited for:
  -- see kairan.fall_asleep.
  if pg_try_advisory_lock_shared(kairan.awake_lock()) and pg_advisory_unlock_shared(kairan.awake_lock()) then
    -- No data in it: what a lost or folded NOTIFY would have carried is in the table.
    perform pg_notify('kairan_log', '');
  end if;
end $$;
comment on function kairan.ring() is 'Wakes an instance when your transaction commits, unless one is awake.';

create function kairan.fall_asleep() returns xid8 language plpgsql as $$
begin
  -- In this order, and the id a new one: whoever still saw the lock has changed a row before, so it has an
  -- id, which is below.
  perform pg_advisory_unlock(kairan.awake_lock());
  return pg_current_xact_id();
end $$;
comment on function kairan.fall_asleep() is
  'Gives back kairan.awake_lock. Transactions below the id that it returns may commit without ringing: look again until none of them is in progress.';

create or replace function kairan.redeliver(notification_id uuid, channel text default null) returns int language plpgsql as $$
#variable_conflict use_column
declare
  changed int;
begin
  update kairan.deliveries d
  set status = 'pending', error = null, recipients = 0, delivered_at = null, seq = null
  where d.notification_id = redeliver.notification_id
    and (redeliver.channel is null or d.channel = redeliver.channel);
  get diagnostics changed = row_count;
  if changed > 0 then
    perform kairan.ring();
  end if;
  return changed;
end $$;

create or replace function kairan.sequence(
  batch int default 1000,
  out assigned int,
  out head bigint,
  out epoch text
) language plpgsql as $$
#variable_conflict use_column
declare
  log kairan.log;
begin
  if not exists (select from kairan.deliveries where seq is null) then
    -- An idle poll ends here: no lock, nothing written.
    select 0, l.head, l.epoch into sequence.assigned, sequence.head, sequence.epoch from kairan.log l;
    return;
  end if;

  select * into log from kairan.log for update skip locked;
  if not found then
    return; -- Another instance is at it, and will ring when it has committed.
  end if;

  -- A number that someone may have seen must survive a crash, whatever the role's setting is.
  perform set_config('synchronous_commit', 'on', true);

  -- Another server start, perhaps another server: a failover or a restored backup may have lost numbers
  -- that were given. Go on far above them, so that none is given twice. 2^20 a restart keeps seq below
  -- 2^53, which is what JavaScript counts exactly, for eight billion restarts.
  sequence.epoch := log.epoch;
  sequence.head := log.head;
  if log.server_started <> pg_postmaster_start_time() then
    log.head := log.head + (1 << 20);
  end if;

  -- Only committed rows are visible here, and the lock is released after what was numbered is visible
  -- to everyone. So whatever becomes visible later gets a higher number, and no reader of
  -- `seq > cursor` can skip a row that was slow to commit. A row that an open transaction has changed
  -- (deleted, put back again) is left for later: to wait for it would be to stop everyone's log.
  update kairan.deliveries d
  set seq = log.head + numbered.place
  from (
    select waiting.ctid, row_number() over (order by waiting.id) as place
    from (
      select ctid, id from kairan.deliveries where seq is null order by id limit batch
      for no key update skip locked
    ) waiting
  ) numbered
  where d.ctid = numbered.ctid and d.seq is null;
  get diagnostics sequence.assigned = row_count;

  if sequence.assigned > 0 then
    sequence.head := log.head + sequence.assigned;
    update kairan.log set head = sequence.head, server_started = pg_postmaster_start_time();
    -- Whoever is present shares this lock, also the one who asks: then only others are in the way.
    if not pg_try_advisory_xact_lock(kairan.present_lock()) then
      perform pg_notify('kairan_log', sequence.head::text);
    end if;
  end if;
end $$;

-- What every publish pays for is kept small. A check constraint is read from its text at each insert; only
-- Kairan writes the status. And a delivery is in the index of what is pending from its seq on: nobody looks
-- for it before.
alter table kairan.deliveries drop constraint deliveries_status_check;
drop index kairan.deliveries_pending;
create index deliveries_pending on kairan.deliveries (channel, seq) where status = 'pending' and seq is not null;
comment on index kairan.deliveries_pending is 'A user who connects without a cursor is first sent what is pending.';
