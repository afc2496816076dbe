-- Follow-ups: what has to reach a user in another way, because it was not received in time. Why none is made for what
-- was received before, and none is missing, is written in docs/guarantees.md.

create table kairan.follow_up_due (
  notification_id uuid not null,
  user_id text not null,
  seq bigint not null,
  due_at timestamptz not null,
  primary key (notification_id, user_id)
);
comment on table kairan.follow_up_due is
  'What was published with follow_up_after and has neither been received nor become due. kairan.number adds a row, whoever writes down that it was received removes it, and kairan.decide_follow_ups removes it when it is due.';
comment on column kairan.follow_up_due.notification_id is 'The notification.';
comment on column kairan.follow_up_due.user_id is 'Who should receive it.';
comment on column kairan.follow_up_due.seq is 'The position of its delivery; that of the first, if it was redelivered since.';
comment on column kairan.follow_up_due.due_at is 'When it has to be followed up: follow_up_after after it was numbered.';
create index follow_up_due_due_at on kairan.follow_up_due (due_at);
comment on index kairan.follow_up_due_due_at is 'Finds what is due.';
create index follow_up_due_user_id on kairan.follow_up_due (user_id, seq);
comment on index kairan.follow_up_due_user_id is 'Finds what a user has received.';

create table kairan.follow_ups (
  id bigint primary key generated always as identity,
  notification_id uuid not null,
  user_id text not null,
  channel text not null,
  type text,
  payload jsonb not null,
  published_at timestamptz not null,
  expires_at timestamptz,
  due_at timestamptz not null,
  created_at timestamptz not null default clock_timestamp(),
  available_at timestamptz not null default clock_timestamp(),
  attempts int not null default 0,
  first_taken_at timestamptz,
  taken_at timestamptz,
  taken_by text,
  finished_at timestamptz,
  error text,
  unique (notification_id, user_id),
  -- kairan_follower may write these two.
  constraint taken_by_of_at_most_200_characters check (char_length(taken_by) <= 200),
  constraint error_of_at_most_1000_characters check (char_length(error) <= 1000)
);
comment on table kairan.follow_ups is
  'Notifications that a user did not receive in time: to be sent in another way, by e-mail for example. Services get them by kairan.take_follow_ups, or WEBHOOK_URL does.';
comment on column kairan.follow_ups.id is 'Its number. A number can be missing.';
comment on column kairan.follow_ups.notification_id is 'The notification. There is one follow-up for each notification and user.';
comment on column kairan.follow_ups.user_id is 'Who has not received it.';
comment on column kairan.follow_ups.channel is 'The user''s channel.';
comment on column kairan.follow_ups.type is 'The type of the notification.';
comment on column kairan.follow_ups.payload is 'Its payload, as it was published.';
comment on column kairan.follow_ups.published_at is 'When it was published.';
comment on column kairan.follow_ups.expires_at is 'From then on the follow-up is not given to anybody any more.';
comment on column kairan.follow_ups.due_at is 'When the user should have received it.';
comment on column kairan.follow_ups.created_at is 'When it was decided that it needs this follow-up: within a second of due_at.';
comment on column kairan.follow_ups.available_at is 'From then on it can be taken. While it is taken: when it is given back.';
comment on column kairan.follow_ups.attempts is 'How often it was taken.';
comment on column kairan.follow_ups.first_taken_at is 'When it was taken first. A day later it is given up.';
comment on column kairan.follow_ups.taken_at is 'When it was taken last.';
comment on column kairan.follow_ups.taken_by is 'Who took it last: the login and its application_name.';
comment on column kairan.follow_ups.finished_at is 'When it was done, or given up.';
comment on column kairan.follow_ups.error is 'Why the last attempt failed; when it is finished, why it was given up. Null when it is done.';
create index follow_ups_available_at on kairan.follow_ups (available_at) where finished_at is null;
comment on index kairan.follow_ups_available_at is 'Finds what can be taken.';
create index follow_ups_finished_at on kairan.follow_ups (finished_at) where finished_at is not null;
comment on index kairan.follow_ups_finished_at is 'Finds what retention has passed.';
create index follow_ups_given_up on kairan.follow_ups (id) where finished_at is not null and error is not null;
comment on index kairan.follow_ups_given_up is 'Finds those that were given up.';

create function kairan.was_received(user_id text, notification_id uuid, seq bigint) returns boolean language plpgsql stable as $$
#variable_conflict use_column
begin
  return exists (
    select
    from (
      select was_received.seq as at
      union all
      select d.seq from kairan.numbered d
      where d.notification_id = was_received.notification_id and d.channel = 'user-' || was_received.user_id
    ) p
    where exists (
        select from kairan.receipts r
        where r.channel = 'user-' || was_received.user_id and r.user_id = was_received.user_id
          and r.seq >= p.at and r.since < p.at
      )
      or exists (
        select from kairan.inboxes i
        where i.user_id = was_received.user_id and (i.seen >= p.at or i.read @> p.at or i.archived @> p.at)
      )
  );
end $$;
comment on function kairan.was_received(text, uuid, bigint) is
  'Whether the user has a notification that was delivered on the user''s channel at this position, or again later: whether a client has proven to have it, or it was seen, read or archived.';

create function kairan.drop_follow_ups(user_id text, spans int8multirange) returns void language plpgsql
  set plan_cache_mode = force_generic_plan
  set enable_seqscan = off
  set enable_bitmapscan = off
  set enable_hashjoin = off
  set enable_mergejoin = off
  set jit = off
as $$
#variable_conflict use_column
begin
  -- A row that is locked is being decided, or removed for the same reason: nobody waits for it.
  delete from kairan.follow_up_due f
  using (
    select o.notification_id from kairan.follow_up_due o
    where o.user_id = drop_follow_ups.user_id and o.seq >= lower(spans) and o.seq < upper(spans) and spans @> o.seq
    for update skip locked
  ) received
  where f.user_id = drop_follow_ups.user_id and f.notification_id = received.notification_id;
end $$;
comment on function kairan.drop_follow_ups(text, int8multirange) is
  'What the user has received at these positions needs no follow-up.';

create function kairan.drop_received(news kairan.receipts[]) returns void language plpgsql
  set plan_cache_mode = force_generic_plan
  set enable_seqscan = off
  set enable_bitmapscan = off
  set enable_hashjoin = off
  set enable_mergejoin = off
  set jit = off
as $$
begin
  delete from kairan.follow_up_due f
  using (
    select o.notification_id, o.user_id
    from unnest(news) p
    join kairan.follow_up_due o on o.user_id = p.user_id and o.seq > p.since and o.seq <= p.seq
    where p.channel = 'user-' || p.user_id
    for update of o skip locked
  ) received
  where f.notification_id = received.notification_id and f.user_id = received.user_id;
end $$;
comment on function kairan.drop_received(kairan.receipts[]) is 'What these receipts cover needs no follow-up.';

create function kairan.decide_follow_ups(
  after timestamptz default '-infinity',
  most int default 500,
  out looked int,
  out made int,
  out reached timestamptz
) language plpgsql
  set plan_cache_mode = force_generic_plan
  set enable_seqscan = off
  set enable_bitmapscan = off
  set enable_hashjoin = off
  set enable_mergejoin = off
  set jit = off
as $$
declare
  -- What clients have just proven is written in batches: it counts if it is there a moment later.
  until timestamptz := statement_timestamp() - interval '300 milliseconds';
begin
  with due as materialized (
    select d.*
    from (
      select l.*, sum(coalesce(n.bytes, 0)::bigint) over (order by l.due_at, l.seq) - n.bytes as before
      from (
        select * from kairan.follow_up_due f
        where f.due_at > after and f.due_at <= until order by f.due_at limit most
        for update skip locked
      ) l
      left join kairan.notifications n on n.id = l.notification_id
    ) d
    -- Each gets its copy of the payload, and a statement has its time. The rest is for the next call.
    where coalesce(d.before, 0) < 8388608
  ),
  gone as (
    delete from kairan.follow_up_due f using due d
    where f.notification_id = d.notification_id and f.user_id = d.user_id
  ),
  added as (
    insert into kairan.follow_ups (
      notification_id, user_id, channel, type, payload, published_at, expires_at, due_at
    )
    select n.id, d.user_id, 'user-' || d.user_id, n.type, n.payload, n.created_at, n.expires_at, d.due_at
    from due d
    join kairan.notifications n on n.id = d.notification_id
    where (n.expires_at is null or n.expires_at > clock_timestamp())
      and not kairan.was_received(d.user_id, n.id, d.seq)
      and not kairan.is_muted(d.user_id, 'user-' || d.user_id, n.type)
    order by d.due_at, d.seq
    on conflict (notification_id, user_id) do nothing
    returning 1
  )
  select count(*), (select count(*) from added), max(d.due_at) into looked, made, reached from due d;
exception when unique_violation then
  -- A copy of the rows alone has left the sequence of the numbers behind.
  perform setval(pg_get_serial_sequence('kairan.follow_ups', 'id'), (select max(f.id) from kairan.follow_ups f));
  looked := 1;
  made := 0;
end $$;
comment on function kairan.decide_follow_ups(timestamptz, int) is
  'Decides about at most `most` of what has become due since `after`: makes follow-ups of what was not received. Returns at how many it looked, how many follow-ups it made, and how far it came. Any number of instances may call it.';

create function kairan.take_follow_ups(n int, give_back_after interval default '5 minutes')
  returns setof kairan.follow_ups language plpgsql as $$
#variable_conflict use_column
declare
  size int := n;
  found_some boolean;
  there_may_be_more boolean;
begin
  if n is null or n not between 1 and 1000 then
    raise exception 'kairan: 1 to 1000 follow-ups can be taken at once, not %', coalesce(n::text, 'null')
      using errcode = 'invalid_parameter_value', hint = 'Take some, finish them, and take the next.';
  end if;
  if give_back_after is null or give_back_after not between interval '1 second' and interval '1 day' then
    raise exception 'kairan: follow-ups are given back after 1 second to 1 day, not %', coalesce(give_back_after::text, 'null')
      using errcode = 'invalid_parameter_value', hint = 'Name a time in which all that you take at once can be sent.';
  end if;
  -- Not for ever: a million may have expired while nobody took them. The rest is for the next call.
  for attempt in 1..10 loop
    return query
    with next as materialized (
      select f.id, f.available_at, case
          when coalesce(m.expires_at, f.expires_at) = '-infinity' then 'withdrawn'
          when coalesce(m.expires_at, f.expires_at) <= clock_timestamp() then 'expired'
          when f.first_taken_at < clock_timestamp() - interval '1 day'
            then left('given up after a day: ' || coalesce(f.error, 'it was taken, and not finished'), 1000)
        end as reason
      from kairan.follow_ups f
      left join kairan.notifications m on m.id = f.notification_id
      where f.finished_at is null and f.available_at <= clock_timestamp()
      order by f.available_at limit size
      for update of f skip locked
    ),
    chosen as (
      select o.id, o.reason
      from (select x.*, row_number() over (partition by x.reason is null order by x.available_at) as nth from next x) o
      where o.reason is not null or o.nth <= n
    ),
    changed as (
      update kairan.follow_ups f set
        attempts = case when x.reason is null then least(f.attempts, 2147483646) + 1 else f.attempts end,
        first_taken_at = case when x.reason is null then coalesce(f.first_taken_at, clock_timestamp()) else f.first_taken_at end,
        taken_at = case when x.reason is null then clock_timestamp() else f.taken_at end,
        taken_by = case when x.reason is null
          then concat_ws(' ', session_user, nullif(current_setting('application_name'), '')) else f.taken_by end,
        available_at = clock_timestamp() + give_back_after,
        finished_at = case when x.reason is not null then clock_timestamp() end,
        error = coalesce(x.reason, f.error)
      from chosen x where f.id = x.id
      returning f.*
    )
    select c.* from changed c where c.finished_at is null order by c.id;
    found_some := found;
    -- Those that nobody needs any more do not count.
    select exists (
      select from kairan.follow_ups f
      where not found_some and f.finished_at is null and f.available_at <= clock_timestamp()
      for update skip locked limit 1
    ) into there_may_be_more;
    exit when not there_may_be_more;
    -- Each look passes by all that the looks before have finished, so few at a time would take the square of the time.
    size := 2000;
  end loop;
end $$;
comment on function kairan.take_follow_ups(int, interval) is
  'Takes at most n follow-ups: nobody else gets them until give_back_after has passed. Call it in a transaction of its own, send each, and call kairan.finish_follow_up. What is not finished by then is given back, so one can be sent twice, but none is lost. When thousands have expired or were withdrawn since, a call may return none although there are more.';

create function kairan.finish_follow_up(id bigint, error text, attempt int) returns boolean language plpgsql as $$
#variable_conflict use_column
begin
  update kairan.follow_ups f set finished_at = clock_timestamp(), error = left(finish_follow_up.error, 1000)
  where f.id = finish_follow_up.id and f.finished_at is null
    -- That it was sent is true whoever says so. That it can not be sent, another one may be finding out anew.
    and (finish_follow_up.error is null or finish_follow_up.attempt is null or f.attempts = finish_follow_up.attempt);
  return found;
end $$;
comment on function kairan.finish_follow_up(bigint, text, int) is
  'The same by a worker that names its attempt, as kairan.take_follow_ups returned it: an error of one that was given back meanwhile and taken again is ignored, and the result is false.';

create function kairan.finish_follow_up(id bigint, error text default null) returns boolean language sql as $$
  select kairan.finish_follow_up(id, error, null)
$$;
comment on function kairan.finish_follow_up(bigint, text) is
  'A follow-up is done; with an error, it can not be done and is given up. False when it was finished before.';

create function kairan.postpone_follow_up(id bigint, error text, delay interval, attempt int)
  returns timestamptz language plpgsql as $$
#variable_conflict use_column
declare
  result timestamptz;
begin
  update kairan.follow_ups f set
    error = left(case when x.is_last then 'given up after a day: ' else '' end || coalesce(postpone_follow_up.error, 'it failed'), 1000),
    finished_at = case when x.is_last then clock_timestamp() end,
    available_at = x.next
  from (
    select p.next, p.next - interval '1 day' > p.first_taken_at as is_last
    from (
      -- Longer each time, up to an hour; not those that failed together at once again.
      select o.first_taken_at, clock_timestamp() + greatest(
        interval '5 seconds' * least(2 ^ (least(greatest(o.attempts, 1), 11) - 1), 720) * (0.75 + random() / 2),
        coalesce(delay, interval '0')
      ) as next
      from kairan.follow_ups o where o.id = postpone_follow_up.id
    ) p
  ) x
  where f.id = postpone_follow_up.id and f.finished_at is null
    and (postpone_follow_up.attempt is null or f.attempts = postpone_follow_up.attempt)
  returning case when f.finished_at is null then f.available_at end into result;
  return result;
end $$;
comment on function kairan.postpone_follow_up(bigint, text, interval, int) is
  'The same by a worker that names its attempt, as kairan.take_follow_ups returned it: one that was given back meanwhile and taken again stays with who has it, and the result is null.';

create function kairan.postpone_follow_up(id bigint, error text, delay interval default null)
  returns timestamptz language sql as $$
  select kairan.postpone_follow_up(id, error, delay, null)
$$;
comment on function kairan.postpone_follow_up(bigint, text, interval) is
  'Gives a follow-up back that could not be sent now. It can be taken again after some seconds, after the second attempt after twice as long, and so on up to an hour, and not before `delay`. A day after it was first taken it is given up instead. Returns when it can be taken; null when it is finished.';

create function kairan.retry_follow_up(id bigint) returns boolean language plpgsql as $$
#variable_conflict use_column
begin
  update kairan.follow_ups f
  set finished_at = null, error = null, first_taken_at = null, available_at = clock_timestamp()
  where f.id = retry_follow_up.id and f.finished_at is not null and f.error is not null
    and f.error not in ('withdrawn', 'expired');
  return found;
end $$;
comment on function kairan.retry_follow_up(bigint) is
  'A follow-up that was given up can be taken again, for another day. False when it was not given up, and when its notification was withdrawn or expired.';

create function kairan.prune_follow_ups(keep interval, batch int default 1000) returns int language plpgsql as $$
declare
  removed int;
  total int := 0;
begin
  update kairan.follow_ups f set finished_at = clock_timestamp(), error = 'given up: nobody took it'
  from (
    select id from kairan.follow_ups
    where finished_at is null and available_at < now() - keep order by available_at limit batch
    for update skip locked
  ) old
  where f.id = old.id;
  get diagnostics removed = row_count;
  total := total + removed;
  delete from kairan.follow_ups f
  using (
    select id from kairan.follow_ups where finished_at < now() - keep order by finished_at limit batch
    for update skip locked
  ) old
  where f.id = old.id;
  get diagnostics removed = row_count;
  return total + removed;
end $$;
comment on function kairan.prune_follow_ups(interval, int) is
  'Removes at most `batch` follow-ups that were finished `keep` ago, and gives up as many that nobody has taken for so long. Returns how many of both.';
