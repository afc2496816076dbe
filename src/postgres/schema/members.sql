-- Who may read the application's own channels.

create table kairan.members (
  channel text not null,
  user_id text not null,
  since timestamptz,
  -- Set by a trigger, once for each statement: a trigger for each row would take longer than the row.
  joined_at bigint not null default coalesce(nullif(pg_catalog.current_setting('kairan.joined_at', true), '')::bigint, 0),
  shown_above bigint not null default coalesce(nullif(pg_catalog.current_setting('kairan.joined_at', true), '')::bigint, 0),
  primary key (channel, user_id),
  -- What kairan.is_channel says, written out: who inserts needs no right to call a function of Kairan's.
  constraint channel_of_your_own_without_spaces_commas_and_stars check (
    char_length(channel) <= 250 and channel ~ '^[^\u0001-\u0020\u007f,*]+$'
  ),
  constraint channel_that_has_no_readers_by_its_name check (channel !~ '^(user-|all-users$|admin-dashboard$)'),
  constraint user_id_or_a_star_for_everyone check (
    char_length(user_id) <= 200 and user_id ~ '^[^\u0001-\u0020\u007f,]+$'
  ),
  -- As far as JavaScript counts: see kairan.follow_server. The inbox calculates with them.
  constraint joined_at_and_shown_above_in_the_log check (
    joined_at between 0 and 9007199254740991 and shown_above between 0 and 9007199254740991
  )
);
comment on table kairan.members is
  'Who may read which channel of the application''s own. A change reaches open streams when it commits.';
comment on column kairan.members.channel is
  'A channel, but none of user-{user id}, all-users and admin-dashboard: their names say who reads them.';
comment on column kairan.members.user_id is 'The user''s id, as in the sub of the token; * for everyone who is signed in.';

comment on column kairan.members.since is
  'From when on the member sees in the inbox what was published on the channel. Null: from the join on; -infinity: all that is kept. What is older than the join counts as read.';
comment on column kairan.members.joined_at is 'Where the log ended at the join. Filled in by a trigger.';
comment on column kairan.members.shown_above is 'The position above which the inbox shows the channel. Filled in by a trigger.';

create index members_user_id on kairan.members (user_id, channel);
comment on index kairan.members_user_id is 'Finds the channels of a user.';

create function kairan.note_joining() returns trigger language plpgsql as $$
begin
  perform set_config('kairan.joined_at', l.head::text, true) from kairan.log l;
  return null;
end $$;
comment on function kairan.note_joining() is 'Trigger: notes where the log is when members join, for the columns'' defaults.';

create trigger members_joining before insert on kairan.members
  for each statement execute function kairan.note_joining();
comment on trigger members_joining on kairan.members is 'The inbox shows a channel from the join on.';

create function kairan.place_member() returns trigger language plpgsql as $$
declare
  wanted text;
  known text[];
begin
  if tg_op = 'UPDATE' then
    if (new.channel, new.user_id) is distinct from (old.channel, old.user_id) then
      select l.head into new.joined_at from kairan.log l;
    end if;
    new.shown_above := new.joined_at;
  end if;
  if new.since = '-infinity' then
    new.shown_above := 0;
  elsif new.since is not null then
    -- Looked up once for those who join a channel together: there may be thousands, and the log of the channel is long.
    wanted := concat_ws(' ', new.joined_at, extract(epoch from new.since), new.channel);
    known := nullif(current_setting('kairan.shown_above', true), '')::text[];
    if known[1] = wanted then
      new.shown_above := known[2];
      return new;
    end if;
    -- The newest that is older. Of what two transactions published at the same time, the log may have either first.
    new.shown_above := coalesce((
      select d.seq from kairan.numbered d
      where (d.channel, d.seq) <= (new.channel, new.joined_at) and d.channel >= new.channel and d.created_at < new.since
      order by d.channel desc, d.seq desc limit 1
    ), 0);
    perform set_config('kairan.shown_above', array[wanted, new.shown_above::text]::text, true);
  end if;
  return new;
end $$;
comment on function kairan.place_member() is 'Trigger: finds from where on a member sees a channel.';

create trigger members_placed before insert on kairan.members
  for each row when (new.since is not null) execute function kairan.place_member();
comment on trigger members_placed on kairan.members is 'Some see what is older than their joining.';

create trigger members_placed_again before update on kairan.members
  for each row execute function kairan.place_member();
comment on trigger members_placed_again on kairan.members is 'Who is moved to another channel joins it.';

create function kairan.members_changed() returns trigger language plpgsql as $$
declare
  users text[];
  -- One more than kairan.reauthorize_all names.
  most constant int := 1001;
begin
  if tg_op = 'INSERT' then
    select array_agg(u.user_id) into users from (select distinct a.user_id from added a limit most) u;
  elsif tg_op = 'DELETE' then
    select array_agg(u.user_id) into users from (select distinct r.user_id from removed r limit most) u;
  elsif tg_op = 'UPDATE' then
    select array_agg(u.user_id) into users
    from (select a.user_id from added a union select r.user_id from removed r limit most) u;
  else
    users := '{*}';
  end if;
  perform kairan.reauthorize_all(users);
  return null;
end $$;
comment on function kairan.members_changed() is
  'Trigger: tells the instances whose channels have changed, once for each statement, however many rows it changed.';

create trigger members_joined after insert on kairan.members
  referencing new table as added for each statement execute function kairan.members_changed();
comment on trigger members_joined on kairan.members is 'Those who join a channel get it on their open streams.';

create trigger members_left after delete on kairan.members
  referencing old table as removed for each statement execute function kairan.members_changed();
comment on trigger members_left on kairan.members is 'Those who leave a channel lose it on their open streams.';

create trigger members_moved after update on kairan.members
  referencing new table as added old table as removed for each statement execute function kairan.members_changed();
comment on trigger members_moved on kairan.members is 'Those who are moved get their channels on their open streams.';

create trigger members_truncated after truncate on kairan.members
  for each statement execute function kairan.members_changed();
comment on trigger members_truncated on kairan.members is 'Everybody loses what was a member''s.';
