-- What users do not want to hear of: types and channels, for ever or until a moment.

create table kairan.mutes (
  id bigint primary key generated always as identity,
  user_id text not null,
  type text,
  channel text,
  until timestamptz,
  since timestamptz not null default now(),
  constraint user_id_without_spaces_and_commas check (
    char_length(user_id) <= 200 and user_id ~ '^[^\u0001-\u0020\u007f,]+$'
  ),
  constraint either_a_type_or_a_channel check (num_nonnulls(type, channel) = 1),
  -- The star comes on top of what a type may have.
  constraint type_of_1_to_200_characters_or_a_beginning_and_a_star check (
    char_length(type) between 1 and 200 + (type like '%*')::int
  ),
  constraint channel_without_spaces_commas_and_stars check (
    char_length(channel) <= 250 and channel ~ '^[^\u0001-\u0020\u007f,*]+$'
  ),
  constraint until_a_moment_between_1970_and_9999 check (until between '1970-01-01Z' and '9999-12-31T23:59:59.999999Z'),
  constraint since_a_moment_between_1970_and_9999 check (since between '1970-01-01Z' and '9999-12-31T23:59:59.999999Z')
);
comment on table kairan.mutes is
  'What users have muted. While it is there, it is neither sent to them, nor in their inbox, nor counted. A change reaches open streams when it commits. At most 200 rows a user.';
comment on column kairan.mutes.id is 'Its number.';
comment on column kairan.mutes.user_id is 'The user''s id, as in the sub of the token.';
comment on column kairan.mutes.type is 'A type, or a beginning of types and a star: news.* is every type that begins with "news.". * alone is everything, also what has no type.';
comment on column kairan.mutes.channel is 'A channel. What is on others, too, comes on them.';
comment on column kairan.mutes.until is 'From then on it is not muted any more; null: for ever.';
comment on column kairan.mutes.since is 'When it was muted.';

create unique index mutes_user_id on kairan.mutes (user_id, type, channel) nulls not distinct;
comment on index kairan.mutes_user_id is 'Finds the mutes of a user, and keeps each once.';
create index mutes_until on kairan.mutes (until) where until is not null;
comment on index kairan.mutes_until is 'Finds what can be removed.';

create function kairan.covers(mute kairan.mutes, channels text[], type text) returns boolean language sql immutable as $$
  select case
    when mute.channel is not null then mute.channel = any(channels)
    when mute.type like '%*' then starts_with(coalesce(covers.type, ''), left(mute.type, -1))
    else mute.type is not distinct from covers.type
  end
$$;
comment on function kairan.covers(kairan.mutes, text[], text) is
  'Whether a mute is of one of these channels, or of this type (null: a notification without a type).';

create function kairan.is_muted(user_id text, channel text, type text) returns boolean language sql stable as $$
  select exists (
    select from kairan.mutes m
    where m.user_id = is_muted.user_id and (m.until is null or m.until > now())
      and kairan.covers(m, array[is_muted.channel], is_muted.type)
  )
$$;
comment on function kairan.is_muted(text, text, text) is
  'Whether a user has muted this channel or this type (null: a notification without a type), by now().';

create function kairan.mutes_of(
  user_id text,
  out types text[],
  out channels text[],
  out until timestamptz
) language sql stable as $$
  select
    -- As patterns of LIKE, so that a row is compared with all of them at once.
    array_agg(
      regexp_replace(case when m.type like '%*' then left(m.type, -1) else m.type end, '[\\%_]', '\\\&', 'g')
      || case when m.type like '%*' then '%' else '' end
    ) filter (where m.type is not null),
    array_agg(m.channel) filter (where m.channel is not null),
    min(m.until)
  from kairan.mutes m
  where m.user_id = mutes_of.user_id and (m.until is null or m.until > now())
$$;
comment on function kairan.mutes_of(text) is
  'What a user has muted now: types, as patterns of LIKE, and channels, each null when there are none; and when the first of it ends.';

create function kairan.mutes_changed() returns trigger language plpgsql as $$
declare
  users text[];
  too_many text;
begin
  -- What has ended is no change, when it is removed.
  if tg_op = 'INSERT' then
    select array_agg(distinct a.user_id order by a.user_id) into users
    from added a where a.until is null or a.until > now();
  elsif tg_op = 'DELETE' then
    select array_agg(distinct r.user_id order by r.user_id) into users
    from removed r where r.until is null or r.until > now();
  elsif tg_op = 'UPDATE' then
    select array_agg(distinct u.user_id order by u.user_id) into users
    from (select * from added union all select * from removed) u where u.until is null or u.until > now();
  else
    perform kairan.reauthorize('*');
    return null;
  end if;
  if users is null then
    return null;
  end if;

  if tg_op <> 'DELETE' then
    select m.user_id into too_many
    from kairan.mutes m where m.user_id = any(users) group by m.user_id having count(*) > 200 limit 1;
    if found then
      raise exception 'kairan: the user % would have more than 200 mutes', too_many
        using errcode = 'program_limit_exceeded', hint = 'Remove some, or mute a beginning of types, like news.*.';
    end if;
  end if;

  -- The user's counts have changed: a client takes the one with the higher revision for the newer one.
  insert into kairan.inboxes (user_id, revision, head)
  select u, (extract(epoch from clock_timestamp()) * 1e6)::bigint, l.head from unnest(users) u cross join kairan.log l
  on conflict (user_id) do update
    set revision = greatest(inboxes.revision + 1, excluded.revision), head = greatest(inboxes.head, excluded.head);
  -- Not kairan.reauthorize_all: a user may be called *, and mutes for nobody else.
  if cardinality(users) > 1000 then
    perform kairan.reauthorize('*');
  else
    perform kairan.tell(jsonb_build_object('action', 'reauthorize', 'userIds', users));
  end if;
  return null;
end $$;
comment on function kairan.mutes_changed() is
  'Trigger: tells the instances who has muted something, once for each statement, however many rows it changed.';

create trigger mutes_added after insert on kairan.mutes
  referencing new table as added for each statement execute function kairan.mutes_changed();
comment on trigger mutes_added on kairan.mutes is 'Open streams send no more of what their user mutes.';
create trigger mutes_removed after delete on kairan.mutes
  referencing old table as removed for each statement execute function kairan.mutes_changed();
comment on trigger mutes_removed on kairan.mutes is 'Open streams send again what their user does not mute any more.';
create trigger mutes_updated after update on kairan.mutes
  referencing new table as added old table as removed for each statement execute function kairan.mutes_changed();
comment on trigger mutes_updated on kairan.mutes is 'Open streams follow what their user mutes.';
create trigger mutes_truncated after truncate on kairan.mutes
  for each statement execute function kairan.mutes_changed();
comment on trigger mutes_truncated on kairan.mutes is 'Nobody mutes anything any more.';

create function kairan.set_mutes(user_id text, mutes jsonb) returns void language plpgsql as $$
#variable_conflict use_column
begin
  -- One change of a user's at a time.
  insert into kairan.inboxes (user_id) values (set_mutes.user_id) on conflict do nothing;
  perform from kairan.inboxes i where i.user_id = set_mutes.user_id for update;
  with wanted as materialized (
    select distinct on (w.type, w.channel) w.type, w.channel, w.until
    from jsonb_to_recordset(mutes) w (type text, channel text, until timestamptz)
    where w.until is null or w.until > now()
    order by w.type, w.channel, w.until desc nulls first
  ),
  gone as (
    delete from kairan.mutes m
    where m.user_id = set_mutes.user_id
      and not exists (
        select from wanted w where (w.type, w.channel) is not distinct from (m.type, m.channel)
      )
  )
  -- What stays muted keeps its `since`.
  insert into kairan.mutes (user_id, type, channel, until)
  select set_mutes.user_id, w.type, w.channel, w.until from wanted w
  on conflict (user_id, type, channel) do update
    set until = excluded.until,
      since = case when mutes.until <= now() then now() else mutes.since end
    where mutes.until is distinct from excluded.until;
end $$;
comment on function kairan.set_mutes(text, jsonb) is
  'Replaces what a user has muted by [{"type" or "channel", "until"?}, …].';

create function kairan.prune_mutes(batch int default 1000) returns int language plpgsql as $$
declare
  removed int;
begin
  delete from kairan.mutes m
  using (
    select id from kairan.mutes where until < now() - interval '1 day' order by until limit batch
    for update skip locked
  ) old
  where m.id = old.id;
  get diagnostics removed = row_count;
  return removed;
end $$;
comment on function kairan.prune_mutes(int) is
  'Removes at most `batch` mutes that ended a day ago: until then, the dashboard can tell of them. Returns how many.';
