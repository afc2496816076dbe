-- What instances have to know of a user: a role that has changed, a stream that has to end.

create table kairan.user_changes (
  id bigint generated always as identity primary key,
  xid xid8 not null default pg_current_xact_id(),
  change jsonb not null,
  created_at timestamptz not null default now(),
  bytes int not null generated always as (octet_length(change::text)) stored
);
comment on table kairan.user_changes is
  'What the instances have to know of users whose streams are open. Each reads what is new before it reads the log, so an event that was published later never overtakes a change, also while LISTEN is down.';
comment on column kairan.user_changes.id is 'The order in which they were told.';
comment on column kairan.user_changes.xid is 'The transaction: new is what was not visible in the snapshot of the last look.';
comment on column kairan.user_changes.change is '{"action", "userId", …}: see src/log/user-change.ts.';
comment on column kairan.user_changes.created_at is 'Ten minutes after it and its transaction it can be removed.';
comment on column kairan.user_changes.bytes is 'The size of its text: with a thousand channels it may be a megabyte. Whoever reads takes as many at once as fit into its memory.';

create index user_changes_xid on kairan.user_changes (xid);
comment on index kairan.user_changes_xid is 'Finds what is new.';

create index user_changes_created_at on kairan.user_changes (created_at);
comment on index kairan.user_changes_created_at is 'Finds what can be removed.';

create function kairan.tell(change jsonb) returns void language plpgsql as $$
begin
  insert into kairan.user_changes (change) values (tell.change);
  -- Nothing of it in the NOTIFY: any login can listen.
  perform pg_notify('kairan_users', '');
end $$;
comment on function kairan.tell(jsonb) is 'Tells every instance, at commit, something about a user.';

create function kairan.prune_user_changes(batch int default 1000) returns int language plpgsql as $$
declare
  removed int;
  withdrawn uuid[];
begin
  with gone as (
    delete from kairan.user_changes c
    using (
      -- Not by its age alone: its transaction may have stayed open since, and nobody has read it then.
      select c.id from kairan.user_changes c
      where c.created_at < now() - interval '10 minutes'
        and pg_visible_in_snapshot(c.xid, (select b.done from kairan.batches b order by b.n limit 1))
      order by c.created_at limit batch
      for update skip locked
    ) old
    where c.id = old.id
    returning c.change
  )
  select count(*), array_agg((g.change ->> 'id')::uuid) filter (where g.change ->> 'action' = 'withdrawn')
    into removed, withdrawn
  from gone g;
  -- An instance that died may have left some.
  if withdrawn is not null then
    perform kairan.fail_withdrawn(withdrawn);
  end if;
  return removed;
end $$;
comment on function kairan.prune_user_changes(int) is
  'Removes at most `batch` changes that the oldest batch of the log saw: they were committed about ten minutes ago. Returns how many.';

create function kairan.reauthorize(user_id text) returns void language sql as $$
  select kairan.tell(case user_id
    when '*' then '{"action": "reauthorize"}'
    else jsonb_build_object('action', 'reauthorize', 'userId', user_id)
  end)
$$;
comment on function kairan.reauthorize(text) is
  'At commit, every open stream of this user gets the channels that the user may read then. Of everybody, when it is *.';

create function kairan.reauthorize_all(users text[]) returns void language plpgsql as $$
begin
  if '*' = any(users) or cardinality(users) > 1000 then
    -- The message stays small, and most of those who are online are concerned.
    perform kairan.reauthorize('*');
  elsif users is not null then
    perform kairan.tell(jsonb_build_object('action', 'reauthorize', 'userIds', users));
  end if;
end $$;
comment on function kairan.reauthorize_all(text[]) is
  'The same for these users, as one change; of everybody, when there are more than 1000 or * is among them.';

create function kairan.disconnect(user_id text) returns void language sql as $$
  delete from kairan.tickets t where t.user_id = disconnect.user_id;
  select kairan.tell(jsonb_build_object('action', 'disconnect', 'userId', user_id))
$$;
comment on function kairan.disconnect(text) is
  'At commit, ends every open stream of this user, and every ticket. Who has a token that is valid can come back.';
