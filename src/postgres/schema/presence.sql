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
comment on column kairan.streams.channels is 'What it carried when it was opened.';
comment on column kairan.streams.address is 'Where its connection comes from.';
comment on column kairan.streams.opened_at is 'When it was opened, by the clock of its instance.';

create index streams_user_id on kairan.streams (user_id, opened_at);
comment on index kairan.streams_user_id is 'Finds the streams of a user, the oldest first.';

create index streams_instance_id on kairan.streams (instance_id);
comment on index kairan.streams_instance_id is 'Finds the streams of an instance that has gone.';

create view kairan.presence as
  select s.user_id, count(*)::int as streams, min(s.opened_at) as since
  from kairan.streams s join kairan.instances i on i.id = s.instance_id
  where i.seen_at > now() - interval '10 seconds'
  group by s.user_id;
comment on view kairan.presence is 'Who is online: each user who has an open stream, how many, and since when.';

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
  on conflict (id) do nothing;

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
  'Writes down which streams an instance has opened and closed. Those by which a user has more than `most` are told to end, the oldest first.';

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

create function kairan.extend_stream(stream uuid, user_id text, expires_at float8) returns boolean language plpgsql as $$
#variable_conflict use_column
begin
  perform from kairan.streams s join kairan.instances i on i.id = s.instance_id
  where s.id = extend_stream.stream and s.user_id = extend_stream.user_id
    and i.seen_at > now() - interval '10 seconds';
  if not found then
    return false;
  end if;
  perform kairan.tell(jsonb_build_object(
    'action', 'extend', 'userId', extend_stream.user_id, 'streamId', stream, 'expiresAt', extend_stream.expires_at
  ));
  return true;
end $$;
comment on function kairan.extend_stream(uuid, text, float8) is
  'Tells the instance that has this stream of this user when its new token ends (Unix seconds). False when nobody has it.';
