-- The inbox: pages of what a user may read, newest first, what of it was seen, read and archived, and how much was not.
-- Publishing pays nothing for it: no index, column or trigger of it is on the tables that it writes.

create table kairan.inboxes (
  user_id text primary key,
  read int8multirange not null default '{}',
  revision bigint not null default 0,
  archived int8multirange not null default '{}',
  seen bigint not null default 0,
  head bigint not null default 0
);
comment on table kairan.inboxes is
  'What each user has seen, read and archived, of all channels together. A user without a row has done none of it.';
comment on column kairan.inboxes.user_id is 'The user''s id, as in the sub of the token.';
comment on column kairan.inboxes.read is
  'The positions in the log that count as read. A notification that is read takes those before it too, if only other users can ever read them: so neighbours are one range, and who has read a million has about as many ranges as there are unread stretches between them.';
comment on column kairan.inboxes.revision is
  'Higher with every change of this row and of what the user has muted, also when it was removed in between: it tells clients which of two counts is of later. About the microseconds since 1970.';
comment on column kairan.inboxes.archived is 'The positions that were archived, in the same way: they are in the archive only, and not counted.';
comment on column kairan.inboxes.seen is 'All up to this position was seen. What was read counts as seen, too.';
comment on column kairan.inboxes.head is 'Where the log ended at the last change.';

create index inboxes_head on kairan.inboxes (head);
comment on index kairan.inboxes_head is 'Finds those of which nothing is still there.';

create table kairan.arrivals (
  user_id text primary key,
  seq bigint not null
);
comment on table kairan.arrivals is
  'When each user was here for the first time: a stream, or a request for the inbox. It stays, as nothing else tells a new user from one who was away for long.';
comment on column kairan.arrivals.user_id is 'The user''s id, as in the sub of the token.';
comment on column kairan.arrivals.seq is 'Where the log ended then. What is older on shared channels counts as read, unless NEW_USERS says otherwise.';

create index numbered_shared on kairan.numbered (seq) where not starts_with(channel, 'user-');
comment on index kairan.numbered_shared is
  'Finds the delivery before a position that is not on the own channel of one user: others may come to read it.';

-- Of a thousand channels, a page of each would be a thousand pages for one. So a few of each are read. Where a channel
-- has more, what the others have below the last one that was read of it may come after those: it is left for later.
create function kairan.inbox_candidates(channels text[], lows bigint[], below bigint, bottom bigint, most int, each int)
  returns table (seq bigint, notification_id uuid, more boolean) language sql stable as $$
  with found as materialized (
    select d.seq, d.notification_id, d.place
    from unnest(channels, lows) c (name, low)
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
    -- What is not for the user: the channel has nothing below it, either.
    where d.seq > c.low
  ),
  horizon as materialized (
    select greatest(max(f.seq) filter (where f.place = each), bottom) as seq from found f
  )
  select f.seq, f.notification_id, h.seq > bottom
  from horizon h join found f on f.seq >= h.seq
  order by f.seq desc limit most
$$;
comment on function kairan.inbox_candidates(text[], bigint[], bigint, bigint, int, int) is
  'The newest deliveries of these channels, of each above its low, from `bottom` to below `below`, at most `most`, and about `each` of a channel. `more` says that there may be others below the last.';

create function kairan.inbox_candidates_of(channels text[], lows bigint[], types text[], below bigint, bottom bigint, most int, each int)
  returns table (seq bigint, notification_id uuid, more boolean) language sql stable as $$
  with found as materialized (
    select d.seq, d.notification_id, d.place
    from unnest(channels, lows) c (name, low)
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
    -- What is not for the user: the channel has nothing below it, either.
    where d.seq > c.low
  ),
  horizon as materialized (
    select greatest(max(f.seq) filter (where f.place = each), bottom) as seq from found f
  )
  select f.seq, f.notification_id, h.seq > bottom
  from horizon h join found f on f.seq >= h.seq
  order by f.seq desc limit most
$$;
comment on function kairan.inbox_candidates_of(text[], bigint[], text[], bigint, bigint, int, int) is
  'The same as kairan.inbox_candidates of these types.';

-- The settings of a connection that goes through a pooler are not the service's: these functions bring their own.
create function kairan.inbox_seqs(
  channels text[],
  above bigint[],
  shown_above bigint[],
  types text[],
  muted text[],
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
        select a.seq, a.notification_id, a.more from kairan.inbox_candidates(channels, above, below, bottom, size, each) a
        where types is null
        union all
        select t.seq, t.notification_id, t.more from kairan.inbox_candidates_of(channels, above, types, below, bottom, size, each) t
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
        and (muted is null or not coalesce(n.type, '') like any(muted))
        -- On several of the channels it is there once, as the first of its deliveries.
        and (cardinality(n.channels) = 1 or not exists (
          select from kairan.numbered s
          where s.notification_id = n.id and s.seq < c.seq and s.seq > inbox_seqs.floor
            and s.seq > inbox_seqs.shown_above[array_position(inbox_seqs.channels, s.channel)]
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
comment on function kairan.inbox_seqs(text[], bigint[], bigint[], text[], text[], int8multirange, bigint, int, int) is
  'The newest `most` positions in `spans` of what these channels show, of each above its low: not below `shown_above`, not expired, of one of `types` unless that is null, of none of the patterns `muted`, each notification once. Looks at about `patience` deliveries in them; when it has not come to the end, `reached` is how far it came. `expires_at` is when the first of them expires.';

create function kairan.inbox_bounds(
  user_id text,
  channels text[],
  head bigint,
  new_users_read boolean,
  out shown_above bigint[],
  out unread_above bigint[],
  out is_new boolean
) language plpgsql stable as $$
#variable_conflict use_column
declare
  arrived bigint := 0;
begin
  is_new := false;
  if new_users_read then
    select a.seq into arrived from kairan.arrivals a where a.user_id = inbox_bounds.user_id;
    is_new := not found;
    arrived := coalesce(arrived, head);
  end if;
  select array_agg(b.shown order by b.place),
    array_agg(case when new_users_read then b.unread else b.shown end order by b.place)
    into shown_above, unread_above
  from (
    select c.place, coalesce(least(o.shown_above, s.shown_above), 0) as shown,
      case
        when c.name = 'user-' || inbox_bounds.user_id then 0
        when s.channel is null then coalesce(o.joined_at, arrived)
        else least(o.joined_at, greatest(s.joined_at, arrived))
      end as unread
    from unnest(channels) with ordinality c (name, place)
    left join kairan.members o on o.channel = c.name and o.user_id = inbox_bounds.user_id
    left join kairan.members s on s.channel = c.name and s.user_id = '*'
  ) b;
  shown_above := coalesce(shown_above, '{}');
  unread_above := coalesce(unread_above, '{}');
end $$;
comment on function kairan.inbox_bounds(text, text[], bigint, boolean) is
  'Above which positions each of these channels shows something to a user, and above which that is unread: what is older than the join, or than the user, counts as read. is_new: the user was never here.';

create function kairan.arrive(user_id text) returns void language sql as $$
  insert into kairan.arrivals (user_id, seq) select arrive.user_id, l.head from kairan.log l on conflict do nothing
$$;
comment on function kairan.arrive(text) is 'A user is here. The first time counts.';

create function kairan.count_inbox(
  channels text[],
  above bigint[],
  shown_above bigint[],
  muted text[],
  inbox kairan.inboxes,
  log kairan.log,
  out unread int,
  out unseen int,
  out is_least boolean,
  out is_unseen_least boolean,
  out expires_at timestamptz
) language sql stable as $$
  select least(cardinality(s.seqs), 1000), least(u.unseen, 1000),
    s.reached is not null, u.unseen > 1000 or coalesce(s.reached > inbox.seen + 1, false), s.expires_at
  from kairan.inbox_seqs(
    channels, above, shown_above, null, muted, int8multirange(int8range(log.floor + 1, log.head + 1)) - inbox.read - inbox.archived,
    log.floor, 1001, 5000
  ) s
  cross join lateral (select count(*)::int as unseen from unnest(s.seqs) q where q > inbox.seen) u
$$;
comment on function kairan.count_inbox(text[], bigint[], bigint[], text[], kairan.inboxes, kairan.log) is
  'How many notifications on these channels, of each above its low, are not read, and how many of them are not seen, either: exactly up to 1000. Beyond, and when more than 5000 deliveries had to be looked at, is_least and is_unseen_least say that there may be more. From `expires_at` on there are fewer.';

create function kairan.iso(moment timestamptz) returns text language sql stable as $$
  select case when isfinite(moment) then to_char(
    greatest(least(moment, '9999-12-31T23:59:59.999Z'), '0001-01-01T00:00:00Z') at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"'
  ) end
$$;
comment on function kairan.iso(timestamptz) is
  'A moment as JSON has it: of the years 1 to 9999, as no other has four digits. Null for infinity.';

create function kairan.inbox_page(
  user_id text,
  channels text[],
  types text[],
  before bigint,
  unread_only boolean,
  archived_only boolean,
  most int,
  new_users_read boolean default false,
  out epoch text,
  out head bigint,
  out unread int,
  out unseen int,
  out is_least boolean,
  out is_unseen_least boolean,
  out expires_at timestamptz,
  out revision bigint,
  out seqs bigint[],
  out next bigint,
  out read int8multirange,
  out is_new boolean
) language plpgsql stable as $$
#variable_conflict use_column
declare
  log kairan.log;
  inbox kairan.inboxes;
  muted record;
  bounds record;
  spans int8multirange;
begin
  select * into log from kairan.log;
  inbox_page.epoch := log.epoch;
  inbox_page.head := log.head;
  inbox := kairan.inbox_of(inbox_page.user_id);
  inbox_page.revision := inbox.revision;
  select * into muted from kairan.mutes_of(inbox_page.user_id);
  inbox_page.channels := kairan.array_without(inbox_page.channels, muted.channels);
  select * into bounds
  from kairan.inbox_bounds(inbox_page.user_id, inbox_page.channels, log.head, inbox_page.new_users_read);
  inbox_page.is_new := bounds.is_new;
  select c.unread, c.unseen, c.is_least, c.is_unseen_least, least(c.expires_at, muted.until)
    into inbox_page.unread, inbox_page.unseen, inbox_page.is_least, inbox_page.is_unseen_least, inbox_page.expires_at
  from kairan.count_inbox(
    inbox_page.channels, bounds.unread_above, bounds.shown_above, muted.types, inbox, log
  ) c;

  spans := int8multirange(int8range(log.floor + 1, greatest(log.floor, least(inbox_page.before - 1, log.head)) + 1));
  if inbox_page.archived_only then
    spans := spans * inbox.archived;
  else
    spans := spans - inbox.archived;
  end if;
  if inbox_page.unread_only then
    spans := spans - inbox.read;
  end if;
  select s.seqs, s.reached into inbox_page.seqs, inbox_page.next
  from kairan.inbox_seqs(
    inbox_page.channels, case when inbox_page.unread_only then bounds.unread_above else bounds.shown_above end,
    bounds.shown_above, inbox_page.types, muted.types, spans, log.floor, inbox_page.most + 1, 2000
  ) s;
  if cardinality(inbox_page.seqs) > inbox_page.most then
    inbox_page.seqs := inbox_page.seqs[1:inbox_page.most];
    inbox_page.next := inbox_page.seqs[inbox_page.most];
  end if;
  -- Only what the page needs to know.
  inbox_page.read := inbox.read * int8multirange(
    int8range(inbox_page.seqs[cardinality(inbox_page.seqs)], inbox_page.seqs[1], '[]')
  );
  inbox_page.read := inbox_page.read + coalesce((
    select range_agg(int8range(d.seq, d.seq, '[]'))
    from unnest(inbox_page.seqs) s (seq) join kairan.numbered d on d.seq = s.seq
    where d.seq <= bounds.unread_above[array_position(inbox_page.channels, d.channel)]
  ), '{}');
end $$;
comment on function kairan.inbox_page(text, text[], text[], bigint, boolean, boolean, int, boolean) is
  'A page of a user''s inbox, or of the archive, below `before`, with how many are unread and unseen and where the log ends, all of the caller''s snapshot. `next` is where the next page begins; null when there is none.';

create function kairan.inbox_of(user_id text) returns kairan.inboxes language plpgsql stable as $$
#variable_conflict use_column
declare
  inbox kairan.inboxes;
begin
  select * into inbox from kairan.inboxes i where i.user_id = inbox_of.user_id;
  if not found then
    inbox := row(inbox_of.user_id, '{}', 0, '{}', 0, 0);
  end if;
  return inbox;
end $$;
comment on function kairan.inbox_of(text) is 'What a user has seen, read and archived; of a user without a row, nothing.';

create function kairan.array_without(names text[], removed text[]) returns text[] language sql immutable as $$
  select case when removed is null then names
    else array(select n from unnest(names) n where n <> all(removed)) end
$$;
comment on function kairan.array_without(text[], text[]) is 'The names that are not among those removed, which may be null.';

create function kairan.with_fewer_stretches(positions int8multirange) returns int8multirange language plpgsql immutable as $$
declare
  stretches constant int := (select count(*) from unnest(positions));
begin
  if stretches <= 10000 then
    return positions;
  end if;
  return positions + (
    select int8multirange(int8range(0, max(upper(r))))
    from (select r from unnest(positions) r order by lower(r) limit stretches - 9000) r
  );
end $$;
comment on function kairan.with_fewer_stretches(int8multirange) is
  'A limit: of more than 10000 stretches, the oldest become one, with what lies between them.';

create function kairan.recount_inbox(
  channels text[],
  inbox kairan.inboxes,
  log kairan.log,
  new_users_read boolean,
  out unread int,
  out unseen int,
  out is_least boolean,
  out is_unseen_least boolean,
  out expires_at timestamptz
) language sql stable as $$
  select c.unread, c.unseen, c.is_least, c.is_unseen_least, least(c.expires_at, m.until)
  from kairan.mutes_of(inbox.user_id) m
  cross join lateral (select kairan.array_without(recount_inbox.channels, m.channels) as names) n
  cross join lateral kairan.inbox_bounds(inbox.user_id, n.names, log.head, new_users_read) b
  cross join lateral kairan.count_inbox(n.names, b.unread_above, b.shown_above, m.types, inbox, log) c
$$;
comment on function kairan.recount_inbox(text[], kairan.inboxes, kairan.log, boolean) is
  'What kairan.count_inbox counts of what a user has not muted.';

create function kairan.mark_inbox(
  user_id text,
  channels text[],
  change jsonb,
  narrow text[] default null,
  new_users_read boolean default false,
  out epoch text,
  out head bigint,
  out unread int,
  out unseen int,
  out is_least boolean,
  out is_unseen_least boolean,
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
  before kairan.inboxes;
  after kairan.inboxes;
  own constant text := 'user-' || mark_inbox.user_id;
  -- Of these channels it marks, and counts for the answer.
  chosen constant text[] := coalesce(narrow, mark_inbox.channels);
  counted record;
  told_count jsonb;
  named int8multirange;
  ids uuid[];
  told jsonb;
begin
  -- One change of a user's at a time. The row may go in between: what is read in it has.
  loop
    insert into kairan.inboxes (user_id) values (mark_inbox.user_id) on conflict do nothing;
    select * into before from kairan.inboxes i where i.user_id = mark_inbox.user_id for update;
    exit when found;
  end loop;
  if new_users_read then
    perform kairan.arrive(mark_inbox.user_id);
  end if;
  mark_inbox.revision := before.revision;
  select * into log from kairan.log;
  mark_inbox.epoch := log.epoch;
  if change ->> 'epoch' <> log.epoch then
    return;
  end if;

  if change ? 'ids' or (narrow is not null and not change ? 'seen') then
    select range_agg(int8range(coalesce(m.before, 0) + 1, m.seq, '[]')), array_agg(distinct m.notification_id)
      into named, ids
    from (
      select d.notification_id, d.seq, greatest(
        (
          select b.seq from kairan.numbered b
          where (b.channel, b.seq) < (own, d.seq) and b.channel >= own
          order by b.channel desc, b.seq desc limit 1
        ),
        -- Also of channels that the user does not read: what is read on another one later was not read now.
        (
          select b.seq from kairan.numbered b
          where b.seq < d.seq and not starts_with(b.channel, 'user-')
          order by b.seq desc limit 1
        )
      ) as before
      from (
        select n.seq, n.notification_id
        from (select distinct i::uuid as id from jsonb_array_elements_text(change -> 'ids') i) i
        join kairan.numbered n on n.notification_id = i.id
        where n.channel = any(chosen) and n.seq > log.floor
        union all
        -- All on some of the channels, but no more than there may be stretches.
        (
          select n.seq, n.notification_id
          from unnest(narrow) c (name)
          cross join lateral (
            select n.seq, n.notification_id from kairan.numbered n
            where (n.channel, n.seq) <= (c.name, (change ->> 'upTo')::bigint) and n.channel >= c.name
            order by n.channel desc, n.seq desc limit 9000
          ) n
          where not change ? 'ids' and n.seq > log.floor and not before.read @> n.seq
          order by n.seq desc limit 9000
        )
      ) d
    ) m;
    named := coalesce(named, '{}');
    told := case when change ? 'ids' then jsonb_build_object('ids', ids)
      else jsonb_build_object(
        'upTo', mark_inbox.epoch || '-0' || least((change ->> 'upTo')::bigint, log.head), 'channels', to_jsonb(narrow)
      )
    end;
  else
    named := int8multirange(int8range(0, least((change ->> 'upTo')::bigint, log.head), '[]'));
    told := jsonb_build_object('upTo', mark_inbox.epoch || '-0' || upper(named) - 1);
    if change ? 'all' then
      told := told || '{"all": true}';
    end if;
  end if;

  after := before;
  if change ? 'seen' then
    told := told || '{"type": "seen"}';
    after.seen := greatest(before.seen, upper(named) - 1);
  elsif change ? 'archived' then
    told := told || jsonb_build_object('type', case when change -> 'archived' = 'false' then 'unarchived' else 'archived' end);
    after.archived := kairan.with_fewer_stretches(
      case when change -> 'archived' = 'false' then before.archived - named else before.archived + named end
        + int8multirange(int8range(0, log.floor, '[]'))
    );
  else
    told := told || jsonb_build_object('type', case when change -> 'read' = 'false' then 'unread' else 'read' end);
    after.read := kairan.with_fewer_stretches(
      case when change -> 'read' = 'false' then before.read - named else before.read + named end
        + int8multirange(int8range(0, log.floor, '[]'))
    );
  end if;

  -- Where the log ends by now: what was marked may be of after the look above.
  select * into log from kairan.log;
  mark_inbox.head := log.head;
  after.head := log.head;
  select * into counted from kairan.recount_inbox(chosen, after, log, new_users_read);
  mark_inbox.unread := counted.unread;
  mark_inbox.unseen := counted.unseen;
  mark_inbox.is_least := counted.is_least;
  mark_inbox.is_unseen_least := counted.is_unseen_least;
  mark_inbox.expires_at := counted.expires_at;
  if (after.read, after.archived, after.seen) = (before.read, before.archived, before.seen) then
    return;
  end if;
  mark_inbox.revision := greatest(mark_inbox.revision + 1, (extract(epoch from clock_timestamp()) * 1e6)::bigint);
  update kairan.inboxes i
  set read = after.read, archived = after.archived, seen = after.seen, head = after.head, revision = mark_inbox.revision
  where i.user_id = mark_inbox.user_id;
  if 'false' not in (coalesce(change ->> 'read', ''), coalesce(change ->> 'archived', '')) then
    perform kairan.drop_follow_ups(mark_inbox.user_id, named);
  end if;
  if named <> '{}' then
    -- The other streams count all channels of the user. Of too many nobody counts all.
    if narrow is not null and not change ? 'cut' then
      select * into counted from kairan.recount_inbox(mark_inbox.channels, after, log, new_users_read);
    end if;
    told_count := jsonb_build_object('unread', counted.unread, 'unseen', counted.unseen)
      || case when counted.expires_at is not null
        then jsonb_build_object('unreadUntil', kairan.iso(counted.expires_at)) else '{}'::jsonb
      end || case when counted.is_least then '{"unreadIsLeast": true}' else '{}'::jsonb
      end || case when counted.is_unseen_least then '{"unseenIsLeast": true}' else '{}'::jsonb end;
    perform kairan.tell(jsonb_build_object('action', 'inbox', 'userId', mark_inbox.user_id, 'control',
      told || jsonb_build_object('cursor', mark_inbox.epoch || '-0' || mark_inbox.head, 'revision', mark_inbox.revision)
        || case when change ? 'cut' then '{}'::jsonb else told_count end
    ));
  end if;
end $$;
comment on function kairan.mark_inbox(text, text[], jsonb, text[], boolean) is
  'Marks notifications of a user: as read {"ids": […]} (with "read": false as unread), {"upTo": seq} or {"all": true, "upTo": …}; as seen {"seen": true, "upTo": seq}; as archived {"ids": […], "archived": true} (false takes them back). At commit the user''s streams hear of it, on all instances. With an "epoch" that is not the log''s it does nothing. `narrow` are those of the channels that it marks and counts; null for all.';

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
    where head <= low order by head limit batch
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
