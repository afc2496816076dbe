-- Withdrawing: a notification that is not to be shown any more. Its expires_at becomes -infinity, so whatever passes
-- over expired notifications (numbering, replays, inbox, counts) passes over it, in the same snapshot.

create function kairan.pass_on_expiry() returns trigger language plpgsql as $$
declare
  reached int;
begin
  update kairan.numbered d set expires_at = new.expires_at
  -- Nobody who locks a delivery holds up who changes the notification.
  from (select d.seq from kairan.numbered d where d.notification_id = new.id for update skip locked) found
  where d.seq = found.seq;
  get diagnostics reached = row_count;
  if reached < cardinality(new.channels) then
    insert into kairan.unsettled (notification_id) values (new.id);
  end if;
  return null;
end $$;
comment on function kairan.pass_on_expiry() is
  'Trigger: the deliveries of a notification expire when it does. Those that are being numbered or are locked meanwhile do so after kairan.settle.';

create trigger pass_on_expiry after update of expires_at on kairan.notifications
  for each row when (old.expires_at is distinct from new.expires_at) execute function kairan.pass_on_expiry();
comment on trigger pass_on_expiry on kairan.notifications is 'Tells the deliveries when they expire.';

create function kairan.settle(most int default 20000) returns int language plpgsql as $$
declare
  -- What is below has been seen by the last batch, and so by every later one; what begins later is of another cluster.
  below constant xid8 := (
    select pg_snapshot_xmin(coalesce(b.done, '1:1:')) from kairan.batches b order by b.n desc limit 1
  );
  ids constant uuid[] := array(
    select c.id
    from (
      select i.id, cardinality(n.channels) as channels, sum(cardinality(n.channels)) over (order by i.id) as up_to
      from (
        select r.notification_id from kairan.redeliveries r where r.xid < below
        union
        select u.notification_id from kairan.unsettled u where u.xid < below or u.xid >= pg_snapshot_xmax(pg_current_snapshot())
        limit 1000
      ) i (id)
      left join kairan.notifications n on n.id = i.id
    ) c
    where coalesce(c.up_to - c.channels, 0) < most
  );
  -- Who changed one of these before it was locked has committed; who does later is unsettled once more. Those that
  -- somebody else has locked are for the next time.
  locked constant bigint[] := array(
    select d.seq from kairan.numbered d where d.notification_id = any(ids) for update skip locked
  );
  changed int;
begin
  -- A thousand channels take a while to count: not once for each of them.
  with known as materialized (
    select n.id, n.expires_at, nullif(cardinality(n.channels) > 1, false) as several
    from kairan.notifications n where n.id = any(ids)
  )
  update kairan.numbered d set expires_at = n.expires_at, several = n.several
  from known n
  where d.seq = any(locked) and n.id = d.notification_id
    and (d.expires_at, d.several) is distinct from (n.expires_at, n.several);
  with known as materialized (
    select n.id, n.expires_at, nullif(cardinality(n.channels) > 1, false) as several
    from kairan.notifications n where n.id = any(ids)
  ),
  settled as materialized (
    select i.id from unnest(ids) i (id)
    where not exists (
      select from known n join kairan.numbered d on d.notification_id = n.id
      where n.id = i.id and (d.expires_at, d.several) is distinct from (n.expires_at, n.several)
    )
  ),
  again as (
    delete from kairan.redeliveries r using settled s where r.notification_id = s.id and r.xid < below
  ),
  gone as (
    delete from kairan.unsettled u using settled s
    where u.notification_id = s.id and (u.xid < below or u.xid >= pg_snapshot_xmax(pg_current_snapshot()))
  )
  select count(*) into changed from settled;
  return changed;
end $$;
comment on function kairan.settle(int) is
  'Forgets what was delivered again and has been numbered, and what has changed meanwhile, when their deliveries know it: of notifications with about `most` deliveries. Returns of how many notifications.';

create function kairan.withdraw(notification_id uuid) returns boolean language plpgsql as $$
#variable_conflict use_column
declare
  named text[];
  later kairan.scheduled;
begin
  delete from kairan.scheduled s where s.id = withdraw.notification_id and s.error is null returning * into later;
  if found then
    -- It was not sent, so nobody has to hear of it. But it is known as withdrawn from now on, and its key stays used:
    -- a publisher that repeats a request that got no answer neither brings it back nor is told that it never was.
    -- Unless it can not be published any more, neither now nor again. Asked rather than caught: who withdraws thousands
    -- in one transaction would have as many subtransactions, which slow down everybody.
    if octet_length(later.payload::text) <= coalesce(pg_sequence_last_value('kairan.max_event_bytes'), 65536) then
      insert into kairan.notifications (
        id, channels, payload, type, dedupe_key, expires_at, traceparent, publisher
      )
      values (
        later.id, later.channels, later.payload, later.type, later.dedupe_key, '-infinity', later.traceparent,
        case when later.dedupe_key is not null then later.publisher end
      )
      on conflict do nothing;
    end if;
    return true;
  end if;
  -- The deliveries first, as kairan.prune does. While they are locked, it leaves the notification, too.
  perform from kairan.numbered d where d.notification_id = withdraw.notification_id order by d.seq for update;
  -- Before what it depends on: kairan.decide_follow_ups has this row locked, or finds it gone.
  delete from kairan.follow_up_due f where f.notification_id = withdraw.notification_id;
  update kairan.notifications n set expires_at = '-infinity'
  where n.id = withdraw.notification_id and n.expires_at is distinct from '-infinity'
  returning n.channels into named;
  if not found then
    -- Retention can have removed it while its follow-up is still tried.
    update kairan.follow_ups f set finished_at = clock_timestamp(), error = 'withdrawn'
    where f.notification_id = withdraw.notification_id and f.finished_at is null
      and not exists (select from kairan.notifications n where n.id = withdraw.notification_id);
    return found;
  end if;
  update kairan.numbered d set status = 'f', error = 'withdrawn'
  where d.notification_id = withdraw.notification_id and d.status = 'p';
  -- What somebody is just taking is looked at again when it is given back: see kairan.take_follow_ups.
  update kairan.follow_ups f set finished_at = clock_timestamp(), error = 'withdrawn'
  from (
    select o.id from kairan.follow_ups o
    where o.notification_id = withdraw.notification_id and o.finished_at is null
    for update skip locked
  ) late
  where f.id = late.id;
  -- Read by every instance before the events that are committed later.
  perform kairan.tell(jsonb_build_object('action', 'withdrawn', 'id', withdraw.notification_id, 'channels', named));
  return true;
end $$;
comment on function kairan.withdraw(uuid) is
  'Takes a notification back, at commit: what is pending of it becomes failed, with the error "withdrawn"; what was sent goes from inboxes, counts and replays, and open streams hear of it. False when there is none of this id, or it was withdrawn before.';

create function kairan.fail_withdrawn(ids uuid[]) returns void language sql as $$
  update kairan.numbered d set status = 'f', error = 'withdrawn'
  from (
    select d.seq
    from unnest(ids) i (id)
    join kairan.notifications n on n.id = i.id and n.expires_at = '-infinity'
    join kairan.numbered d on d.notification_id = n.id
    where d.status = 'p'
    for update of d skip locked
  ) late
  where d.seq = late.seq
$$;
comment on function kairan.fail_withdrawn(uuid[]) is
  'Marks as failed what is pending of notifications that were withdrawn while they were being numbered.';
