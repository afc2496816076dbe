-- Publishing with no more rights than publishing needs. Who gets which is in grants.sql.

-- What kairan.uuid_v7 does, written out: a default is evaluated as whoever inserts, who then needs no right
-- to call a function of Kairan's.
alter table kairan.notifications alter column id set default encode(
  set_bit(set_bit(
    overlay(
      uuid_send(gen_random_uuid())
      placing substring(int8send((extract(epoch from clock_timestamp()) * 1000)::bigint) from 3)
      from 1 for 6
    ), 52, 1), 53, 1),
  'hex')::uuid;

create or replace function kairan.publish(
  channels text[],
  payload jsonb,
  type text default null,
  dedupe_key text default null,
  expires_at timestamptz default null
) returns uuid language plpgsql as $$
#variable_conflict use_column
declare
  result uuid;
begin
  if publish.dedupe_key is null then
    insert into kairan.notifications (channels, payload, type, expires_at)
    values (publish.channels, publish.payload, publish.type, publish.expires_at)
    returning id into result;
    return result;
  end if;

  -- Not for ever: a trigger or a policy of the operator's may keep every row out. Then there is no id.
  for attempt in 1..10 loop
    insert into kairan.notifications (channels, payload, type, dedupe_key, expires_at)
    values (publish.channels, publish.payload, publish.type, publish.dedupe_key, publish.expires_at)
    on conflict do nothing -- To name the key here would need the right to read everybody's.
    returning id into result;
    exit when found;
    result := kairan.published_as(publish.dedupe_key);
    -- Not there: it was removed between the two statements, so the key is free again.
    exit when result is not null;
  end loop;
  return result;
end $$;

create function kairan.published_as(dedupe_key text) returns uuid language sql as $$
  -- The caller's collation, that of a column for example, would rule out the index.
  select n.id from kairan.notifications n where n.dedupe_key = published_as.dedupe_key collate "default"
$$;
comment on function kairan.published_as(text) is
  'The id of the notification that was published with this dedupe_key, as kairan.publish returns it: whoever can publish learns nothing else here.';

-- Whoever inserts calls it with a search_path of theirs, so every name is written out. A `set search_path`
-- here would cost each publish 3 µs of 45, as it does once in fan_out, which needs its owner's rights.
create or replace function kairan.check_notification() returns trigger language plpgsql as $$
declare
  different bigint;
begin
  new.bytes := pg_catalog.octet_length(new.payload::pg_catalog.text);
  -- The ordinary notification, in two expressions: see 0005_awake.sql.
  if pg_catalog.jsonb_typeof(new.payload) operator(pg_catalog.=) 'object'
    and not new.payload operator(pg_catalog.?) 'metadata'
    and new.bytes operator(pg_catalog.<=) pg_catalog.pg_sequence_last_value('kairan.max_event_bytes')
    and coalesce(pg_catalog.char_length(new.type), 1) operator(pg_catalog.>=) 1
    and coalesce(pg_catalog.char_length(new.type), 1) operator(pg_catalog.<=) 200
    and coalesce(pg_catalog.char_length(new.dedupe_key), 1) operator(pg_catalog.>=) 1
    and coalesce(pg_catalog.char_length(new.dedupe_key), 1) operator(pg_catalog.<=) 200
    and new.created_at operator(pg_catalog.>=) '1970-01-01Z'
    and new.created_at operator(pg_catalog.<=) (pg_catalog.now() operator(pg_catalog.+) interval '1 day')
  then
    if pg_catalog.cardinality(new.channels) operator(pg_catalog.=) 1
      and pg_catalog.char_length(new.channels[1]) operator(pg_catalog.<=) 205
      and new.channels[1] operator(pg_catalog.~) '^(all-users|admin-dashboard|user-[^\u0001-\u0020\u007f,]+)$'
    then
      return new;
    end if;
    -- Several channels, all different.
    select pg_catalog.count(distinct c) into different
    from pg_catalog.unnest(new.channels) c
    where pg_catalog.char_length(c) operator(pg_catalog.<=) 205
      and c operator(pg_catalog.~) '^(all-users|admin-dashboard|user-[^\u0001-\u0020\u007f,]+)$';
    if different operator(pg_catalog.=) pg_catalog.cardinality(new.channels)
      and different operator(pg_catalog.>=) 1 and different operator(pg_catalog.<=) 1000
    then
      return new;
    end if;
  end if;
  new.channels := kairan.examine(new);
  return new;
end $$;

drop function kairan.examine(kairan.notifications);
create function kairan.examine(examined kairan.notifications) returns text[] language plpgsql as $$
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

  return (
    select array_agg(c.channel order by c.place)
    from (
      select u.channel, min(u.place) as place
      from unnest(examined.channels) with ordinality u (channel, place) group by u.channel
    ) c
  );
end $$;
comment on function kairan.examine(kairan.notifications) is
  'Raises what is wrong with a notification, if anything is, and what to do about it. Else returns its channels, each once.';

-- As before, but rings by itself, and finds each channel once: this pays for its fixed search_path.
create or replace function kairan.fan_out() returns trigger language plpgsql as $$
begin
  insert into kairan.deliveries (notification_id, channel, created_at)
  select i.id, c.channel, i.created_at
  from inserted i, unnest(i.channels) c (channel);
  -- As kairan.ring does.
  if found
    and pg_try_advisory_lock_shared(kairan.awake_lock())
    and pg_advisory_unlock_shared(kairan.awake_lock())
  then
    perform pg_notify('kairan_log', '');
  end if;
  return null;
end $$;
