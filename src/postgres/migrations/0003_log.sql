-- The log: committed deliveries get their position, in the order in which they become visible.

create function kairan.sequence(
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
    select waiting.id, row_number() over (order by waiting.id) as place
    from (
      select id from kairan.deliveries where seq is null order by id limit batch
      for no key update skip locked
    ) waiting
  ) numbered
  where d.id = numbered.id and d.seq is null;
  get diagnostics sequence.assigned = row_count;

  if sequence.assigned > 0 then
    sequence.head := log.head + sequence.assigned;
    update kairan.log set head = sequence.head, server_started = pg_postmaster_start_time();
    perform pg_notify('kairan_log', sequence.head::text);
  end if;
end $$;
comment on function kairan.sequence(int) is
  'Numbers up to `batch` committed deliveries. Any instance may call it at any time, as a statement of its own at READ COMMITTED; assigned is null when another one is at it.';

create function kairan.redeliver(notification_id uuid, channel text default null) returns int language plpgsql as $$
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
    perform pg_notify('kairan_log', '');
  end if;
  return changed;
end $$;
comment on function kairan.redeliver(uuid, text) is
  'Puts the deliveries of a notification (on one channel, or on all) back to pending, at a new position in the log. Returns how many.';

create function kairan.reauthorize(user_id text) returns void language sql as $$
  select pg_notify('kairan_users', jsonb_build_object('action', 'reauthorize', 'userId', user_id)::text)
$$;
comment on function kairan.reauthorize(text) is
  'At commit, every open stream of this user gets the channels of the role level that the user has then.';

create function kairan.disconnect(user_id text) returns void language sql as $$
  select pg_notify('kairan_users', jsonb_build_object('action', 'disconnect', 'userId', user_id)::text)
$$;
comment on function kairan.disconnect(text) is 'At commit, ends every open stream of this user.';

create function kairan.role_changed() returns trigger language plpgsql as $$
begin
  if tg_op <> 'INSERT' then
    perform kairan.reauthorize(old.user_id);
  end if;
  if tg_op <> 'DELETE' then
    perform kairan.reauthorize(new.user_id);
  end if;
  return null;
end $$;
comment on function kairan.role_changed() is 'Trigger: a changed role level reaches the open streams of its user.';

create trigger role_changed after insert or update or delete on kairan.roles
  for each row execute function kairan.role_changed();
comment on trigger role_changed on kairan.roles is 'A changed role level reaches the open streams of its user.';
