-- The instances that serve, and who is online.

-- Not in the write-ahead log: after a crash of Postgres each instance writes them anew.
create unlogged table kairan.instances (
  id uuid primary key,
  started_at timestamptz not null default now(),
  seen_at timestamptz not null default now(),
  facts jsonb not null default '{}'
);
comment on table kairan.instances is 'The instances that serve, each with a sign of life every few seconds.';
comment on column kairan.instances.id is 'Made up at its start.';
comment on column kairan.instances.started_at is 'When it began to serve.';
comment on column kairan.instances.seen_at is 'Its last sign of life. One that is ten seconds old is of an instance that has gone.';
comment on column kairan.instances.facts is 'What it says of itself.';

create unlogged table kairan.streams (
  id uuid primary key,
  instance_id uuid not null,
  user_id text not null,
  channels jsonb not null,
  address text,
  opened_at timestamptz not null default now()
);
comment on table kairan.streams is 'The open streams of all instances, those of the last moment aside. See kairan.presence.';
comment on column kairan.streams.id is 'The streamId of its `ready`.';
comment on column kairan.streams.instance_id is 'Who serves it.';
comment on column kairan.streams.user_id is 'Whose it is.';
comment on column kairan.streams.channels is 'What it carries.';
comment on column kairan.streams.address is 'Where its connection comes from.';
comment on column kairan.streams.opened_at is 'When it was opened, by the clock of its instance.';

create index streams_user_id on kairan.streams (user_id, opened_at);
comment on index kairan.streams_user_id is 'Finds the streams of a user, the oldest first.';

create index streams_instance_id on kairan.streams (instance_id);
comment on index kairan.streams_instance_id is 'Finds the streams of an instance that has gone.';

create index streams_channels on kairan.streams using gin (channels jsonb_path_ops);
comment on index kairan.streams_channels is 'Finds the streams of a channel.';

create view kairan.presence as
  select s.user_id, count(*)::int as streams, min(s.opened_at) as since
  from kairan.streams s join kairan.instances i on i.id = s.instance_id
  where i.seen_at > now() - interval '10 seconds'
  group by s.user_id;
comment on view kairan.presence is 'Who is online: each user who has an open stream, how many, and since when.';

create function kairan.presence_of(channel text) returns table (user_id text, streams int, since timestamptz)
language sql stable as $$
  select s.user_id, count(*)::int, min(s.opened_at)
  from kairan.streams s join kairan.instances i on i.id = s.instance_id
  where s.channels @> to_jsonb(array[presence_of.channel]) and i.seen_at > now() - interval '10 seconds'
  group by s.user_id
$$;
comment on function kairan.presence_of(text) is
  'Who is on a channel: each user who has an open stream that carries it, how many, and since when the first of them is open.';

insert into kairan.locks (name, purpose) values ('presence', 'writes kairan.streams: so the streams of a user can be counted');

create function kairan.note_streams(instance uuid, opened jsonb, closed jsonb, most int) returns void language plpgsql
  set lock_timeout = 2500 as $$
#variable_conflict use_column
begin
  perform from kairan.locks where name = 'presence' for update;
  delete from kairan.streams s using jsonb_array_elements_text(note_streams.closed) c where s.id = c::uuid;
  insert into kairan.streams (id, instance_id, user_id, channels, address, opened_at)
  select o.id, note_streams.instance, o.user_id, o.channels, o.address, to_timestamp(o.opened_at / 1000.0)
  from jsonb_to_recordset(note_streams.opened)
    o (id uuid, user_id text, channels jsonb, address text, opened_at float8)
  on conflict (id) do update set channels = excluded.channels;
  insert into kairan.arrivals (user_id, seq)
  select o.user_id, min(o.seq) from jsonb_to_recordset(note_streams.opened) o (user_id text, seq bigint)
  where o.seq is not null
    and not exists (select from kairan.arrivals a where a.user_id = o.user_id)
  group by o.user_id
  on conflict do nothing;

  if jsonb_array_length(note_streams.opened) = 0 then
    return;
  end if;
  -- All but the newest `most` of each user who opened one.
  perform kairan.tell(jsonb_build_object('action', 'replace', 'userId', u.user_id, 'streamId', old.id))
  from (
    select distinct o.user_id from jsonb_to_recordset(note_streams.opened) o (user_id text)
  ) u
  cross join lateral (
    select s.id
    from kairan.streams s join kairan.instances i on i.id = s.instance_id
    where s.user_id = u.user_id and i.seen_at > now() - interval '10 seconds'
    order by s.opened_at desc, s.id offset note_streams.most
  ) old;
end $$;
comment on function kairan.note_streams(uuid, jsonb, jsonb, int) is
  'Writes down which streams an instance has opened, given other channels, and closed. Those by which a user has more than `most` are told to end, the oldest first.';

create function kairan.note_instance(instance uuid, facts jsonb) returns boolean language plpgsql as $$
#variable_conflict use_column
declare
  known boolean;
begin
  update kairan.instances i set seen_at = now(), facts = note_instance.facts where i.id = note_instance.instance;
  known := found;
  if not known then
    insert into kairan.instances (id, facts) values (note_instance.instance, note_instance.facts)
    on conflict (id) do nothing;
  end if;

  -- Who has been silent for long will find itself unknown, should it be alive.
  if exists (select from kairan.instances where seen_at < now() - interval '1 minute') then
    perform from kairan.locks where name = 'presence' for update skip locked;
    if not found then
      return known;
    end if;
    delete from kairan.streams s using kairan.instances i
    where s.instance_id = i.id and i.seen_at < now() - interval '1 minute';
    delete from kairan.instances i where i.seen_at < now() - interval '1 minute';
  end if;
  return known;
end $$;
comment on function kairan.note_instance(uuid, jsonb) is
  'A sign of life. False when the instance was not known (any more): then its streams have to be noted anew.';

create function kairan.forget_instance(instance uuid) returns void language plpgsql
  set lock_timeout = 2500 as $$
begin
  perform from kairan.locks where name = 'presence' for update;
  delete from kairan.streams s where s.instance_id = forget_instance.instance;
  delete from kairan.instances i where i.id = forget_instance.instance;
end $$;
comment on function kairan.forget_instance(uuid) is 'An instance says that it ends.';

create function kairan.extend_stream(stream uuid, user_id text, expires_at float8, subscribes jsonb)
returns boolean language plpgsql as $$
#variable_conflict use_column
begin
  perform from kairan.streams s join kairan.instances i on i.id = s.instance_id
  where s.id = extend_stream.stream and s.user_id = extend_stream.user_id
    and i.seen_at > now() - interval '10 seconds';
  if not found then
    return false;
  end if;
  perform kairan.tell(jsonb_build_object(
    'action', 'extend', 'userId', extend_stream.user_id, 'streamId', stream, 'expiresAt', extend_stream.expires_at,
    'subscribes', extend_stream.subscribes
  ));
  return true;
end $$;
comment on function kairan.extend_stream(uuid, text, float8, jsonb) is
  'Tells the instance that has this stream of this user when its new token ends (Unix seconds), and which channels the token lets the user read. False when no instance has it.';

create function kairan.change_stream(stream uuid, user_id text, added jsonb, removed jsonb, most int)
returns jsonb language plpgsql as $$
#variable_conflict use_column
declare
  result jsonb;
begin
  -- Two changes of a stream at the same time are applied one after the other, in the order in which they are told.
  select s.channels into result
  from kairan.streams s join kairan.instances i on i.id = s.instance_id
  where s.id = change_stream.stream and s.user_id = change_stream.user_id
    and i.seen_at > now() - interval '10 seconds'
  for update of s;
  if not found then
    return null;
  end if;
  select coalesce(jsonb_agg(c.name order by c.place), '[]') into result
  from (
    select a.name, min(a.place) as place
    from jsonb_array_elements_text(result || added) with ordinality a (name, place)
    where not removed ? a.name
    group by a.name
  ) c;
  if jsonb_array_length(result) <= most then
    update kairan.streams s set channels = result where s.id = change_stream.stream;
    perform kairan.tell(jsonb_build_object(
      'action', 'channels', 'userId', change_stream.user_id, 'streamId', stream, 'add', added, 'remove', removed
    ));
  end if;
  return result;
end $$;
comment on function kairan.change_stream(uuid, text, jsonb, jsonb, int) is
  'Tells the instance that has this stream of this user to add and to remove channels. Returns the channels of the stream then; when they are more than `most`, nothing is changed. Null when no instance has it.';

create function kairan.carry_also(stream uuid, user_id text, names jsonb) returns boolean language plpgsql as $$
#variable_conflict use_column
begin
  perform from kairan.streams s join kairan.instances i on i.id = s.instance_id
  where s.id = carry_also.stream and s.user_id = carry_also.user_id
    and i.seen_at > now() - interval '10 seconds';
  if not found then
    return false;
  end if;
  perform kairan.tell(jsonb_build_object(
    'action', 'also', 'userId', carry_also.user_id, 'streamId', stream, 'also', names
  ));
  return true;
end $$;
comment on function kairan.carry_also(uuid, text, jsonb) is
  'Tells the instance that has this stream of this user which channels it carries besides its own. False when no instance has it.';
