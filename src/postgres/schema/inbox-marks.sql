-- What users mark in their inboxes: as seen, read and archived.

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
  names jsonb;
  counted record;
  told_count jsonb;
  unread_seqs bigint[];
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
    if change ? 'ids' then
      -- An array is compared from its beginning with each delivery, and a hundred notifications may have a thousand each.
      names := jsonb_object(chosen, chosen);
    else
      -- All on some of the channels, but no more than there may be stretches.
      select f.seqs into unread_seqs
      from kairan.inbox_seqs(
        narrow, array_fill(log.floor, array[cardinality(narrow)]), null, null, null,
        int8multirange(int8range(log.floor, greatest(log.floor, least((change ->> 'upTo')::bigint, log.head)), '(]')) - before.read,
        log.floor, 9000, 2147483647
      ) f;
    end if;
    select range_agg(int8range(coalesce(m.before, 0) + 1, m.seq, '[]')), array_agg(distinct m.notification_id)
      into named, ids
    from (
      -- What comes right before, and was found as well, needs no look.
      select d.notification_id, d.seq, case when lag(d.seq) over (order by d.seq) = d.seq - 1 then d.seq - 1 else greatest(
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
      ) end as before
      from (
        select n.seq, n.notification_id
        from (select distinct i::uuid as id from jsonb_array_elements_text(change -> 'ids') i) i
        join kairan.numbered n on n.notification_id = i.id
        where names ? n.channel and n.seq > log.floor
        union all
        select n.seq, n.notification_id from unnest(unread_seqs) s (seq) join kairan.numbered n on n.seq = s.seq
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
