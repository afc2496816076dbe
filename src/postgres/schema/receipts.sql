-- Receipts: what a client has proven to have, which a delivery's status can not say.

create table kairan.receipts (
  channel text not null,
  user_id text not null,
  since bigint not null,
  seq bigint not null,
  confirmed_at timestamptz not null default clock_timestamp(),
  primary key (channel, user_id, seq, since)
);
comment on table kairan.receipts is
  'What a user''s client has proven to have: by a cursor with which it returned, or by saying so. Not the same as a delivery''s status, which says that a connection has taken it. See kairan.confirmations.';
comment on column kairan.receipts.channel is 'The channel.';
comment on column kairan.receipts.user_id is 'The user.';
comment on column kairan.receipts.since is 'All deliveries on the channel above this seq,';
comment on column kairan.receipts.seq is 'and up to this one, have arrived.';
comment on column kairan.receipts.confirmed_at is 'When that was proven; of what was proven in several steps within one hour, when the last of them was.';

create index receipts_seq on kairan.receipts (seq);
comment on index kairan.receipts_seq is 'Finds what retention has passed.';

create view kairan.confirmations as
select d.notification_id, r.user_id, min(r.confirmed_at) as confirmed_at
from kairan.numbered d
join kairan.receipts r on r.channel = d.channel and d.seq > r.since and d.seq <= r.seq
group by d.notification_id, r.user_id;
comment on view kairan.confirmations is
  'Which user''s client has proven to have which notification, and when that was first proven.';

create table kairan.unconfirmed (
  id bigint primary key generated always as identity,
  user_id text not null,
  channels text[],
  skipped jsonb not null default '{}',
  pending bigint[] not null default '{}',
  since bigint not null,
  seq bigint not null,
  lowest bigint not null generated always as (least(since, pending[1] - 1)) stored,
  at timestamptz not null default now()
);
comment on table kairan.unconfirmed is
  'What streams that have ended had taken, until a client returns with a cursor that proves how much of it has arrived; and cursors, until the end of their stream is recorded.';
comment on column kairan.unconfirmed.id is 'Its number.';
comment on column kairan.unconfirmed.user_id is 'Whose stream it was.';
comment on column kairan.unconfirmed.channels is 'The channels that the stream had from its beginning to its end; null for a cursor.';
comment on column kairan.unconfirmed.skipped is 'By channel, [from, to] of what the stream passed over, since the user had muted it.';
comment on column kairan.unconfirmed.pending is 'What the stream began with: the positions of what was pending, all of them up to since.';
comment on column kairan.unconfirmed.since is 'The stream took all above this seq,';
comment on column kairan.unconfirmed.seq is 'and up to this one; or the cursor.';
comment on column kairan.unconfirmed.lowest is 'A cursor above this can be of this stream.';
comment on column kairan.unconfirmed.at is 'When it was written.';

create index unconfirmed_user_id_lowest on kairan.unconfirmed (user_id, lowest);
comment on index kairan.unconfirmed_user_id_lowest is 'Finds those of the users who return.';

create index unconfirmed_seq on kairan.unconfirmed (seq);
comment on index kairan.unconfirmed_seq is 'Finds what retention has passed.';

insert into kairan.locks (name, purpose) values ('unconfirmed', 'brings what streams took and cursors together');

create function kairan.record_unconfirmed(items jsonb) returns void language plpgsql
  set lock_timeout = 2500 as $$
declare
  news kairan.receipts[];
begin
  -- One at a time: of two that each bring a half of a pair, neither would see the other's.
  perform from kairan.locks where name = 'unconfirmed' for update;

  insert into kairan.unconfirmed (user_id, channels, skipped, pending, since, seq)
  select distinct i."userId",
    case when i.channels is not null then array(select jsonb_array_elements_text(i.channels)) end,
    coalesce(i.skipped, '{}'),
    array(select p::bigint from jsonb_array_elements_text(coalesce(i.pending, '[]')) p),
    i.since, i.seq
  from jsonb_to_recordset(items) i ("userId" text, channels jsonb, skipped jsonb, pending jsonb, since bigint, seq bigint)
  -- Beyond the head there is no stream that carried it.
  where i.seq <= (select l.head from kairan.log l);

  -- A client can make up cursors, and reconnect all the time: of each user the newest count, so that what follows
  -- takes a bounded time.
  delete from kairan.unconfirmed h
  using (
    select o.id, row_number() over (partition by o.user_id, o.channels is null order by o.id desc) as age
    from (select distinct i."userId" from jsonb_to_recordset(items) i ("userId" text)) u
    join kairan.unconfirmed o on o.user_id = u."userId"
  ) old
  where old.id = h.id and old.age > 20;

  with carried as (
    -- A cursor is of a stream that has carried it: that of an event on its channels, or where it began.
    select c.id as cursor_id, c.seq as cursor, h.*
    from (select distinct i."userId" from jsonb_to_recordset(items) i ("userId" text)) u
    join kairan.unconfirmed c on c.user_id = u."userId" and c.channels is null
    join kairan.unconfirmed h
      on h.user_id = c.user_id and h.lowest < c.seq and h.seq >= c.seq and h.channels is not null
    where c.seq = h.since or c.seq = any(h.pending) or exists (
      select from kairan.numbered d where d.seq = c.seq and d.channel = any(h.channels)
    )
  ),
  pairs as materialized (
    -- Of several, of the one of which it proves the least, and only what all of them had.
    select distinct on (h.cursor_id) h.* from carried h order by h.cursor_id, h.lowest desc, h.id
  ),
  used as (
    delete from kairan.unconfirmed h using pairs p where h.id in (p.id, p.cursor_id)
  ),
  -- By groups and not by a join: a user may have twenty streams and cursors, and each stream a thousand channels.
  parts as (
    select o.cursor_id, o.streams, o.id, n.name, null::int8range as skipped
    from (select c.*, count(*) over (partition by c.cursor_id) as streams from carried c) o
    cross join unnest(o.channels) n (name)
    union all
    select o.cursor_id, o.streams, null, k.key, int8range((r ->> 0)::bigint, (r ->> 1)::bigint, '[]')
    from (select c.*, count(*) over (partition by c.cursor_id) as streams from carried c) o
    cross join jsonb_each(o.skipped) k
    cross join jsonb_array_elements(k.value) r
  ),
  shared as materialized (
    select p.cursor_id, p.name, range_agg(p.skipped) filter (where p.skipped is not null) as skipped
    from parts p group by p.cursor_id, p.name, p.streams having count(distinct p.id) = p.streams
  ),
  spans as (
    -- Without what any of them skipped.
    select n.name, p.user_id, lower(s) - 1 as since, upper(s) - 1 as seq
    from pairs p
    join shared n on n.cursor_id = p.cursor_id
    cross join unnest(
      int8multirange(int8range(p.since + 1, greatest(p.cursor, p.since) + 1)) - coalesce(n.skipped, '{}')
    ) s
  ),
  proven as (
    select s.name as channel, s.user_id, s.since, s.seq
    from spans s
    where exists (
      select
      from (
        select d.seq from kairan.numbered d
        where (d.channel, d.seq) > (s.name, s.since) and d.channel <= s.name
        order by d.channel, d.seq limit 1
      ) d
      where d.seq <= s.seq
    )
    union all
    select 'user-' || p.user_id, p.user_id, s - 1, s from pairs p, unnest(p.pending) s where s <= p.cursor
  )
  select array_agg((p.channel, p.user_id, p.since, p.seq, null)::kairan.receipts) into news from proven p;
  if news is null then
    return;
  end if;

  -- Before the time of the receipts is taken: a follow-up is only made of what has a later receipt, or none.
  perform kairan.drop_received(news);

  with
  -- A client that reconnects goes on where it was: of one hour there is one row, not one for each reconnect.
  continued as (
    delete from kairan.receipts r
    using (select distinct channel, user_id, since from unnest(news)) p
    where r.channel = p.channel and r.user_id = p.user_id and r.seq = p.since
      and r.confirmed_at >= date_trunc('hour', now())
    returning r.channel, r.user_id, r.since, r.seq
  )
  insert into kairan.receipts (channel, user_id, since, seq)
  select distinct c.channel, c.user_id, c.since, c.seq
  from (
    select j.channel, j.user_id, least(j.at, min(j.before) over (partition by j.channel, j.user_id, j.at)) as since, j.seq
    from (
      select p.channel, p.user_id, p.since as at, null::bigint as before, p.seq from unnest(news) p
      union all
      select c.channel, c.user_id, c.seq, c.since, null from continued c
    ) j
  ) c
  where c.seq is not null
  on conflict do nothing;
end $$;
comment on function kairan.record_unconfirmed(jsonb) is
  'Records what streams that ended had taken ({userId, channels, skipped?, pending, since, seq}) and with which cursors users returned ({userId, seq, since}), and confirms what is proven by both.';

create function kairan.confirm(user_id text, channels text[], ids jsonb) returns void language plpgsql
  set plan_cache_mode = force_generic_plan
  set enable_seqscan = off
  set enable_bitmapscan = off
  set enable_hashjoin = off
  set enable_mergejoin = off
  set jit = off
as $$
#variable_conflict use_column
declare
  own text := 'user-' || confirm.user_id;
  -- See kairan.mark_inbox.
  names constant jsonb := jsonb_object(channels, channels);
begin
  -- Before the time of the receipts is taken: see kairan.record_unconfirmed.
  if own = any(channels) then
    delete from kairan.follow_up_due f
    using (
      select o.notification_id
      from (select distinct i::uuid as id from jsonb_array_elements_text(ids) i) i
      join kairan.follow_up_due o on o.notification_id = i.id and o.user_id = confirm.user_id
      for update of o skip locked
    ) received
    where f.notification_id = received.notification_id and f.user_id = confirm.user_id;
  end if;
  insert into kairan.receipts (channel, user_id, since, seq)
  select d.channel, confirm.user_id, d.seq - 1, d.seq
  from (select distinct i::uuid as id from jsonb_array_elements_text(ids) i) i
  -- By the notification in any case: a user's channel may have a long log.
  cross join lateral (
    select n.channel, n.seq from kairan.numbered n where n.notification_id = i.id offset 0
  ) d
  where names ? d.channel
  on conflict do nothing;
end $$;
comment on function kairan.confirm(text, text[], jsonb) is
  'Confirms that a user has these notifications, as far as they are on these channels.';
