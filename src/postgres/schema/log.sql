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
    perform kairan.ring();
  end if;
  return changed;
end $$;
comment on function kairan.redeliver(uuid, text) is
  'Puts the deliveries of a notification (on one channel, or on all) back to pending, at a new position in the log. Returns how many.';

create function kairan.begin_anew(old_epoch text) returns void language sql as $$
  update kairan.log set epoch = substr(md5(random()::text || clock_timestamp()::text), 1, 8) where epoch = old_epoch
$$;
comment on function kairan.begin_anew(text) is
  'Gives the log another epoch: the cursors of the old one are answered with a gap. For a log that was restored to an earlier state, whose numbers are given again.';

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
