-- Publishing: what services call, and the checks that every notification passes.

create function kairan.uuid_v7() returns uuid language sql volatile parallel safe as $$
  -- RFC 9562: 48 bits of Unix milliseconds over a random UUID, whose version bits change from 4 to 7.
  select encode(
    set_bit(set_bit(
      overlay(
        uuid_send(gen_random_uuid())
        placing substring(int8send((extract(epoch from clock_timestamp()) * 1000)::bigint) from 3)
        from 1 for 6
      ), 52, 1), 53, 1),
    'hex')::uuid
$$;
comment on function kairan.uuid_v7() is 'A new UUID version 7 (RFC 9562): unique, and in the order of time.';

alter table kairan.notifications alter column id set default kairan.uuid_v7();

create function kairan.is_channel(name text) returns boolean language sql immutable parallel safe as $$
  select name in ('all-users', 'admin-dashboard') or name ~ '^user-[^\u0001-\u0020\u007f,]{1,200}$'
$$;
comment on function kairan.is_channel(text) is
  'Whether this names a channel: all-users, admin-dashboard or user-{user id}; a user id has 1 to 200 characters, none of them a space, a comma or a control character.';

create function kairan.check_notification() returns trigger language plpgsql as $$
declare
  size bigint;
  max_size int;
  bad text;
begin
  if new.channels is null or cardinality(new.channels) not between 1 and 1000 then
    raise exception 'kairan: a notification has 1 to 1000 channels, not %', coalesce(cardinality(new.channels), 0)
      using errcode = 'invalid_parameter_value',
            hint = 'Name at least one: user-{user id}, all-users or admin-dashboard.';
  end if;

  select coalesce(c, 'null') into bad from unnest(new.channels) c where kairan.is_channel(c) is not true limit 1;
  if found then
    raise exception 'kairan: unknown channel "%"', left(bad, 250)
      using errcode = 'invalid_parameter_value',
            hint = 'A channel is user-{user id}, all-users or admin-dashboard; a user id has 1 to 200 characters, none of them a space, a comma or a control character. Several channels are a text[]: $1::text[].';
  end if;

  if new.payload is null or jsonb_typeof(new.payload) <> 'object' then
    if new.payload #>> '{}' ~ '^\s*\{' then
      raise exception 'kairan: the payload was encoded as JSON twice: %', left(new.payload::text, 100)
        using errcode = 'invalid_parameter_value',
              hint = 'It arrived as a JSON string that holds an object. Pass the object, not its JSON.stringify (postgres.js: sql.json(payload)), or send text and cast it: $1::text::jsonb.';
    end if;
    raise exception 'kairan: the payload is not a JSON object but %: %',
        coalesce(jsonb_typeof(new.payload), 'null'), coalesce(left(new.payload::text, 100), 'null')
      using errcode = 'invalid_parameter_value',
            hint = 'Wrap it: {"value": …}.';
  end if;

  if jsonb_typeof(new.payload -> 'metadata') not in ('object', 'null') then
    raise exception 'kairan: payload.metadata is not a JSON object but %: %',
        jsonb_typeof(new.payload -> 'metadata'), left((new.payload -> 'metadata')::text, 100)
      using errcode = 'invalid_parameter_value',
            hint = 'Kairan adds deliveryChannel to payload.metadata, so it has to be an object. Use another key.';
  end if;

  select max_event_bytes into max_size from kairan.settings;
  size := octet_length(new.payload::text);
  if size > max_size then
    raise exception 'kairan: the payload has % bytes, more than the % that are allowed', size, max_size
      using errcode = 'program_limit_exceeded',
            hint = 'Publish a reference that the browser fetches, or raise MAX_EVENT_BYTES.';
  end if;
  new.bytes := size;

  if char_length(new.type) not between 1 and 200 then
    raise exception 'kairan: the type has % characters, not 1 to 200: "%"', char_length(new.type), left(new.type, 100)
      using errcode = 'invalid_parameter_value', hint = 'Leave it null, or name what happened: order.shipped.';
  end if;

  if char_length(new.dedupe_key) not between 1 and 200 then
    raise exception 'kairan: the dedupe_key has % characters, not 1 to 200: "%"', char_length(new.dedupe_key), left(new.dedupe_key, 100)
      using errcode = 'invalid_parameter_value', hint = 'Leave it null, or hash a longer one.';
  end if;

  return new;
end $$;
comment on function kairan.check_notification() is 'Trigger: refuses a notification that no stream could carry, and says why.';

create trigger check_notification before insert or update of channels, payload, type, dedupe_key on kairan.notifications
  for each row execute function kairan.check_notification();
comment on trigger check_notification on kairan.notifications is 'Refuses a notification that no stream could carry.';

create function kairan.fan_out() returns trigger language plpgsql as $$
begin
  insert into kairan.deliveries (notification_id, channel, created_at)
  select i.id, c.channel, i.created_at
  from inserted i
  cross join lateral (
    -- Each once, in the order in which the publisher named them.
    select u.channel from unnest(i.channels) with ordinality u (channel, place)
    group by u.channel order by min(u.place)
  ) c;
  if found then
    -- No data in it: what a lost or folded NOTIFY would have carried is in the table.
    perform pg_notify('kairan_log', '');
  end if;
  return null;
end $$;
comment on function kairan.fan_out() is 'Trigger: makes a delivery for each channel of the new notifications, and wakes the instances at commit.';

create trigger fan_out after insert on kairan.notifications
  referencing new table as inserted for each statement execute function kairan.fan_out();
comment on trigger fan_out on kairan.notifications is 'Makes the deliveries.';

create function kairan.forget_deliveries() returns trigger language plpgsql as $$
begin
  delete from kairan.deliveries d using deleted o where d.notification_id = o.id;
  return null;
end $$;
comment on function kairan.forget_deliveries() is 'Trigger: removes the deliveries of removed notifications.';

create trigger forget_deliveries after delete on kairan.notifications
  referencing old table as deleted for each statement execute function kairan.forget_deliveries();
comment on trigger forget_deliveries on kairan.notifications is 'Removes the deliveries.';

create function kairan.publish(
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
  -- Not for ever: a trigger or a policy of the operator's may keep every row out. Then there is no id.
  for attempt in 1..10 loop
    insert into kairan.notifications (channels, payload, type, dedupe_key, expires_at)
    values (publish.channels, publish.payload, publish.type, publish.dedupe_key, publish.expires_at)
    on conflict (dedupe_key) where dedupe_key is not null do nothing
    returning id into result;
    exit when found;
    -- The caller's collation, that of a column for example, would rule out the index.
    select n.id into result from kairan.notifications n
    where n.dedupe_key = publish.dedupe_key collate "default";
    -- Not there: it was removed between the two statements, so the key is free again.
    exit when found;
  end loop;
  return result;
end $$;
comment on function kairan.publish(text[], jsonb, text, text, timestamptz) is
  'Publishes one notification on several channels, in your transaction: it goes out at commit, and never if you roll back. Returns its id; with a dedupe_key that was used before, the id of that time. Raises when it can''t be sent.';

create function kairan.publish(
  channel text,
  payload jsonb,
  type text default null,
  dedupe_key text default null,
  expires_at timestamptz default null
) returns uuid language sql as $$
  select kairan.publish(array[channel], payload, type, dedupe_key, expires_at)
$$;
comment on function kairan.publish(text, jsonb, text, text, timestamptz) is
  'Publishes a notification on a channel, in your transaction: it goes out at commit, and never if you roll back. Returns its id; with a dedupe_key that was used before, the id of that time. Raises when it can''t be sent.';

create function kairan.try_publish(
  channels text[],
  payload jsonb,
  type text default null,
  dedupe_key text default null,
  expires_at timestamptz default null
) returns uuid language plpgsql as $$
declare
  reason text;
  advice text;
begin
  return kairan.publish(channels, payload, type, dedupe_key, expires_at);
exception when others then
  get stacked diagnostics reason = message_text, advice = pg_exception_hint;
  raise warning '%', reason using hint = advice, errcode = sqlstate;
  return null;
end $$;
comment on function kairan.try_publish(text[], jsonb, text, text, timestamptz) is
  'Like kairan.publish, but never raises: a warning, and null. For triggers on tables whose writes must not fail.';

create function kairan.try_publish(
  channel text,
  payload jsonb,
  type text default null,
  dedupe_key text default null,
  expires_at timestamptz default null
) returns uuid language sql as $$
  select kairan.try_publish(array[channel], payload, type, dedupe_key, expires_at)
$$;
comment on function kairan.try_publish(text, jsonb, text, text, timestamptz) is
  'Like kairan.publish, but never raises: a warning, and null. For triggers on tables whose writes must not fail.';

create function kairan.fill_in(template text, data jsonb) returns text language plpgsql immutable as $$
declare
  filled text := '';
  part text[];
begin
  -- Either plain text, or a {name}. What was filled in is not looked at again.
  for part in select regexp_matches(template, '([^{]+|\{(?![^{}]+\}))|\{([^{}]+)\}', 'g') loop
    if part[1] is not null then
      filled := filled || part[1];
    elsif data ? part[2] then
      filled := filled || (data ->> part[2]); -- A column that is null makes all of it null.
    else
      raise exception 'kairan: "%" names {%}, but the row has no such column', template, part[2]
        using errcode = 'undefined_column', hint = 'Use the name of a column, or {op} in the type.';
    end if;
  end loop;
  return filled;
end $$;
comment on function kairan.fill_in(text, jsonb) is
  'Puts the values of data into the {names} of a template; null when one of them is null.';

create function kairan.publish_row() returns trigger language plpgsql as $$
declare
  data jsonb := to_jsonb(case when tg_op = 'DELETE' then old else new end);
  targets text[];
  content jsonb := data;
begin
  if tg_level <> 'ROW' or tg_when <> 'AFTER' or tg_nargs not between 1 and 3 then
    raise exception 'kairan: trigger % can''t use kairan.publish_row like this', tg_name
      using errcode = 'invalid_parameter_value',
            hint = 'create trigger … after insert or update on … for each row execute function kairan.publish_row(''user-{user_id}'', ''order.{op}'', ''id,status'')';
  end if;

  select array_agg(target) into targets
  from (select kairan.fill_in(trim(t), data) as target from string_to_array(tg_argv[0], ',') s, unnest(s) t) filled
  where target is not null;
  if targets is null then
    return null;
  end if;

  if tg_argv[2] <> '' then
    select jsonb_object_agg(name, kairan.column_of(data, name)) into content
    from (select trim(n) as name from string_to_array(tg_argv[2], ',') s, unnest(s) n) names;
  end if;

  perform kairan.publish(
    targets,
    content,
    case when tg_argv[1] <> '' then kairan.fill_in(tg_argv[1], data || jsonb_build_object('op', lower(tg_op))) end
  );
  return null;
end $$;
comment on function kairan.publish_row() is
  'Trigger function, after … for each row: publishes the row. Arguments: channels, comma-separated, with {column} for the row''s values (one whose column is null is left out); the type, with {op} for insert, update or delete (none when empty); the columns to send, comma-separated (all of them when absent).';

create function kairan.column_of(data jsonb, name text) returns jsonb language plpgsql immutable as $$
begin
  if not data ? name then
    raise exception 'kairan: kairan.publish_row is to send the column "%", but the row has no such column', name
      using errcode = 'undefined_column', hint = 'List columns of the table, separated by commas.';
  end if;
  return data -> name;
end $$;
comment on function kairan.column_of(jsonb, text) is 'One column of a row that kairan.publish_row sends.';
