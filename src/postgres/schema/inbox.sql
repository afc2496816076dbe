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
  out expires_at timestamptz,
  out seqs bigint[],
  out reached bigint
) language sql stable as $$
  select least(cardinality(s.seqs), 1000), least(u.unseen, 1000),
    s.reached is not null, u.unseen > 1000 or coalesce(s.reached > inbox.seen + 1, false), s.expires_at, s.seqs, s.reached
  from kairan.inbox_seqs(
    channels, above, shown_above, null, muted, int8multirange(int8range(log.floor + 1, log.head + 1)) - inbox.read - inbox.archived,
    log.floor, 1001, 5000
  ) s
  cross join lateral (select count(*)::int as unseen from unnest(s.seqs) q where q > inbox.seen) u
$$;
comment on function kairan.count_inbox(text[], bigint[], bigint[], text[], kairan.inboxes, kairan.log) is
  'How many notifications on these channels, of each above its low, are not read, and how many of them are not seen, either: exactly up to 1000. Beyond, and when more than 5000 deliveries had to be looked at, is_least and is_unseen_least say that there may be more. From `expires_at` on there are fewer. `seqs` are the newest of them, and `reached` is how far it came.';

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
  counted record;
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
  select * into counted
  from kairan.count_inbox(inbox_page.channels, bounds.unread_above, bounds.shown_above, muted.types, inbox, log);
  inbox_page.unread := counted.unread;
  inbox_page.unseen := counted.unseen;
  inbox_page.is_least := counted.is_least;
  inbox_page.is_unseen_least := counted.is_unseen_least;
  inbox_page.expires_at := least(counted.expires_at, muted.until);

  if inbox_page.unread_only and not inbox_page.archived_only and inbox_page.types is null then
    -- They have just been found, unless the page is below where counting ended.
    inbox_page.seqs := array(select s from unnest(counted.seqs) s where s < inbox_page.before limit inbox_page.most + 1);
  end if;
  if inbox_page.seqs is null
    or (cardinality(inbox_page.seqs) <= inbox_page.most and counted.reached is not null) then
    spans := int8multirange(int8range(log.floor + 1, greatest(log.floor, least(inbox_page.before - 1, log.head)) + 1));
    spans := case when inbox_page.archived_only then spans * inbox.archived else spans - inbox.archived end;
    if inbox_page.unread_only then
      spans := spans - inbox.read;
    end if;
    select s.seqs, s.reached into inbox_page.seqs, inbox_page.next
    from kairan.inbox_seqs(
      inbox_page.channels, case when inbox_page.unread_only then bounds.unread_above else bounds.shown_above end,
      bounds.shown_above, inbox_page.types, muted.types, spans, log.floor, inbox_page.most + 1, 2000
    ) s;
  end if;
  if cardinality(inbox_page.seqs) > inbox_page.most then
    inbox_page.seqs := inbox_page.seqs[1:inbox_page.most];
    inbox_page.next := inbox_page.seqs[inbox_page.most];
  end if;
  -- Only what the page needs to know.
  inbox_page.read := inbox.read * int8multirange(
    int8range(inbox_page.seqs[cardinality(inbox_page.seqs)], inbox_page.seqs[1], '[]')
  );
  -- Most of the channels show nothing on this page that is older than the join.
  inbox_page.read := inbox_page.read + coalesce((
    select range_agg(int8range(d.seq, d.seq, '[]'))
    from (
      select d.seq, d.channel from unnest(inbox_page.seqs) s (seq) join kairan.numbered d on d.seq = s.seq offset 0
    ) d
    join (
      select c.name, c.low from unnest(inbox_page.channels, bounds.unread_above) c (name, low)
      where c.low >= inbox_page.seqs[cardinality(inbox_page.seqs)] offset 0
    ) c on c.name = d.channel and d.seq <= c.low
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

