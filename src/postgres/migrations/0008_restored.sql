-- Retention by one instance at a time, and a log that was restored from a backup.

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
