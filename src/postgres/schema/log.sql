-- The log: committed deliveries get their position, in the order in which they become visible. Why nothing is
-- skipped and nothing numbered twice is written in docs/guarantees.md.

create function kairan.this_cluster() returns text language sql stable as $$
  -- The timeline by the name of the current WAL file: pg_control_checkpoint() shows that of the last checkpoint,
  -- which after a promotion is the old one.
  select s.system_identifier || '/' || substr(pg_walfile_name(pg_current_wal_lsn()), 1, 8) from pg_control_system() s
$$;
comment on function kairan.this_cluster() is
  'Which cluster this is, and its timeline: ids of transactions in another one mean other transactions.';

create function kairan.this_home() returns text language sql stable as $$
  select d.oid || '/' || 'kairan.log_state'::regclass::oid from pg_database d where d.datname = current_database()
$$;
comment on function kairan.this_home() is
  'Which database this is, and which of its tables has the log: a copy of a database and a restored dump have others, a standby has the same.';

insert into kairan.log_state (cluster) values (kairan.this_cluster());
insert into kairan.batches (n, head, done, done_place, place) values (1, 0, pg_current_snapshot(), 0, 0);

create view kairan.publications as
  select n.place, n.xid, n.channels, n.id, n.type, n.created_at, n.expires_at, n.follow_up_after, n.bytes, n.payload, n.traceparent
  from kairan.notifications n
  union all
  -- What is delivered again waits for its follow-up, or has had it.
  select r.place, r.xid, r.channels, n.id, n.type, n.created_at, n.expires_at, null, n.bytes, n.payload, n.traceparent
  from kairan.redeliveries r join kairan.notifications n on n.id = r.notification_id;
comment on view kairan.publications is
  'What gets a position in the log: notifications, and those which are delivered again.';

create function kairan.late_until(ended xid8[], reached bigint, most int) returns bigint language plpgsql as $$
declare
  until bigint;
begin
  select min(p.place) + 2 * most into until
  from unnest(ended) e (xid)
  cross join lateral (
    select p.place from kairan.publications p
    where (p.xid, p.place) > (e.xid, coalesce(late_until.reached, -1)) and p.xid <= e.xid
    order by p.xid, p.place limit 1
  ) p;
  return case when exists (
    select from unnest(ended) e (xid)
    cross join lateral (
      select from kairan.publications p where (p.xid, p.place) > (e.xid, until) and p.xid <= e.xid
      order by p.xid, p.place limit 1
    ) p
  ) then until end;
end $$;
comment on function kairan.late_until(xid8[], bigint, int) is
  'Up to which place a piece is to look for what these transactions published: each place is used once, so that is at most twice as many as fit into it, however many transactions there are. Null when that is all of it.';

create function kairan.late(
  ended xid8[],
  next_xid xid8,
  target pg_snapshot,
  low bigint,
  reached bigint,
  until bigint,
  since_place bigint,
  most int
) returns table (
  place bigint,
  channels text[],
  id uuid,
  type text,
  created_at timestamptz,
  expires_at timestamptz,
  follow_up_after interval,
  bytes int,
  payload jsonb,
  traceparent text
) language plpgsql rows 10 as $$
#variable_conflict use_column
begin
  return query
  select p.place, p.channels, p.id, p.type, p.created_at, p.expires_at, p.follow_up_after, p.bytes, p.payload, p.traceparent
  from unnest(ended) e (xid)
  cross join lateral (
    select * from kairan.publications p
    -- As rows: for "p.xid = …" the planner may walk along all places, as those are the order that is wanted.
    where (p.xid, p.place) > (e.xid, coalesce(late.reached, -1))
      and (p.xid, p.place) <= (e.xid, coalesce(late.until, 9223372036854775807))
      -- On one of these channels: of what is delivered again on one, the others have theirs.
      and (p.place > since_place or not exists (
        select from kairan.numbered d where d.notification_id = p.id and d.channel = any(p.channels)
      ))
    order by p.xid, p.place limit most
  ) p;
  return query
  select r.place, r.channels, n.id, n.type, n.created_at, n.expires_at, null::interval, n.bytes, n.payload, n.traceparent
  from kairan.redeliveries r join kairan.notifications n on n.id = r.notification_id
  where r.place > low and r.place <= coalesce(late.until, 9223372036854775807) and r.xid >= next_xid and pg_visible_in_snapshot(r.xid, target)
  order by r.place limit most;
end $$;
comment on function kairan.late(xid8[], xid8, pg_snapshot, bigint, bigint, bigint, bigint, int) is
  'What kairan.number seldom finds: what was published by transactions that had begun in its last snapshot and have ended since, and what is delivered again. A function of its own, because to set up a plan takes longer than to number a few rows.';

create type kairan.placed as (
  seq_before bigint,
  bytes_before bigint,
  id uuid,
  channels text[],
  type text,
  created_at timestamptz,
  expires_at timestamptz,
  follow_up_after interval,
  bytes int,
  payload text,
  metadata text,
  traceparent text
);
comment on type kairan.placed is
  'A notification that kairan.number gives its positions: those after seq_before, one for each channel. bytes_before is the size of the payloads before it in the same piece.';

create function kairan.number(
  most int default 4000,
  max_bytes bigint default 4194304,
  seen pg_snapshot default null,
  known_n bigint default null,
  known_at timestamptz default null,
  awake_ms int default 0,
  owner int default 0
) returns table (
  state json,
  seq bigint,
  channel text,
  id uuid,
  type text,
  created_at text,
  expires_at float8,
  expired boolean,
  payload text,
  metadata text,
  traceparent text
) language plpgsql
  -- Every scan here is along an index. A plan that was made for small tables must not scan large ones, and with
  -- a cost of 1e10 for such a scan the just-in-time compiler would start.
  set plan_cache_mode = force_generic_plan
  set enable_seqscan = off
  set enable_bitmapscan = off
  set enable_hashjoin = off
  set enable_mergejoin = off
  set jit = off
  set work_mem = '32MB' -- A piece and its payloads, without a temporary file.
as $$
#variable_conflict use_column
declare
  log record;
  place_now bigint;
  clock bigint;
  until bigint;
  is_awake boolean := false;
  is_other boolean := false;
  is_here boolean := true;
  target pg_snapshot;
  target_place bigint;
  target_end bigint;
  low bigint;
  next_xid xid8;
  ended xid8[] := '{}';
  until_place bigint;
  taken int := most + 1;
  looked int;
  fresh kairan.placed[];
  rows bigint;
  reached bigint;
  follows boolean;
  is_due boolean;
  is_more boolean := false;
  batch kairan.batches;
begin
  -- Otherwise the snapshots below would be older than the last batch.
  if current_setting('transaction_isolation') <> 'read committed' then
    raise exception 'kairan: kairan.number works at READ COMMITTED only' using errcode = 'invalid_transaction_state';
  end if;
  -- First of all: transactions that get a higher id than this one draw higher places than this.
  if pg_current_xact_id_if_assigned() is null then
    place_now := coalesce(pg_sequence_last_value('kairan.notifications_place_seq'), 0);
  end if;
  -- A number that someone may have seen must survive a crash, whatever the role's setting is.
  if current_setting('synchronous_commit') in ('off', 'local') then
    perform set_config('synchronous_commit', 'on', true);
  end if;
  if awake_ms > 0 then
    clock := date_part('epoch', clock_timestamp()) * 1000000;
    until := coalesce(pg_sequence_last_value('kairan.awake_until'), 0);
    is_awake := until % 1000 = owner or until <= clock;
    if is_awake and until < clock + awake_ms * 500 then
      perform setval('kairan.awake_until', (clock / 1000 + awake_ms) * 1000 + owner);
    end if;
  end if;

  -- Once more after kairan.follow_server, which may leave the rest to the next call.
  for attempt in 1..2 loop
    select s.epoch, s.floor, s.since_place, b.*, pg_current_snapshot() as now,
      s.server_started <> pg_postmaster_start_time() or s.home is distinct from (
        -- What kairan.this_home says, without a call.
        select d.oid || '/' || 'kairan.log_state'::regclass::oid from pg_database d where d.datname = current_database()
      ) as is_elsewhere,
      exists (select from kairan.redeliveries r where r.place > greatest(b.done_place, b.reached)) as redelivers,
      seen is not null and exists (select from kairan.user_changes u where u.xid >= pg_snapshot_xmin(seen)) as changed
    into log
    from kairan.log_state s
    cross join lateral (select * from kairan.batches b order by b.n desc limit 1) b;
    exit when attempt = 2 or not log.is_elsewhere;
    is_here := kairan.follow_server(place_now);
    -- This transaction has an id now, and one with a lower id may have published before the sequence was read.
    place_now := null;
  end loop;
  if not is_here then
    log.done := null; -- It means nothing here. The rest is for the next call.
  elsif log.done is null then
    perform kairan.adopt(place_now, most);
  end if;
  if log.changed then
    -- While a transaction is open, those of all later ones are above the xmin, read or not: they are not looked through.
    log.changed := exists (select from kairan.user_changes u where u.xid >= pg_snapshot_xmax(seen))
      or exists (select from pg_snapshot_xip(seen) x join kairan.user_changes u on u.xid = x);
  end if;
  if (known_n, known_at) <> (log.n, log.at) then
    is_other := not exists (select from kairan.batches o where o.n = known_n and o.at = known_at)
      -- One that has been removed says nothing.
      and known_n >= (select o.n from kairan.batches o order by o.n limit 1);
  end if;

  -- The next piece of a large difference, or the difference between `done` and now.
  target := coalesce(log.target, log.now);
  -- The last batch is in that snapshot, so what is beyond it has a higher id than the transaction that wrote it. Unless
  -- that is this one.
  target_place := case
    when log.target is not null then log.target_place when place_now is null then log.done_place else log.place
  end;
  low := greatest(log.done_place, log.reached);
  next_xid := pg_snapshot_xmax(log.done);
  if pg_snapshot_xmin(log.done) <> next_xid then
    -- Transactions that were open in `done` and are not in `target`.
    ended := array(
      select x from pg_snapshot_xip(log.done) x where pg_visible_in_snapshot(x, target)
    );
  end if;
  -- Of many with hundreds of channels each, a piece takes a few: to look at all of them for each piece takes a time that
  -- grows with the square of how many there are.
  if log.target is not null then
    select least(taken, case when count(*) > 0 then greatest(16, 4 * most / avg(cardinality(n.channels))) end)::int into taken
    from (
      (select n.channels from kairan.notifications n where n.place > low order by n.place limit 20)
      union all
      -- There may be nothing else left.
      (select r.channels from kairan.redeliveries r where log.redelivers and r.place > low order by r.place limit 20)
    ) n;
  end if;

  -- Of hundreds that ended together with thousands of rows each, those thousands need not be looked at for each piece.
  if cardinality(ended) > 16 then
    until_place := kairan.late_until(ended, log.reached, taken);
  end if;

  -- What is committed in `target` and not in `done`, in the order of places.
  select
    array_agg(
      row(
        log.head + f.up_to - cardinality(f.channels), f.bytes_before, f.id, f.channels, f.type, f.created_at, f.expires_at,
        f.follow_up_after, f.bytes,
        -- What is not returned is not written out: it may be much more than fits into the memory.
        case
          when f.bytes_before >= max_bytes then null
          when f.payload ? 'metadata' then (f.payload - 'metadata')::text
          else f.payload::text
        end,
        case
          when f.bytes_before < max_bytes and jsonb_typeof(f.payload -> 'metadata') = 'object'
            then ((f.payload -> 'metadata') - 'deliveryChannel')::text
        end,
        f.traceparent
      )::kairan.placed
    ) filter (where f.fits),
    max(f.up_to) filter (where f.fits), max(f.place) filter (where f.fits), bool_or(f.follow_up_after is not null), count(*)
  into fresh, rows, reached, follows, looked
  from (
    select n.*, sum(cardinality(n.channels)) over earlier as up_to,
      sum(cardinality(n.channels)) over earlier - cardinality(n.channels) < most as fits,
      -- An int does not hold 1000 channels of 16 MiB. Of these numbers a float8 holds each exactly, and adds up faster
      -- than a numeric.
      sum(cardinality(n.channels) * n.bytes::float8) over earlier - cardinality(n.channels) * n.bytes::float8 as bytes_before
    from (
      (
        select n.place, n.channels, n.id, n.type, n.created_at, n.expires_at, n.follow_up_after, n.bytes, n.payload, n.traceparent
        from kairan.notifications n
        where log.done is not null and n.place > low and n.place <= coalesce(least(log.target_end, until_place), 9223372036854775807)
          and n.xid >= next_xid and pg_visible_in_snapshot(n.xid, target)
          and (n.place > log.since_place or (select d.seq from kairan.numbered d where d.notification_id = n.id limit 1) is null)
        order by n.place limit taken
      )
      union all
      select * from kairan.late(ended, next_xid, target, low, log.reached, until_place, log.since_place, taken)
      where cardinality(ended) > 0 or log.redelivers
      order by place limit taken
    ) n
    window earlier as (order by n.place rows unbounded preceding)
  ) f;

  if looked < taken and looked = coalesce(cardinality(fresh), 0) then
    reached := coalesce(until_place, reached);
  end if;
  -- To be saved although there is nothing new: a piece was the last one, or transactions that have ended since
  -- would be looked for again each time. Those are harmless for a while.
  is_due := log.done is not null and (
    log.target is not null or until_place is not null
    or log.at < clock_timestamp() - interval '5 seconds' and next_xid <> pg_snapshot_xmax(target)
    or log.place - log.done_place > 20000
  );
  if fresh is not null or is_due then
    is_more := looked = taken or looked > coalesce(cardinality(fresh), 0) or until_place is not null;
    if is_more then
      -- Looked up after that snapshot was taken, so it is above all that is in it. Without an end, the piece that finds
      -- the last of a target would read all that was published since.
      target_end := coalesce(log.target_end, (select n.place from kairan.notifications n order by n.place desc limit 1));
    end if;
    -- One at a time; and the key keeps out a second one that has the same batch for the last.
    with held as (select from kairan.locks l where l.name = 'numbering' for update skip locked)
    insert into kairan.batches (n, head, done, done_place, target, target_place, target_end, reached, place)
    select log.n + 1, log.head + coalesce(rows, 0),
      case when is_more then log.done else target end, case when is_more then log.done_place else target_place end,
      case when is_more then target end, case when is_more then target_place end, target_end,
      case when is_more then reached end, coalesce(place_now, log.place)
    from held
    on conflict do nothing
    returning * into batch;
  end if;

  state := json_build_object(
    'epoch', log.epoch, 'floor', log.floor, 'prev', log.head, 'head', coalesce(batch.head, log.head),
    'assigned', case when batch.n is not null then coalesce(rows, 0) when fresh is null then 0 end,
    'more', batch.n is not null and is_more or log.done is null,
    'changed', log.changed, 'n', coalesce(batch.n, log.n), 'at', coalesce(batch.at, log.at)::text,
    'isOther', is_other, 'awake', is_awake, 'backend', pg_backend_pid(), 'oldest', pg_snapshot_xmin(target)::text
  );
  return next;
  if batch.n is null or fresh is null then
    return;
  end if;

  -- In the order of places, and of the channels in each.
  insert into kairan.numbered (seq, notification_id, channel, type, created_at, expires_at, several, status, error)
  select f.seq_before + generate_series(1, cardinality(f.channels)), f.id, unnest(f.channels), f.type, f.created_at,
    f.expires_at, case when cardinality(f.channels) > 1 then true end,
    case when f.expires_at = '-infinity' then 'f' else 'p' end::"char", case when f.expires_at = '-infinity' then 'withdrawn' end
  from unnest(fresh) f;
  if follows then
    insert into kairan.follow_up_due (notification_id, user_id, seq, due_at)
    select f.id, substr(c.name, 6), f.seq_before + c.n, clock_timestamp() + f.follow_up_after
    from unnest(fresh) f cross join unnest(f.channels) with ordinality c (name, n)
    where f.follow_up_after is not null and f.expires_at is distinct from '-infinity' and c.name like 'user-%'
      -- One of an earlier notification with this id, which is gone. Whoever is removing it may take any time.
      and not exists (select from kairan.follow_up_due o where o.notification_id = f.id and o.user_id = substr(c.name, 6))
    on conflict do nothing;
  end if;
  return query
  -- The state in the first row only: to send it with each costs the reader more than the event.
  select null::json, e.seq, e.channel, e.id, e.type,
    to_char(e.created_at at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"'),
    (extract(epoch from e.expires_at) * 1000)::float8, coalesce(e.expires_at <= now(), false),
    e.payload, e.metadata, e.traceparent
  from (
    select f.*, f.seq_before + generate_series(1, cardinality(f.channels)) as seq, unnest(f.channels) as channel,
      f.bytes_before + f.bytes::bigint * (generate_series(1, cardinality(f.channels)) - 1) as bytes_until
    from unnest(fresh) f
  ) e
  where e.bytes_until < max_bytes;
end $$;
comment on function kairan.number(int, bigint, pg_snapshot, bigint, timestamptz, int, int) is
  'Numbers about `most` committed deliveries. The first row has nothing but the state of the log; the others are the deliveries, in order, as far as their payloads have less than `max_bytes`. Any instance may call it at any time, as a statement of its own at READ COMMITTED. In the state: the log went from prev to head; assigned is how many were numbered, null when another one did it at the same time; more, whether there may be more; changed, whether something was told of users after the snapshot `seen`; isOther, whether the batch known_n, known_at is not in this log any more. With awake_ms publishers need not ring for so long, unless another owner (0 to 999) said so before: then awake is false.';

create function kairan.unnumbered()
  returns table (notification_id uuid, channel text, created_at timestamptz, place bigint) language sql stable rows 10
  set plan_cache_mode = force_generic_plan
  set enable_seqscan = off
  set enable_bitmapscan = off
  set enable_hashjoin = off
  set enable_mergejoin = off
  set jit = off
as $$
  with state as materialized (
    select s.since_place, b.done, b.done_place, b.target, b.reached
    from kairan.log_state s
    cross join lateral (select * from kairan.batches b order by b.n desc limit 1) b
    limit 1
  ),
  begun as materialized (
    select x from state s cross join lateral pg_snapshot_xip(s.done) x
    where pg_visible_in_snapshot(x, pg_current_snapshot()) or x = pg_current_xact_id_if_assigned()
  )
  select f.id, c.name, f.created_at, f.place
  -- Each look is for a row of `state` or of `begun`, along an index: as a join, it may be the other way round, and walk
  -- along all notifications, if the planner takes their transactions for few. "offset 0" keeps it from that.
  from (
    select p.* from state s cross join lateral (
      select p.id, p.channels, p.xid, p.place, p.created_at from kairan.publications p
      where p.place > s.done_place and p.xid >= pg_snapshot_xmax(s.done) offset 0
    ) p
    union all
    select p.* from begun b cross join lateral (
      select p.id, p.channels, p.xid, p.place, p.created_at from kairan.publications p where p.xid = b.x offset 0
    ) p
    union all
    -- What came from another cluster: see kairan.adopt.
    select n.* from state s cross join lateral (
      select n.id, n.channels, n.xid, n.place, n.created_at from kairan.notifications n
      where s.done is null and n.place > s.reached offset 0
    ) n
  ) f
  cross join state s
  cross join lateral unnest(f.channels) with ordinality c (name, o)
  where (s.done is null or s.target is null or f.place > s.reached or not pg_visible_in_snapshot(f.xid, s.target))
    and (f.place > s.since_place
      or (select d.seq from kairan.numbered d where d.notification_id = f.id and d.channel = c.name limit 1) is null)
  order by f.place, c.o
$$;
comment on function kairan.unnumbered() is
  'The deliveries that have no position yet, as the caller''s snapshot sees them: what has just been committed, and what the caller''s own transaction has published.';

create view kairan.deliveries as
  select notification_id, channel,
    case status when 'p' then 'pending' when 'f' then 'failed' else 'delivered' end as status,
    error, recipients, seq, created_at, delivered_at
  from kairan.numbered
  union all
  select notification_id, channel, 'pending', null, 0, null, created_at, null from kairan.unnumbered()
  union all
  -- Apart by status, and the first channel apart from the others, so that each is found along its own index. As a list
  -- of columns, "unnest" takes half as long as in a join.
  select s.id, s.channels[1], 'pending', null, 0, null, s.created_at, null
  from kairan.scheduled s where s.error is null
  union all
  select s.id, unnest(s.channels[2:]), 'pending', null, 0, null, s.created_at, null
  from kairan.scheduled s where s.error is null and cardinality(s.channels) between 2 and 1000
  union all
  select s.id, s.channels[1], 'failed', s.error, 0, null, s.created_at, null
  from kairan.scheduled s where s.error is not null
  union all
  select s.id, unnest(s.channels[2:]), 'failed', s.error, 0, null, s.created_at, null
  from kairan.scheduled s where s.error is not null and cardinality(s.channels) between 2 and 1000;
comment on view kairan.deliveries is
  'One notification on one channel, and what became of it. status is pending; delivered, when a stream took it; failed, with the reason in error. seq is its position in the log, null until it has one, a moment after the commit.';

create function kairan.follow_server(place_now bigint) returns boolean language plpgsql as $$
declare
  state kairan.log_state;
  last kairan.batches;
  here text := kairan.this_cluster();
  home_here text := kairan.this_home();
  start bigint;
  last_place bigint;
  again bigint;
  target pg_snapshot;
begin
  select * into state from kairan.log_state;
  if state.home is null and state.server_started = pg_postmaster_start_time() then
    -- Nothing has been numbered before. Whoever is at it says it, too: nobody waits.
    with free as (select from kairan.log_state s where s.home is null for update skip locked)
    update kairan.log_state set home = home_here where exists (select from free);
    return true;
  end if;
  if place_now is null then
    return false; -- This is not a transaction of its own.
  end if;
  perform from kairan.locks where name = 'numbering' for update;
  select * into state from kairan.log_state;
  if state.server_started = pg_postmaster_start_time() and state.home = home_here then
    return true; -- Another one was faster.
  end if;
  select * into last from kairan.batches b order by b.n desc limit 1;
  last.n := last.n + 1;
  last.at := clock_timestamp();
  if state.cluster <> here then
    -- The tables came from another cluster (a dump, a copy), or from another past of this one (a failover). The
    -- transaction ids in them then mean nothing, or somebody else. So what has no delivery is numbered, once, and
    -- what is published from here on has ids of this cluster.
    select coalesce(max(m.place), 0) into last_place
    from (
      (select place from kairan.notifications order by place desc limit 1)
      union all
      (select place from kairan.redeliveries order by place desc limit 1)
    ) m;
    if coalesce(pg_sequence_last_value('kairan.notifications_place_seq'), 0) < last_place then
      -- A copy of the rows alone has left the sequence behind. The rest is for the next call.
      perform setval('kairan.notifications_place_seq', last_place);
      update kairan.log_state set since_place = -1;
      return false;
    end if;
    if state.next_cluster is distinct from here then
      -- The next call begins from a snapshot that has this transaction. So those beyond it have higher ids than this one,
      -- and publish at higher places.
      last.place := place_now;
      insert into kairan.batches select last.*;
      update kairan.log_state set next_cluster = here;
      return false;
    end if;
  end if;

  -- Another server start, perhaps another server: a failover or a restored backup may have lost numbers
  -- that were given. Go on far above them, so that none is given twice. 2^20 a restart keeps seq below
  -- 2^53, which is what JavaScript counts exactly, for eight billion restarts.
  last.head := last.head + (1 << 20);
  -- A copy, or what was restored: a cursor may be of what came after it, and no number says so, as the one that it was
  -- made from may go on. Where a database is copied twice, both go on from the same number.
  if state.home <> home_here then
    state.epoch := substr(md5(random()::text || clock_timestamp()::text), 1, 8);
  end if;
  if state.cluster = here then
    insert into kairan.batches select last.*;
    update kairan.log_state
    set server_started = pg_postmaster_start_time(), home = home_here, epoch = state.epoch, next_cluster = null;
    return true;
  end if;

  -- What is committed from here on is numbered afterwards, as always. Before the rest is looked at, which is to have all
  -- that was committed before.
  target := pg_current_snapshot();
  -- What had been numbered there need not be looked at: all below this, if the sequence came with the rows.
  select least(last.done_place, last.reached, min((select min(n.place) from kairan.notifications n where n.xid = x)) - 1)
    into start
  from pg_snapshot_xip(last.done) x;
  if state.since_place = -1 then
    start := -1;
  end if;

  -- Few, so at once.
  with again as (
    select r.notification_id, c.name as channel, min(r.place) as place
    from kairan.redeliveries r cross join unnest(r.channels) c (name)
    where not exists (
      select from kairan.numbered d where d.notification_id = r.notification_id and d.channel = c.name
    )
    group by 1, 2
  ),
  made as (
    insert into kairan.numbered (seq, notification_id, channel, type, created_at, expires_at, several, status, error)
    select last.head + row_number() over (order by a.place), n.id, a.channel, n.type, n.created_at, n.expires_at,
      case when cardinality(n.channels) > 1 then true end,
      case when n.expires_at = '-infinity' then 'f' else 'p' end::"char", case when n.expires_at = '-infinity' then 'withdrawn' end
    from again a join kairan.notifications n on n.id = a.notification_id
    returning 1
  )
  select count(*) into again from made;
  delete from kairan.redeliveries;
  -- Every instance looks up anew what its users may read.
  delete from kairan.user_changes;

  insert into kairan.batches (n, head, done, done_place, target, target_place, reached, place)
  values (last.n, last.head + again, null, 0, target, last.place, coalesce(start, -1), place_now);
  update kairan.log_state
  set server_started = pg_postmaster_start_time(), cluster = here, next_cluster = null, home = home_here, epoch = state.epoch,
    since_place = coalesce(pg_sequence_last_value('kairan.notifications_place_seq'), 0);
  return true;
end $$;
comment on function kairan.follow_server(bigint) is
  'Goes on after another start of Postgres, in another cluster, or in a copy: with numbers far above those that were given, with transaction ids of this cluster, and as another log (epoch) where it is a copy. False when the rest of it is for the next call.';

create function kairan.adopt(place_now bigint, most int default 4000) returns void language plpgsql
  set plan_cache_mode = force_generic_plan
  set enable_seqscan = off
  set enable_bitmapscan = off
  set enable_hashjoin = off
  set enable_mergejoin = off
  set jit = off
as $$
begin
  perform from kairan.locks where name = 'numbering' for update skip locked;
  if not found then
    return;
  end if;
  with state as materialized (
    select b.n, b.head, b.place, b.reached, b.target, b.target_place, l.since_place
    from (select * from kairan.batches b order by b.n desc limit 1) b
    cross join kairan.log_state l
    where b.done is null
  ),
  looked as materialized (
    -- About as many deliveries, should none of them have a position.
    select * from (
      select n.place, n.id, n.channels, n.type, n.created_at, n.expires_at, n.follow_up_after,
        sum(cardinality(n.channels)) over (order by n.place rows unbounded preceding) - cardinality(n.channels) as before
      from state s
      cross join lateral (
        -- What was drawn later was published here, and comes by the id of its transaction: after what was committed before.
        select * from kairan.notifications n where n.place > s.reached and n.place <= s.since_place order by n.place limit most
      ) n
    ) n
    where n.before < most
  ),
  placed as materialized (
    select s.head + row_number() over (order by l.place, c.o) as seq, l.id, c.name as channel, l.type, l.created_at,
      l.expires_at, l.follow_up_after
    from state s
    cross join looked l
    cross join lateral unnest(l.channels) with ordinality c (name, o)
    where not exists (select from kairan.numbered d where d.notification_id = l.id)
      -- It had a position, and gets another one by that.
      and not exists (select from kairan.redeliveries r where r.notification_id = l.id)
  ),
  batch as (
    insert into kairan.batches (n, head, done, done_place, target, target_place, reached, place)
    select s.n + 1, s.head + (select count(*) from placed),
      case when l.more then null else s.target end, case when l.more then 0 else s.target_place end,
      case when l.more then s.target end, case when l.more then s.target_place end,
      case when l.more then l.reached end,
      coalesce(place_now, s.place)
    from state s
    cross join (
      select coalesce(max(before + cardinality(channels)), 0) >= most as more, max(place) as reached from looked
    ) l
    on conflict do nothing
    returning 1
  ),
  waiting as (
    insert into kairan.follow_up_due (notification_id, user_id, seq, due_at)
    select p.id, substr(p.channel, 6), p.seq, clock_timestamp() + p.follow_up_after
    from placed p
    where p.follow_up_after is not null and p.expires_at is distinct from '-infinity' and p.channel like 'user-%'
      and exists (select from batch)
      and not exists (select from kairan.follow_up_due o where o.notification_id = p.id and o.user_id = substr(p.channel, 6))
    on conflict do nothing
  )
  insert into kairan.numbered (seq, notification_id, channel, type, created_at, expires_at, several, status, error)
  select p.seq, p.id, p.channel, p.type, p.created_at, p.expires_at, case when count(*) over (partition by p.id) > 1 then true end,
    case when p.expires_at = '-infinity' then 'f' else 'p' end::"char", case when p.expires_at = '-infinity' then 'withdrawn' end
  from placed p where exists (select from batch);
end $$;
comment on function kairan.adopt(bigint, int) is
  'Numbers what came from another cluster and has no delivery yet, looking at the next notifications, of about `most` deliveries.';

create function kairan.fall_asleep(owner int) returns xid8 language plpgsql as $$
begin
  -- In this order, and the id a new one: a publisher that saw an instance awake has an id already, which is below.
  if pg_sequence_last_value('kairan.awake_until') % 1000 = owner then
    perform setval('kairan.awake_until', 1000);
  end if;
  return pg_current_xact_id();
end $$;
comment on function kairan.fall_asleep(int) is
  'From now on publishers ring. Transactions below the id that it returns may commit without ringing: look again until none of them is in progress.';

create function kairan.redeliver(notification_id uuid, channel text default null) returns int language plpgsql as $$
#variable_conflict use_column
declare
  again text[];
  waiting int := 0;
begin
  with gone as (
    delete from kairan.numbered d
    where d.notification_id = redeliver.notification_id and (redeliver.channel is null or d.channel = redeliver.channel)
    returning d.channel, d.seq
  )
  select array_agg(g.channel order by g.seq) into again from gone g;
  -- All that has no position is looked through for it, so only if it can be there: whoever redelivers thousands in one
  -- transaction has as many of them.
  if again is null or redeliver.channel is null and exists (
    select from kairan.redeliveries r where r.notification_id = redeliver.notification_id
  ) then
    select count(*) into waiting from kairan.unnumbered() u
    where u.notification_id = redeliver.notification_id and (redeliver.channel is null or u.channel = redeliver.channel);
  end if;
  if again is not null then
    insert into kairan.redeliveries (notification_id, channels, place)
    values (redeliver.notification_id, again, nextval('kairan.notifications_place_seq'));
    -- Rare, so it rings whether an instance is awake or not.
    perform pg_notify('kairan_log', '');
  end if;
  return coalesce(cardinality(again), 0) + waiting;
end $$;
comment on function kairan.redeliver(uuid, text) is
  'Puts the deliveries of a notification (on one channel, or on all) back to pending, at a new position in the log. Returns how many.';

create function kairan.begin_anew(old_epoch text) returns void language sql as $$
  update kairan.log_state set epoch = substr(md5(random()::text || clock_timestamp()::text), 1, 8) where epoch = old_epoch
$$;
comment on function kairan.begin_anew(text) is
  'Gives the log another epoch: the cursors of the old one are answered with a gap. For a log that was restored to an earlier state, whose numbers are given again.';
