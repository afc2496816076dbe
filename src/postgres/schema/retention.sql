-- Retention: the floor is raised first, then what lies below it is removed, both in small steps, by one
-- instance at a time.

create function kairan.raise_floor(keep interval, batch int default 10000) returns bigint language plpgsql as $$
declare
  raised bigint;
begin
  -- Only from the low end, and only as far as everything is old: a seq that stays never lies below one
  -- that goes, or a cursor could not tell what it has missed.
  select max(seq) into raised
  from (
    select seq, bool_and(created_at < now() - keep) over (order by seq) as old
    from (
      select seq, created_at from kairan.numbered
      where seq > (select s.floor from kairan.log_state s) order by seq limit batch
    ) lowest
  ) lowest
  where old;
  if raised is not null then
    update kairan.log_state set floor = greatest(floor, raised);
  end if;
  return raised;
end $$;
comment on function kairan.raise_floor(interval, int) is
  'Gives up deliveries that are older than `keep`, at most `batch` of them; null when there are none. From its commit on, a cursor below has a gap; kairan.prune removes the rows.';

create function kairan.prune(
  after bigint default 0,
  batch int default 2500,
  out removed int,
  out reached bigint
) language plpgsql as $$
declare
  notifications uuid[];
begin
  removed := 0;
  -- Two at a time could each remove one of the last two deliveries of a notification, see the other's still
  -- there, and leave the notification for ever, with its dedupe_key.
  perform from kairan.locks where name = 'pruning' for update skip locked;
  if not found then
    return;
  end if;
  with gone as (
    delete from kairan.numbered d
    using (
      select seq from kairan.numbered
      where seq > after and seq <= (select s.floor from kairan.log_state s) order by seq limit batch
      for update skip locked
    ) low
    where d.seq = low.seq
    returning d.notification_id, d.seq
  )
  select count(*), max(seq), array_agg(distinct notification_id) into removed, reached, notifications from gone;

  -- A notification that was delivered again has a delivery above the floor or will have one, and stays.
  delete from kairan.notifications n
  where n.id = any(notifications)
    and not exists (select from kairan.numbered d where d.notification_id = n.id)
    and not exists (select from kairan.redeliveries r where r.notification_id = n.id);
end $$;
comment on function kairan.prune(bigint, int) is
  'Removes at most `batch` deliveries above `after` and below the floor, and the notifications that have none left. Returns how many, and where the next call begins: while a snapshot is held, what was removed is still in the way.';

create function kairan.prune_batches() returns int language plpgsql as $$
declare
  settled constant int := kairan.settle();
  removed int;
begin
  -- An instance that was frozen recognises its log by them.
  delete from kairan.batches b
  where b.n in (
    select o.n from kairan.batches o
    where o.n < (select max(n) from kairan.batches) - 10 and o.at < now() - interval '10 minutes'
    order by o.n limit 10000
  );
  get diagnostics removed = row_count;
  return removed + settled;
end $$;
comment on function kairan.prune_batches() is
  'Removes up to 10000 batches that are older than ten minutes, and what kairan.settle does. Returns how many of both.';

create function kairan.expire_after(
  since timestamptz,
  since_place bigint default 9223372036854775807,
  most int default 20000,
  out changed int,
  out reached timestamptz,
  out reached_place bigint,
  out again timestamptz,
  out again_place bigint
) language plpgsql as $$
declare
  ids uuid[];
begin
  -- Any number may expire at the same moment, on a thousand channels each.
  select array_agg(c.id order by c.expires_at, c.place), max(c.expires_at) into ids, reached
  from (
    select n.*, sum(n.channels) over (order by n.expires_at, n.place) - n.channels as before
    from (
      select o.id, o.expires_at, o.place, cardinality(o.channels) as channels from kairan.notifications o
      -- What was withdrawn has not expired.
      where (o.expires_at, o.place) > (since, since_place) and o.expires_at > '-infinity' and o.expires_at <= now()
      order by o.expires_at, o.place limit 1000
    ) n
  ) c
  where c.before < most;
  select n.place into reached_place from kairan.notifications n where n.id = ids[cardinality(ids)];

  -- From the notifications to their deliveries: the other way round it reads all that is pending.
  update kairan.numbered d set status = 'f', error = 'expired'
  from (
    select late.seq
    from unnest(ids) expired (id)
    cross join lateral (
      select d.seq from kairan.numbered d
      where d.notification_id = expired.id and d.status = 'p'
      for update skip locked
    ) late
  ) late
  where d.seq = late.seq;
  get diagnostics changed = row_count;

  -- What is still pending was locked: somebody is withdrawing it, say, and may yet roll back.
  select n.expires_at, n.place - 1 into again, again_place
  from unnest(ids) i (id) join kairan.notifications n on n.id = i.id
  where exists (select from kairan.numbered d where d.notification_id = n.id and d.status = 'p')
  order by n.expires_at, n.place limit 1;
end $$;
comment on function kairan.expire_after(timestamptz, bigint, int) is
  'Marks the pending deliveries of the next notifications that expired after `since`, or then and have a place above `since_place`, as failed: about `most`. Returns how many; how far it came, null when there were none; and from where to try again, because somebody has locked what comes next, null otherwise.';
