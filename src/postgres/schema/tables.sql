-- Kairan's tables. Services write `notifications`; everything else is written by Kairan.

create table kairan.notifications (
  -- What kairan.uuid_v7 does, written out: a default is evaluated as the role that inserts, which then needs
  -- no right to call a function of Kairan's.
  id uuid primary key default encode(
    set_bit(set_bit(
      overlay(
        uuid_send(gen_random_uuid())
        placing substring(int8send((extract(epoch from clock_timestamp()) * 1000)::bigint) from 3)
        from 1 for 6
      ), 52, 1), 53, 1),
    'hex')::uuid,
  channels text[] not null,
  payload jsonb not null,
  type text,
  dedupe_key text,
  expires_at timestamptz,
  created_at timestamptz not null default clock_timestamp(),
  bytes int not null,
  -- Without the setting it is null, and null takes no room in a row.
  traceparent text default nullif(pg_catalog.current_setting('kairan.traceparent', true), '')
);
comment on table kairan.notifications is
  'What someone should hear of. Insert here, or call kairan.publish: it goes out when the transaction commits.';
comment on column kairan.notifications.id is 'UUID version 7 by default, so that new rows lie together in the index.';
comment on column kairan.notifications.channels is 'One to 1000 of: user-{user id}, all-users, admin-dashboard. Each becomes a delivery.';
comment on column kairan.notifications.payload is 'A JSON object of at most MAX_EVENT_BYTES, measured as Postgres prints it.';
comment on column kairan.notifications.type is 'What happened, for example order.shipped. At most 200 characters.';
comment on column kairan.notifications.dedupe_key is 'At most one notification is kept with this key: a repeated publish returns the first one''s id. At most 200 characters.';
comment on column kairan.notifications.expires_at is 'From then on it is not sent any more: its pending deliveries become failed, with the error "expired".';
comment on column kairan.notifications.created_at is 'When it was published; its place in the order is the seq of its deliveries.';
comment on column kairan.notifications.bytes is 'The size of the payload''s text, filled in by a trigger. Whoever reads the log takes as many at once as fit into its memory.';
comment on column kairan.notifications.traceparent is
  'The W3C trace context of who published it, if that is traced: by default the setting kairan.traceparent of the transaction. What is none is ignored.';

create unique index notifications_dedupe_key on kairan.notifications (dedupe_key) where dedupe_key is not null;
comment on index kairan.notifications_dedupe_key is 'Finds the notification that was already published with a dedupe_key.';

create index notifications_expires_at on kairan.notifications (expires_at) where expires_at is not null;
comment on index kairan.notifications_expires_at is 'Finds what has expired since it was last looked for.';

create table kairan.deliveries (
  id bigint generated always as identity,
  notification_id uuid not null,
  channel text not null,
  -- Only Kairan writes it. A check constraint would be read from its text at each insert.
  status text not null default 'pending',
  error text,
  recipients int not null default 0,
  seq bigint,
  created_at timestamptz not null default clock_timestamp(),
  delivered_at timestamptz,
  primary key (notification_id, channel)
) with (
  -- Each row is updated twice (its seq, its status): leave room on the page, vacuum early.
  fillfactor = 70,
  autovacuum_vacuum_scale_factor = 0.02,
  autovacuum_analyze_scale_factor = 0.05
);
comment on table kairan.deliveries is
  'One notification on one channel, and what became of it. In the order of seq they are the log that streams read.';
comment on column kairan.deliveries.id is 'The order of insertion. Drawn before commit, so it is not a position to resume from: seq is.';
comment on column kairan.deliveries.notification_id is 'The notification. No foreign key: checking one would lock the notification''s row for every delivery.';
comment on column kairan.deliveries.channel is 'The channel: user-{user id}, all-users or admin-dashboard.';
comment on column kairan.deliveries.status is 'pending; delivered, when it was handed to at least one open stream; failed, with the reason in error.';
comment on column kairan.deliveries.error is 'Why it failed.';
comment on column kairan.deliveries.recipients is 'How many streams it was handed to, on all instances.';
comment on column kairan.deliveries.seq is 'Its position in the log: in commit order, the same for everyone. Null until kairan.sequence has numbered it, a moment after commit.';
comment on column kairan.deliveries.created_at is 'When it was published.';
comment on column kairan.deliveries.delivered_at is 'When it was first handed to a stream.';

create unique index deliveries_seq on kairan.deliveries (seq) where seq is not null;
comment on index kairan.deliveries_seq is 'Each instance reads the log along this.';

create index deliveries_channel_seq on kairan.deliveries (channel, seq) where seq is not null;
comment on index kairan.deliveries_channel_seq is 'A returning stream reads what its channels have missed along this.';

create index deliveries_unsequenced on kairan.deliveries (id) where seq is null;
comment on index kairan.deliveries_unsequenced is 'kairan.sequence finds what it has to number.';

-- Not before it has its seq: nobody looks for it until then, and publishing would pay for it.
create index deliveries_pending on kairan.deliveries (channel, seq) where status = 'pending' and seq is not null;
comment on index kairan.deliveries_pending is 'A user who connects without a cursor is first sent what is pending.';

create table kairan.log (
  one boolean primary key default true check (one),
  epoch text not null default substr(md5(random()::text || clock_timestamp()::text), 1, 8),
  head bigint not null default 0,
  floor bigint not null default 0,
  server_started timestamptz
) with (fillfactor = 10);
comment on table kairan.log is 'One row: the state of the log. Its row lock lets one instance at a time number deliveries.';
comment on column kairan.log.one is 'Keeps it at one row.';
comment on column kairan.log.epoch is 'Which log this is. It is part of every cursor, so that one of another database is noticed.';
comment on column kairan.log.head is 'The seq given last.';
comment on column kairan.log.floor is 'Deliveries up to this seq may be gone. A cursor below it has a gap.';
comment on column kairan.log.server_started is 'When the Postgres that gave the head was started. Another value means that numbers may have been lost.';

insert into kairan.log default values;

create table kairan.locks (name text primary key, purpose text not null);
comment on table kairan.locks is
  'Rows that never change. One instance at a time does what it has the lock of the row for. Rows have grants; an advisory lock can be taken by any login.';
comment on column kairan.locks.name is 'Its name.';
comment on column kairan.locks.purpose is 'What it is for.';

create sequence kairan.max_event_bytes as int minvalue 1;
select setval('kairan.max_event_bytes', 65536);
comment on sequence kairan.max_event_bytes is
  'MAX_EVENT_BYTES: the largest payload, in bytes of its text. Written by the service when it starts. A sequence, because its value can be had without a query: reading a table took a sixth of a publish.';
