-- Retention by one instance at a time and in bounded steps, and a log that was restored from a backup.

create or replace function kairan.prune(batch int default 1000) returns int language plpgsql as $$
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

create function kairan.prune_lock() returns bigint language sql immutable parallel safe as $$
  select 118066125103473
$$;
comment on function kairan.prune_lock() is 'The advisory lock of who removes what is old.';

create function kairan.begin_anew(old_epoch text) returns void language sql as $$
  update kairan.log set epoch = substr(md5(random()::text || clock_timestamp()::text), 1, 8) where epoch = old_epoch
$$;
comment on function kairan.begin_anew(text) is
  'Gives the log another epoch: the cursors of the old one are answered with a gap. For a log that was restored to an earlier state, whose numbers are given again.';

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

drop function kairan.expire(timestamptz, int);
