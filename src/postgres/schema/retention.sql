-- Retention: the floor is raised first, then what lies below it is removed, both in small steps, by one
-- instance at a time.

create function kairan.raise_floor(keep interval, batch int default 1000) returns bigint language plpgsql as $$
declare
  raised bigint;
begin
  -- Only from the low end, and only as far as everything is old: a seq that stays never lies below one
  -- that goes, or a cursor could not tell what it has missed.
  select max(seq) into raised
  from (
    select seq, bool_and(created_at < now() - keep) over (order by seq) as old
    from (
      select seq, created_at from kairan.deliveries
      where seq > (select l.floor from kairan.log l) order by seq limit batch
    ) lowest
  ) lowest
  where old;
  if raised is not null then
    update kairan.log set floor = greatest(floor, raised);
    -- Whoever found the row locked just now tries again.
    perform pg_notify('kairan_log', '');
  end if;
  return raised;
end $$;
comment on function kairan.raise_floor(interval, int) is
  'Gives up deliveries that are older than `keep`, at most `batch` of them; null when there are none. From its commit on, a cursor below has a gap; kairan.prune removes the rows.';

-- Retention by one instance at a time and in bounded steps, and a log that was restored from a backup.

create function kairan.prune(batch int default 1000) returns int language plpgsql as $$
declare
  removed int;
  notifications uuid[];
begin
  -- Two at a time could each remove one of the last two deliveries of a notification, see the other's still
  -- there, and leave the notification for ever, with its dedupe_key.
  if not pg_try_advisory_xact_lock(kairan.prune_lock()) then
    return 0;
  end if;
  with gone as (
    delete from kairan.deliveries d
    using (
      select seq from kairan.deliveries
      where seq <= (select l.floor from kairan.log l) order by seq limit batch
      for update skip locked
    ) low
    where d.seq = low.seq
    returning d.notification_id
  )
  select count(*), array_agg(distinct notification_id) into removed, notifications from gone;

  -- A notification that was delivered again has a delivery above the floor, and stays.
  delete from kairan.notifications n
  where n.id = any(notifications)
    and not exists (select from kairan.deliveries d where d.notification_id = n.id);
  return removed;
end $$;
comment on function kairan.prune(int) is
  'Removes at most `batch` deliveries below the floor, and the notifications that have none left. Returns how many.';

create function kairan.prune_lock() returns bigint language sql immutable parallel safe as $$
  select 118066125103473
$$;
comment on function kairan.prune_lock() is 'The advisory lock of who removes what is old.';

create function kairan.expire_after(
  since timestamptz,
  batch int default 1000,
  out changed int,
  out reached timestamptz
) language plpgsql as $$
begin
  select max(expires_at) into reached
  from (
    select expires_at from kairan.notifications
    where expires_at > since and expires_at <= now() order by expires_at limit batch
  ) next;

  -- From the notifications to their deliveries: the other way round it reads all that is pending.
  update kairan.deliveries d set status = 'failed', error = 'expired'
  from (
    select late.seq
    from (
      select id from kairan.notifications n where expires_at > since and expires_at <= reached
    ) expired
    cross join lateral (
      select d.seq from kairan.deliveries d
      where d.notification_id = expired.id and d.status = 'pending' and d.seq is not null
      for update skip locked
    ) late
  ) late
  where d.seq = late.seq;
  get diagnostics changed = row_count;
end $$;
comment on function kairan.expire_after(timestamptz, int) is
  'Marks the pending deliveries of the next `batch` notifications that expired after `since` as failed. Returns how many, and how far it came: null when there were none.';
