-- Publishing: what services call, and the checks that every notification passes.

create function kairan.is_channel(name text) returns boolean language sql immutable parallel safe as $$
  -- The characters are counted apart: to count them in the regular expression takes forty times as long.
  select case
    when name like 'user-%' then char_length(name) between 6 and 205 and name ~ '^user-[^\u0001-\u0020\u007f,]+$'
    else char_length(name) between 1 and 250 and name ~ '^[^\u0001-\u0020\u007f,*]+$'
  end
$$;
comment on function kairan.is_channel(text) is
  'Whether this can be the name of a channel: 1 to 250 characters, none of them a space, a comma, a * or a control character. After user- comes a user id: 1 to 200 characters, none of them a space, a comma or a control character.';

-- Whoever inserts calls it with a search_path of theirs, so every name is written out. A `set search_path`
-- here would cost each publish 3 µs of 45.
create function kairan.check_notification() returns trigger language plpgsql as $$
declare
  different bigint;
begin
  new.bytes := pg_catalog.octet_length(new.payload::pg_catalog.text);
  if new.dedupe_key is not null then
    new.publisher := coalesce(new.publisher, 'role:' operator(pg_catalog.||) current_user::pg_catalog.text);
  end if;

  -- Wakes an instance when this transaction commits, unless one is awake. Not when the queue of NOTIFYs is
  -- near its end: a session that listens and reads nothing can fill it, and then a transaction that rings
  -- fails at its commit. What nobody was told of is found within a second. This transaction has an id by now
  -- (the default of xid), so one that sees an instance awake which no longer is gets waited for: see
  -- kairan.fall_asleep.
  if coalesce(pg_catalog.pg_sequence_last_value('kairan.awake_until'), 0) operator(pg_catalog.<=)
      (pg_catalog.date_part('epoch', pg_catalog.clock_timestamp()) operator(pg_catalog.*) 1000000)
    and coalesce(pg_catalog.current_setting('kairan.bell', true), '') operator(pg_catalog.=) ''
  then
    if pg_catalog.pg_notification_queue_usage() operator(pg_catalog.<) 0.5 then
      -- No data in it: what a lost or folded NOTIFY would have carried is in the table.
      perform pg_catalog.pg_notify('kairan_log', '');
    end if;
    -- Once is enough. A savepoint that is rolled back takes both back.
    perform pg_catalog.set_config('kairan.bell', 'rung', true);
  end if;

  -- The ordinary notification, in two expressions: plpgsql evaluates an expression without
  -- running a query, and each statement more costs every publish, since it is prepared anew in each
  -- transaction. Each function in them costs about 1 % of a publish for the same reason. To count the characters of
  -- the user id in the regular expression, as kairan.is_channel does, costs as much again. Names that are longer,
  -- or have a * in a user id, go the long way, and so does a created_at that lies in the future.
  if pg_catalog.jsonb_typeof(new.payload) operator(pg_catalog.=) 'object'
    and not new.payload operator(pg_catalog.?) 'metadata'
    and new.bytes operator(pg_catalog.<=) pg_catalog.pg_sequence_last_value('kairan.max_event_bytes')
    and (new.type is null or pg_catalog.char_length(new.type) operator(pg_catalog.<=) 200 and new.type operator(pg_catalog.<>) '')
    and (new.dedupe_key is null
      or pg_catalog.char_length(new.dedupe_key) operator(pg_catalog.<=) 200 and new.dedupe_key operator(pg_catalog.<>) '')
    and (new.traceparent is null or pg_catalog.octet_length(new.traceparent) operator(pg_catalog.=) 55)
    and new.follow_up_after is null
    and new.created_at operator(pg_catalog.>=) '1970-01-01Z'
    and new.created_at operator(pg_catalog.<=) pg_catalog.clock_timestamp()
  then
    if pg_catalog.cardinality(new.channels) operator(pg_catalog.=) 1
      and pg_catalog.char_length(new.channels[1]) operator(pg_catalog.<=) 205
      and new.channels[1] operator(pg_catalog.~) '^[^\u0001-\u0020\u007f,*]+$'
      and new.channels[1] operator(pg_catalog.<>) 'user-'
    then
      return new;
    end if;
    -- Several channels, all different, in one dimension.
    select pg_catalog.count(distinct c) into different
    from pg_catalog.unnest(new.channels) c
    where pg_catalog.char_length(c) operator(pg_catalog.<=) 205
      and c operator(pg_catalog.~) '^[^\u0001-\u0020\u007f,*]+$' and c operator(pg_catalog.<>) 'user-';
    if different operator(pg_catalog.=) pg_catalog.cardinality(new.channels)
      and different operator(pg_catalog.>=) 1 and different operator(pg_catalog.<=) 1000
      and pg_catalog.array_ndims(new.channels) operator(pg_catalog.=) 1
    then
      return new;
    end if;
  end if;
  new.channels := kairan.examine(new);
  if pg_catalog.octet_length(new.traceparent) operator(pg_catalog.<>) 55 then
    new.traceparent := null;
  end if;
  return new;
end $$;
comment on function kairan.check_notification() is
  'Trigger: refuses a notification that no stream could carry, and says why; wakes an instance.';

create trigger check_notification before insert or update of channels, payload, type, dedupe_key, follow_up_after on kairan.notifications
  for each row execute function kairan.check_notification();
comment on trigger check_notification on kairan.notifications is 'Refuses a notification that no stream could carry.';

create function kairan.examine(examined kairan.notifications) returns text[] language plpgsql as $$
declare
  max_size bigint := coalesce(pg_sequence_last_value('kairan.max_event_bytes'), 65536);
  bad text;
begin
  if examined.channels is null or cardinality(examined.channels) not between 1 and 1000 then
    raise exception 'kairan: a notification has 1 to 1000 channels, not %', coalesce(cardinality(examined.channels), 0)
      using errcode = 'invalid_parameter_value',
            hint = 'Name at least one: user-{user id}, all-users, admin-dashboard or one of your own.';
  end if;

  select coalesce(c, 'null') into bad from unnest(examined.channels) c where kairan.is_channel(c) is not true limit 1;
  if found then
    raise exception 'kairan: unknown channel "%"', left(bad, 250)
      using errcode = 'invalid_parameter_value',
            hint = 'A channel is user-{user id}, all-users, admin-dashboard or a name of your own, of 1 to 250 characters. None of them may be a space, a comma, a * or a control character; a user id has 1 to 200 characters. '
              || case
                when bad ~ ',' then 'Several channels are a text[]: $1::text[].'
                when bad = 'null' then 'This one is null: perhaps a value in it is, as in ''user-'' || null.'
                else format('This name has %s characters.', char_length(bad))
              end;
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

  if examined.follow_up_after is not null then
    if not examined.follow_up_after between interval '1 second' and interval '30 days'
      -- Of what is compared, a month is 30 days: years and as many negative days make five minutes, and no time that
      -- they can be added to, when it is numbered.
      or date_part('year', examined.follow_up_after) <> 0
      or abs(date_part('month', examined.follow_up_after)) > 1
      or abs(date_part('day', examined.follow_up_after)) > 31
    then
      raise exception 'kairan: follow_up_after is %, not 1 second to 30 days', examined.follow_up_after
        using errcode = 'invalid_parameter_value', hint = 'Leave it null, or name a time like interval ''5 minutes''.';
    end if;
    select c into bad from unnest(examined.channels) c where c not like 'user-%' limit 1;
    if found then
      raise exception 'kairan: there are no follow-ups on the channel "%"', bad
        using errcode = 'invalid_parameter_value',
              hint = 'Only what is on channels of users can be followed up: publish it on user-{user id}, or leave follow_up_after out.';
    end if;
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

create function kairan.forget_deliveries() returns trigger language plpgsql as $$
begin
  delete from kairan.numbered d using deleted o where d.notification_id = o.id;
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
  expires_at timestamptz default null,
  send_at timestamptz default null,
  follow_up_after interval default null
) returns uuid language plpgsql as $$
#variable_conflict use_column
declare
  result uuid;
begin
  if publish.send_at > clock_timestamp() then
    if publish.dedupe_key is not null then
      result := kairan.published_as(
        'role:' || current_user, publish.dedupe_key, publish.channels, publish.payload, publish.type
      );
      if result is not null then
        return result;
      end if;
    end if;
    insert into kairan.scheduled (channels, payload, type, dedupe_key, expires_at, send_at, follow_up_after)
    values (
      publish.channels, publish.payload, publish.type, publish.dedupe_key, publish.expires_at, publish.send_at,
      publish.follow_up_after
    )
    on conflict do nothing
    returning id into result;
    if not found then
      result := kairan.published_as(
        'role:' || current_user, publish.dedupe_key, publish.channels, publish.payload, publish.type
      );
    end if;
    return result;
  end if;
  if publish.dedupe_key is null then
    insert into kairan.notifications (channels, payload, type, expires_at, follow_up_after)
    values (publish.channels, publish.payload, publish.type, publish.expires_at, publish.follow_up_after)
    returning id into result;
    return result;
  end if;

  -- Not for ever: a trigger or a policy of the operator's may keep every row out. Then there is no id.
  for attempt in 1..10 loop
    -- It may be scheduled.
    result := kairan.published_as(
      'role:' || current_user, publish.dedupe_key, publish.channels, publish.payload, publish.type
    );
    exit when result is not null;
    insert into kairan.notifications (channels, payload, type, dedupe_key, expires_at, follow_up_after)
    values (
      publish.channels, publish.payload, publish.type, publish.dedupe_key, publish.expires_at, publish.follow_up_after
    )
    on conflict do nothing -- To name the key here would need the right to read everybody's.
    returning id into result;
    exit when found;
    result := kairan.published_as(
      'role:' || current_user, publish.dedupe_key, publish.channels, publish.payload, publish.type
    );
    -- Not there: it was removed between the two statements, so the key is free again.
    exit when result is not null;
  end loop;
  return result;
end $$;
comment on function kairan.publish(text[], jsonb, text, text, timestamptz, timestamptz, interval) is
  'Publishes one notification on several channels, in your transaction: it goes out at commit, and never if you roll back. Returns its id; with a dedupe_key that you used before, the id of that time. Raises when it can''t be sent, and when the key was used for another notification.';

create function kairan.published_as(publisher text, dedupe_key text, channels text[], payload jsonb, type text)
  returns uuid language plpgsql as $$
#variable_conflict use_column
declare
  first record;
begin
  -- It runs with the rights of its owner: who may not read the table is told of keys of the roles that it may
  -- act as, and of nobody else's.
  if not has_table_privilege(session_user, 'kairan.notifications', 'select')
    and not (publisher like 'role:%' and pg_has_role(session_user, substr(publisher, 6)::name, 'usage'))
  then
    raise exception 'kairan: these are keys of another publisher' using errcode = 'insufficient_privilege';
  end if;
  -- The caller's collation, that of a column for example, would rule out the index.
  select * into first
  from (
    select n.id, n.channels, n.payload, n.type from kairan.notifications n
    where n.publisher = published_as.publisher collate "default"
      and n.dedupe_key = published_as.dedupe_key collate "default"
    union all
    select s.id, s.channels, s.payload, s.type from kairan.scheduled s
    where s.publisher = published_as.publisher collate "default"
      and s.dedupe_key = published_as.dedupe_key collate "default"
      and s.error is null
    limit 1
  ) n;
  if found and not (
    first.channels @> published_as.channels and first.channels <@ published_as.channels
    and first.payload = published_as.payload and first.type is not distinct from published_as.type
  ) then
    raise exception 'kairan: the dedupe_key "%" was used for another notification', dedupe_key
      using errcode = 'unique_violation',
            hint = 'A key stands for one notification: the same channels, payload and type. Use another key for another one.';
  end if;
  return first.id;
end $$;
comment on function kairan.published_as(text, text, text[], jsonb, text) is
  'The id of the notification that this publisher published with this dedupe_key; null when there is none. Raises when it is another notification.';

create function kairan.publish(
  channel text,
  payload jsonb,
  type text default null,
  dedupe_key text default null,
  expires_at timestamptz default null,
  send_at timestamptz default null,
  follow_up_after interval default null
) returns uuid language sql as $$
  select kairan.publish(array[channel], payload, type, dedupe_key, expires_at, send_at, follow_up_after)
$$;
comment on function kairan.publish(text, jsonb, text, text, timestamptz, timestamptz, interval) is
  'Publishes a notification on a channel, in your transaction: it goes out at commit, and never if you roll back. Returns its id; with a dedupe_key that you used before, the id of that time. Raises when it can''t be sent, and when the key was used for another notification.';

create function kairan.try_publish(
  channels text[],
  payload jsonb,
  type text default null,
  dedupe_key text default null,
  expires_at timestamptz default null,
  send_at timestamptz default null,
  follow_up_after interval default null
) returns uuid language plpgsql as $$
declare
  reason text;
  advice text;
begin
  return kairan.publish(channels, payload, type, dedupe_key, expires_at, send_at, follow_up_after);
exception when others then
  get stacked diagnostics reason = message_text, advice = pg_exception_hint;
  raise warning '%', reason using hint = advice, errcode = sqlstate;
  return null;
end $$;
comment on function kairan.try_publish(text[], jsonb, text, text, timestamptz, timestamptz, interval) is
  'Like kairan.publish, but never raises: a warning, and null. For triggers on tables whose writes must not fail.';

create function kairan.try_publish(
  channel text,
  payload jsonb,
  type text default null,
  dedupe_key text default null,
  expires_at timestamptz default null,
  send_at timestamptz default null,
  follow_up_after interval default null
) returns uuid language sql as $$
  select kairan.try_publish(array[channel], payload, type, dedupe_key, expires_at, send_at, follow_up_after)
$$;
comment on function kairan.try_publish(text, jsonb, text, text, timestamptz, timestamptz, interval) is
  'Like kairan.publish, but never raises: a warning, and null. For triggers on tables whose writes must not fail.';

-- Publishing over HTTP: many notifications in one statement, each with its own result.
create function kairan.publish_items(
  items jsonb,
  body jsonb,
  publisher text,
  out place int,
  out id uuid,
  out repeated boolean,
  out code text,
  out message text,
  out hint text
) returns setof record language plpgsql as $$
#variable_conflict use_column
declare
  item jsonb;
  item_channels text[];
  item_payload jsonb;
begin
  for place, item in select i.place - 1, i.item from jsonb_array_elements(items) with ordinality i (item, place) loop
    item_channels := array(select c from jsonb_array_elements_text(item -> 'channels') c);
    item_payload := body #> array(select p from jsonb_array_elements_text(item -> 'path') p);
    id := null;
    code := null;
    message := null;
    hint := null;
    begin
      for attempt in 1..10 loop
        if item ->> 'dedupeKey' is not null then
          id := kairan.published_as(
            publish_items.publisher, item ->> 'dedupeKey', item_channels, item_payload, item ->> 'type'
          );
          repeated := id is not null;
          exit when repeated;
        end if;
        if (item ->> 'sendAt')::timestamptz > clock_timestamp() then
          insert into kairan.scheduled as s (
            channels, payload, type, dedupe_key, expires_at, send_at, follow_up_after, publisher
          )
          values (
            item_channels, item_payload, item ->> 'type', item ->> 'dedupeKey', (item ->> 'expiresAt')::timestamptz,
            (item ->> 'sendAt')::timestamptz, (item ->> 'followUpAfter')::interval, publish_items.publisher
          )
          on conflict do nothing
          returning s.id into id;
          repeated := false;
          exit when found;
          continue;
        end if;
        insert into kairan.notifications as n (
          channels, payload, type, dedupe_key, expires_at, follow_up_after, publisher
        )
        values (
          item_channels, item_payload, item ->> 'type', item ->> 'dedupeKey', (item ->> 'expiresAt')::timestamptz,
          (item ->> 'followUpAfter')::interval, case when item ->> 'dedupeKey' is not null then publish_items.publisher end
        )
        on conflict (publisher, dedupe_key) where dedupe_key is not null do nothing
        returning n.id into id;
        repeated := not found;
        exit when not repeated;
        id := kairan.published_as(
          publish_items.publisher, item ->> 'dedupeKey', item_channels, item_payload, item ->> 'type'
        );
        exit when id is not null;
      end loop;
    exception when invalid_parameter_value or program_limit_exceeded or unique_violation then
      get stacked diagnostics code = returned_sqlstate, message = message_text, hint = pg_exception_hint;
      if message not like 'kairan: %' then
        raise; -- Not about this notification: a full stack, for example.
      end if;
    end;
    return next;
  end loop;
end $$;
comment on function kairan.publish_items(jsonb, jsonb, text) is
  'Publishes each of items ({channels, type, dedupeKey, expiresAt, sendAt, followUpAfter, path}), with the payload that lies at its path in body; so a payload goes from the request to the table as text, and its numbers keep all their digits. Returns for each its id and whether its dedupeKey was used before, or what is wrong with it.';
