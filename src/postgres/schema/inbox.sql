-- The inbox: pages of what a user may read, newest first, what of it was read, and how much was not.
-- Publishing pays nothing for it: no index, column or trigger of it is on the tables that it writes.

create table kairan.inboxes (
  user_id text primary key,
  read int8multirange not null default '{}',
  revision bigint not null default 0
);
comment on table kairan.inboxes is
  'What each user has read, of all channels together. A user without a row has read nothing.';
comment on column kairan.inboxes.user_id is 'The user''s id, as in the sub of the token.';
comment on column kairan.inboxes.read is
  'The positions in the log that count as read. A notification that is read takes those before it too, back to the one before on the user''s channels: so neighbours are one range, and who has read a million has as many ranges as there are unread stretches between them.';

comment on column kairan.inboxes.revision is
  'Higher with every change of read, also of a row that was removed in between: it tells clients which of two counts is of later. About the microseconds since 1970.';

create index inboxes_read_up_to on kairan.inboxes (coalesce(upper(read), 0));
comment on index kairan.inboxes_read_up_to is 'Finds those whose user has read nothing that is still there.';

-- Of a thousand channels, a page of each would be a thousand pages for one. So a few of each are read. Where a channel
-- has more, what the others have below the last one that was read of it may come after those: it is left for later.
create function kairan.inbox_candidates(channels text[], below bigint, bottom bigint, most int, each int)
  returns table (seq bigint, notification_id uuid, more boolean) language sql stable as $$
  with found as materialized (
    select d.seq, d.notification_id, d.place
    from unnest(channels) c (name)
    cross join lateral (
      select d.seq, d.notification_id, row_number() over () as place
      from (
        select d.seq, d.notification_id from kairan.numbered d
        -- As rows: where one channel has most of the log, the planner takes "channel = …" for no condition at
        -- all, and walks along the whole log. A lower bound would not end such a scan, so it comes afterwards.
        where (d.channel, d.seq) < (c.name, below) and d.channel >= c.name
        order by d.channel desc, d.seq desc limit each
      ) d
    ) d
  ),
  horizon as materialized (
    select greatest(max(f.seq) filter (where f.place = each), bottom) as seq from found f
  )
  select f.seq, f.notification_id, h.seq > bottom
  from horizon h join found f on f.seq >= h.seq
  order by f.seq desc limit most
$$;
comment on function kairan.inbox_candidates(text[], bigint, bigint, int, int) is
  'The newest deliveries of these channels from `bottom` to below `below`, at most `most`, and about `each` of a channel. `more` says that there may be others below the last.';

create function kairan.inbox_candidates_of(channels text[], types text[], below bigint, bottom bigint, most int, each int)
  returns table (seq bigint, notification_id uuid, more boolean) language sql stable as $$
  with found as materialized (
    select d.seq, d.notification_id, d.place
    from unnest(channels) c (name)
    cross join (select distinct t from unnest(types) t) t (name)
    cross join lateral (
      select d.seq, d.notification_id, row_number() over () as place
      from (
        select d.seq, d.notification_id from kairan.numbered d
        where (d.channel, d.type, d.seq) < (c.name, t.name, below) and (d.channel, d.type) >= (c.name, t.name)
          and d.type is not null
        order by d.channel desc, d.type desc, d.seq desc limit each
      ) d
    ) d
  ),
  horizon as materialized (
    select greatest(max(f.seq) filter (where f.place = each), bottom) as seq from found f
  )
  select f.seq, f.notification_id, h.seq > bottom
  from horizon h join found f on f.seq >= h.seq
  order by f.seq desc limit most
$$;
comment on function kairan.inbox_candidates_of(text[], text[], bigint, bigint, int, int) is
  'The same as kairan.inbox_candidates of these types.';

-- The settings of a connection that goes through a pooler are not the service's: these functions bring their own.
create function kairan.inbox_seqs(
  channels text[],
  types text[],
  spans int8multirange,
  floor bigint,
  most int,
  patience int,
  out seqs bigint[],
  out reached bigint,
  out expires_at timestamptz
) language plpgsql stable
  set plan_cache_mode = force_generic_plan
  set enable_seqscan = off
  set enable_bitmapscan = off
  set enable_hashjoin = off
  set enable_mergejoin = off
  set jit = off
as $$
declare
  lows bigint[];
  highs bigint[];
  span int := 1;
  below bigint;
  bottom bigint;
  first_size int := least(most, 1024);
  size int := first_size;
  looked_at int := 0;
  fitting bigint[];
  lowest bigint;
  soonest timestamptz;
  inside int;
  candidates int;
  -- Of a channel alone a whole step; of many a few more than their share.
  shares int := greatest(1, cardinality(channels) * coalesce(cardinality(types), 1));
  factor int := 1;
  each int;
  is_more boolean;
begin
  select array_agg(s.low), array_agg(s.high), lower(spans), upper(spans) into lows, highs, bottom, below
  from (select lower(s) as low, upper(s) as high from unnest(spans) s order by low desc) s;
  seqs := '{}';

  while span <= cardinality(lows) loop
    if lows[span] >= below then
      span := span + 1;
      continue;
    end if;
    -- What lies between two spans is leapt over.
    below := least(below, highs[span]);
    if types is not null then
      size := least(size, 256);
    end if;
    -- A step is not smaller than what is read for it anyway.
    size := greatest(size, least(shares / 2, 1024));
    each := least(size, factor * (4 * size / shares + 3));

    select array_agg(c.seq order by c.seq desc) filter (where n.fits), min(c.seq), count(*) filter (where c.inside), count(*), min(n.expires_at), bool_or(c.more)
      into fitting, lowest, inside, candidates, soonest, is_more
    from (
      select c.seq, c.notification_id, c.more, spans @> c.seq as inside
      from (
        select a.seq, a.notification_id, a.more from kairan.inbox_candidates(channels, below, bottom, size, each) a
        where types is null
        union all
        select t.seq, t.notification_id, t.more from kairan.inbox_candidates_of(channels, types, below, bottom, size, each) t
        where types is not null
      ) c
      offset 0
    ) c
    left join lateral (
      select true as fits, case when isfinite(n.expires_at) then n.expires_at end as expires_at
      from kairan.notifications n
      where c.inside and n.id = c.notification_id
        and (n.expires_at is null or n.expires_at > now())
        and (types is null or n.type = any(types))
        -- On several of the channels it is there once, as the first of its deliveries.
        and (cardinality(n.channels) = 1 or not exists (
          select from kairan.numbered s
          where s.notification_id = n.id and s.channel = any(inbox_seqs.channels) and s.seq < c.seq and s.seq > inbox_seqs.floor
        ))
      limit 1
    ) n on true;

    seqs := seqs || coalesce(fitting, '{}');
    inbox_seqs.expires_at := least(inbox_seqs.expires_at, soonest);
    if cardinality(seqs) >= most then
      seqs := seqs[1:most];
      reached := seqs[most];
      return;
    end if;
    if candidates < size and is_more is not true then
      return; -- That was all.
    end if;
    -- One of the channels has most of it.
    if candidates < size / 2 then
      factor := least(factor * 4, 1024);
    end if;
    below := lowest;
    looked_at := looked_at + case when types is null then inside else candidates end;
    if looked_at >= patience then
      reached := below;
      return;
    end if;
    -- Small steps where most of it is passed over, so that the next leap is not far.
    size := case when inside * 2 >= candidates then least(size * 2, 1024) else 8 end;
  end loop;
end $$;
comment on function kairan.inbox_seqs(text[], text[], int8multirange, bigint, int, int) is
  'The newest `most` positions in `spans` of what these channels show: not expired, of one of `types` unless that is null, each notification once. Looks at about `patience` deliveries in them; when it has not come to the end, `reached` is how far it came. `expires_at` is when the first of them expires.';

create function kairan.count_unread(
  channels text[],
  read int8multirange,
  log kairan.log,
  out unread int,
  out is_least boolean,
  out expires_at timestamptz
) language sql stable as $$
  select least(cardinality(s.seqs), 1000), s.reached is not null, s.expires_at
  from kairan.inbox_seqs(
    channels, null, int8multirange(int8range(log.floor + 1, log.head + 1)) - read, log.floor, 1001, 5000
  ) s
$$;
comment on function kairan.count_unread(text[], int8multirange, kairan.log) is
  'How many notifications on these channels are not read: exactly up to 1000. Beyond, and when more than 5000 deliveries had to be looked at, is_least says that there may be more. From `expires_at` on there are fewer.';

create function kairan.iso(moment timestamptz) returns text language sql stable as $$
  select to_char(moment at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"')
$$;
comment on function kairan.iso(timestamptz) is 'A moment as JSON has it.';

create function kairan.inbox_page(
  user_id text,
  channels text[],
  types text[],
  before bigint,
  unread_only boolean,
  most int,
  out epoch text,
  out head bigint,
  out unread int,
  out is_least boolean,
  out expires_at timestamptz,
  out revision bigint,
  out seqs bigint[],
  out next bigint,
  out read int8multirange
) language plpgsql stable as $$
#variable_conflict use_column
declare
  log kairan.log;
  spans int8multirange;
begin
  select * into log from kairan.log;
  inbox_page.epoch := log.epoch;
  inbox_page.head := log.head;
  select i.read, i.revision into inbox_page.read, inbox_page.revision
  from kairan.inboxes i where i.user_id = inbox_page.user_id;
  inbox_page.read := coalesce(inbox_page.read, '{}');
  inbox_page.revision := coalesce(inbox_page.revision, 0);
  select c.unread, c.is_least, c.expires_at
    into inbox_page.unread, inbox_page.is_least, inbox_page.expires_at
  from kairan.count_unread(inbox_page.channels, inbox_page.read, log) c;

  spans := int8multirange(int8range(log.floor + 1, greatest(log.floor, least(inbox_page.before - 1, log.head)) + 1));
  if inbox_page.unread_only then
    spans := spans - inbox_page.read;
  end if;
  select s.seqs, s.reached into inbox_page.seqs, inbox_page.next
  from kairan.inbox_seqs(inbox_page.channels, inbox_page.types, spans, log.floor, inbox_page.most + 1, 2000) s;
  if cardinality(inbox_page.seqs) > inbox_page.most then
    inbox_page.seqs := inbox_page.seqs[1:inbox_page.most];
    inbox_page.next := inbox_page.seqs[inbox_page.most];
  end if;
  -- Only what the page needs to know.
  inbox_page.read := inbox_page.read * int8multirange(
    int8range(inbox_page.seqs[cardinality(inbox_page.seqs)], inbox_page.seqs[1], '[]')
  );
end $$;
comment on function kairan.inbox_page(text, text[], text[], bigint, boolean, int) is
  'A page of a user''s inbox below `before`, with how many are unread and where the log ends, all of the caller''s snapshot. `next` is where the next page begins; null when there is none.';

create function kairan.mark_inbox(
  user_id text,
  channels text[],
  change jsonb,
  out epoch text,
  out head bigint,
  out unread int,
  out is_least boolean,
  out expires_at timestamptz,
  out revision bigint
) language plpgsql
  set plan_cache_mode = force_generic_plan
  set enable_seqscan = off
  set enable_bitmapscan = off
  set enable_hashjoin = off
  set enable_mergejoin = off
  set jit = off
as $$
#variable_conflict use_column
declare
  log kairan.log;
  before int8multirange;
  after int8multirange;
  named int8multirange;
  stretches int;
  ids uuid[];
  told jsonb;
begin
  -- One change of a user's at a time. The row may go in between: what is read in it has.
  loop
    insert into kairan.inboxes (user_id) values (mark_inbox.user_id) on conflict do nothing;
    select i.read, i.revision into before, mark_inbox.revision
    from kairan.inboxes i where i.user_id = mark_inbox.user_id for update;
    exit when found;
  end loop;
  select * into log from kairan.log;
  mark_inbox.epoch := log.epoch;
  if change ->> 'epoch' <> log.epoch then
    return;
  end if;

  if change ? 'ids' then
    select range_agg(int8range(coalesce(own.before, 0) + 1, own.seq, '[]')), array_agg(distinct own.notification_id)
      into named, ids
    from (
      select d.notification_id, d.seq, (
        -- Of all the user's channels, whatever the role level: what could not be read is not read.
        select max(b.seq)
        from unnest(array['user-' || mark_inbox.user_id, 'all-users', 'admin-dashboard']) c (name)
        cross join lateral (
          select b.seq from kairan.numbered b
          where (b.channel, b.seq) < (c.name, d.seq) and b.channel >= c.name
          order by b.channel desc, b.seq desc limit 1
        ) b
      ) as before
      from (select distinct i::uuid as id from jsonb_array_elements_text(change -> 'ids') i) i
      join kairan.numbered d on d.notification_id = i.id
      where d.channel = any(mark_inbox.channels) and d.seq > log.floor
    ) own;
    named := coalesce(named, '{}');
    told := jsonb_build_object('ids', ids);
  else
    named := int8multirange(int8range(0, least((change ->> 'upTo')::bigint, log.head), '[]'));
    told := jsonb_build_object('upTo', mark_inbox.epoch || '-0' || upper(named) - 1);
    if change ? 'all' then
      told := told || '{"all": true}';
    end if;
  end if;

  after := case when change -> 'read' = 'false' then before - named else before + named end
    + int8multirange(int8range(0, log.floor, '[]'));
  -- A limit: with more unread stretches than these, the oldest of them count as read.
  stretches := (select count(*) from unnest(after));
  if stretches > 10000 then
    after := after + (
      select int8multirange(int8range(0, max(upper(r))))
      from (select r from unnest(after) r order by lower(r) limit stretches - 9000) r
    );
  end if;

  -- Where the log ends by now: what was marked may be of after the look above.
  select * into log from kairan.log;
  mark_inbox.head := log.head;
  select c.unread, c.is_least, c.expires_at into mark_inbox.unread, mark_inbox.is_least, mark_inbox.expires_at
  from kairan.count_unread(mark_inbox.channels, after, log) c;
  if after = before then
    return;
  end if;
  mark_inbox.revision := greatest(mark_inbox.revision + 1, (extract(epoch from clock_timestamp()) * 1e6)::bigint);
  update kairan.inboxes i set read = after, revision = mark_inbox.revision where i.user_id = mark_inbox.user_id;
  if named <> '{}' then
    perform kairan.tell(jsonb_build_object('action', 'inbox', 'userId', mark_inbox.user_id, 'control',
      told || jsonb_build_object(
        'type', case when change -> 'read' = 'false' then 'unread' else 'read' end, 'unread', mark_inbox.unread,
        'cursor', mark_inbox.epoch || '-0' || mark_inbox.head, 'revision', mark_inbox.revision
      ) || case when mark_inbox.expires_at is not null
        then jsonb_build_object('unreadUntil', kairan.iso(mark_inbox.expires_at)) else '{}'::jsonb
      end || case when mark_inbox.is_least then '{"unreadIsLeast": true}' else '{}'::jsonb end
    ));
  end if;
end $$;
comment on function kairan.mark_inbox(text, text[], jsonb) is
  'Marks notifications of a user as read: {"ids": […]} (with "read": false as unread), {"upTo": seq} or {"all": true, "upTo": …}. At commit the user''s streams hear of it, on all instances. With an "epoch" that is not the log''s it does nothing.';

create function kairan.prune_inbox(batch int default 1000) returns int language plpgsql as $$
declare
  low bigint;
  removed int;
  total int := 0;
begin
  select l.floor into low from kairan.log l;
  delete from kairan.inboxes i
  using (
    select user_id from kairan.inboxes
    where coalesce(upper(read), 0) <= low + 1 order by coalesce(upper(read), 0) limit batch
    for update skip locked
  ) late
  where i.user_id = late.user_id;
  get diagnostics removed = row_count;
  total := total + removed;

  delete from kairan.receipts r
  using (
    select ctid from kairan.receipts where seq <= low order by seq limit batch for update skip locked
  ) late
  where r.ctid = late.ctid;
  get diagnostics removed = row_count;
  total := total + removed;

  delete from kairan.unconfirmed h
  using (
    select id from kairan.unconfirmed
    where seq <= low or (channels is null and at < now() - interval '10 minutes') order by seq limit batch
    for update skip locked
  ) late
  where h.id = late.id;
  get diagnostics removed = row_count;
  return total + removed;
end $$;
comment on function kairan.prune_inbox(int) is
  'Removes what the inbox knows about what is below the floor, at most `batch` rows of each kind. Returns how many.';
