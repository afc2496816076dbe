-- Retention: the floor is raised first, then what lies below it is removed, both in small steps.

create index notifications_expires_at on kairan.notifications (expires_at) where expires_at is not null;
comment on index kairan.notifications_expires_at is 'Finds what has expired since it was last looked for.';

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

create function kairan.prune(batch int default 1000) returns int language plpgsql as $$
declare
  removed int;
  notifications uuid[];
begin
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

create function kairan.expire(since timestamptz, batch int default 1000) returns int language plpgsql as $$
declare
  changed int;
begin
  with late as (
    select d.seq
    from kairan.notifications n join kairan.deliveries d on d.notification_id = n.id
    where n.expires_at > since and n.expires_at <= now() and d.status = 'pending' and d.seq is not null
    order by d.seq limit batch
    for update of d skip locked
  )
  update kairan.deliveries d set status = 'failed', error = 'expired' from late where d.seq = late.seq;
  get diagnostics changed = row_count;
  return changed;
end $$;
comment on function kairan.expire(timestamptz, int) is
  'Marks at most `batch` pending deliveries as failed that expired after `since`. Returns how many.';
