-- Who numbers: one instance at a time, by a lease. It only saves work. Numbering is exact whoever does it, see
-- docs/guarantees.md.

create table kairan.leases (
  term bigint primary key,
  instance_id text not null,
  backend int not null,
  backend_start timestamptz,
  at timestamptz not null default clock_timestamp()
);
comment on table kairan.leases is
  'Which instance numbers: the newest row counts. One row for each time that another instance, or another session of the same one, has begun to.';
comment on column kairan.leases.term is 'Its number: one more than that of the lease before.';
comment on column kairan.leases.instance_id is 'The instance, as in kairan.instances.';
comment on column kairan.leases.backend is 'The process of Postgres that serves its session. When that has ended, the lease has.';
comment on column kairan.leases.backend_start is 'When that process began: its number may be given again.';
comment on column kairan.leases.at is 'Since when.';

create sequence kairan.led_until as bigint minvalue 1;
comment on sequence kairan.led_until is
  'Until then (Unix milliseconds, by the clock of Postgres) the newest lease holds if its instance says nothing more. A sequence, because it is written several times a second: a row would leave a version each time. Not an unlogged one: a standby that takes over before its first restartpoint can not read those.';

create function kairan.hold_lease(instance_id text, lease_ms int) returns bigint language plpgsql as $$
#variable_conflict use_column
declare
  last kairan.leases;
  until bigint;
  clock bigint;
begin
  select * into last from kairan.leases l order by l.term desc limit 1;
  -- In this order: who takes the lease says until when before its row can be seen.
  until := coalesce(pg_sequence_last_value('kairan.led_until'), 0);
  clock := date_part('epoch', clock_timestamp()) * 1000;
  if last.instance_id = hold_lease.instance_id and last.backend = pg_backend_pid() then
    -- Nothing is lost with it in a crash, as its session has ended then, too.
    perform set_config('synchronous_commit', 'off', true);
    perform setval('kairan.led_until', clock + lease_ms);
    return last.term;
  end if;
  -- One that ends much later was written before the clock was set back.
  if until between clock and clock + 2 * lease_ms and exists (
    select from pg_stat_get_activity(last.backend) a
    -- Null for another login's session, whose end is then noticed by the time.
    where a.backend_start is null or a.backend_start = last.backend_start
  ) then
    return null;
  end if;
  perform from kairan.locks where name = 'leading' for update skip locked;
  if not found or exists (select from kairan.leases l where l.term > coalesce(last.term, 0)) then
    return null; -- Another one was faster.
  end if;
  insert into kairan.leases (term, instance_id, backend, backend_start)
  select coalesce(last.term, 0) + 1, hold_lease.instance_id, pg_backend_pid(), a.backend_start
  from pg_stat_get_activity(pg_backend_pid()) a;
  perform setval('kairan.led_until', clock + lease_ms);
  -- Publishers ring again: who numbered until now may not hear of them any more.
  perform setval('kairan.awake_until', 1000);
  -- Who stands still in the midst of a large answer, or is cut off, has numbered and not committed: until the client
  -- reads on, which may be never, nobody else can number. A statement that waits so can't be cancelled.
  begin
    perform pg_terminate_backend(a.pid) from pg_stat_get_activity(last.backend) a
    where a.backend_start = last.backend_start and a.wait_event = 'ClientWrite';
  exception when insufficient_privilege then
    raise warning 'kairan: this login may not end the session of the instance that has numbered';
  end;
  return coalesce(last.term, 0) + 1;
end $$;
comment on function kairan.hold_lease(text, int) is
  'Renews the lease of this instance, or takes one when nobody has it: no other session, or none that has renewed it within lease_ms. Ends the session of the one before if its client does not read. Returns its term; null when another instance has it. For the session that numbers.';

create function kairan.resign(instance_id text) returns void language sql as $$
  select setval('kairan.led_until', 1)
  from (select * from kairan.leases l order by l.term desc limit 1) last
  where last.instance_id = resign.instance_id
$$;
comment on function kairan.resign(text) is 'Gives up the lease of this instance, if it has it: another one may take it at once.';

create function kairan.prune_leases() returns int language plpgsql as $$
declare
  removed int;
begin
  delete from kairan.leases l
  where l.term < (select max(n.term) from kairan.leases n) - 100 and l.at < now() - interval '1 day';
  get diagnostics removed = row_count;
  return removed;
end $$;
comment on function kairan.prune_leases() is
  'Removes leases that are older than a day, but for the newest hundred. Returns how many.';

create table kairan.relay_key (
  one boolean primary key default true check (one),
  key bytea not null check (octet_length(key) = 32)
);
comment on table kairan.relay_key is
  'One row: the key by which instances seal what they send each other. Anybody can send and receive a NOTIFY, so only the service may read it.';
comment on column kairan.relay_key.one is 'Keeps it at one row.';
comment on column kairan.relay_key.key is 'Of AES-256-GCM. To replace it, update the row: instances read it again within seconds.';
-- 32 bytes of 366 random bits.
insert into kairan.relay_key (key)
values (sha256(uuid_send(gen_random_uuid()) || uuid_send(gen_random_uuid()) || uuid_send(gen_random_uuid())));
