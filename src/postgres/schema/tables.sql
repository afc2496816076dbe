-- Kairan's tables. Services write `notifications`; everything else is written by Kairan.

create table kairan.notifications (
  -- RFC 9562: 48 bits of Unix milliseconds over a random UUID, whose version bits change from 4 to 7. Written out, as a
  -- default is evaluated as the role that inserts, which then needs no right to call a function of Kairan's.
  id uuid primary key default encode(
    set_bit(set_bit(
      overlay(
        uuid_send(gen_random_uuid())
        placing substring(int8send((date_part('epoch', clock_timestamp()) * 1000)::bigint) from 3)
        from 1 for 6
      ), 52, 1), 53, 1),
    'hex')::uuid,
  channels text[] not null,
  payload jsonb not null,
  type text,
  dedupe_key text,
  expires_at timestamptz,
  follow_up_after interval,
  created_at timestamptz not null default clock_timestamp(),
  bytes int not null,
  -- Without the setting it is null, and null takes no room in a row.
  traceparent text default nullif(pg_catalog.current_setting('kairan.traceparent', true), ''),
  publisher text,
  -- The order of these two matters: a row's place is drawn after its transaction has its id.
  xid xid8 not null default pg_current_xact_id(),
  place bigint not null generated always as identity
) with (
  -- Updates are rare; index pages are cleaned after what retention removes.
  autovacuum_vacuum_scale_factor = 0.05,
  autovacuum_analyze_scale_factor = 0.05
);
-- Postgres 18 has it built in: 7 % of a publish less.
do $$ begin
  if to_regprocedure('pg_catalog.uuidv7()') is not null then
    alter table kairan.notifications alter id set default pg_catalog.uuidv7();
  end if;
end $$;
comment on table kairan.notifications is
  'What someone should hear of. Insert here, or call kairan.publish: it goes out when the transaction commits. Only kairan.withdraw updates a row.';
comment on column kairan.notifications.id is 'UUID version 7 by default, so that new rows lie together in the index.';
comment on column kairan.notifications.channels is 'One to 1000 channels, see kairan.is_channel. Each becomes a delivery.';
comment on column kairan.notifications.payload is 'A JSON object of at most MAX_EVENT_BYTES, measured as Postgres prints it.';
comment on column kairan.notifications.type is 'What happened, for example order.shipped. At most 200 characters.';
comment on column kairan.notifications.dedupe_key is 'At most one notification of the same publisher is kept with this key: a repeated publish returns the first one''s id. At most 200 characters.';
comment on column kairan.notifications.expires_at is 'From then on it is not sent any more: its pending deliveries become failed, with the error "expired". -infinity: it was withdrawn, see kairan.withdraw.';
comment on column kairan.notifications.follow_up_after is 'If a user whose channel it is on has not received it by then, counted from when it is numbered, it becomes a row of kairan.follow_ups. 1 second to 30 days; for user- channels only.';
comment on column kairan.notifications.created_at is 'When it was published; its place in the order is the seq of its deliveries.';
comment on column kairan.notifications.bytes is 'The size of the payload''s text, filled in by a trigger. Whoever reads the log takes as many at once as fit into its memory.';
comment on column kairan.notifications.traceparent is
  'The W3C trace context of who published it, if that is traced: by default the setting kairan.traceparent of the transaction. What is none is ignored.';
comment on column kairan.notifications.publisher is
  'Whose dedupe_key it is: role:{database role} or token:{sub}. Null without a dedupe_key. Filled in by a trigger.';
comment on column kairan.notifications.xid is 'The transaction that published it. kairan.number finds by it what was committed since it last looked.';
comment on column kairan.notifications.place is 'The order of insertion. Drawn before commit, so it is not a position to resume from: that is the seq of a delivery.';

create unique index notifications_dedupe_key on kairan.notifications (publisher, dedupe_key) where dedupe_key is not null;
comment on index kairan.notifications_dedupe_key is 'Finds the notification that was already published with a dedupe_key.';
create index notifications_expires_at on kairan.notifications (expires_at, place) where expires_at is not null;
comment on index kairan.notifications_expires_at is 'Finds what has expired since it was last looked for.';
create index notifications_xid on kairan.notifications (xid, place);
comment on index kairan.notifications_xid is 'Finds what a transaction published that was still open when kairan.number looked last.';
create index notifications_place on kairan.notifications (place);
comment on index kairan.notifications_place is 'Finds what was published since kairan.number looked last, in the order of insertion.';

create table kairan.numbered (
  seq bigint primary key,
  notification_id uuid not null,
  created_at timestamptz not null,
  delivered_at timestamptz,
  recipients int not null default 0,
  status "char" not null default 'p',
  channel text not null,
  type text,
  error text,
  -- Null takes no room in a row.
  expires_at timestamptz,
  several boolean
) with (
  -- Each row is updated once, and no index has what changes: with room on its page the new version needs no
  -- entry in any index (HOT), 1.2 µs instead of 7.3.
  fillfactor = 45,
  autovacuum_vacuum_scale_factor = 0.05,
  autovacuum_analyze_scale_factor = 0.05
);
comment on table kairan.numbered is
  'The log: the deliveries that have their position. kairan.deliveries shows them together with those that have not.';
comment on column kairan.numbered.seq is 'Its position in the log: in commit order, the same for everyone.';
comment on column kairan.numbered.notification_id is 'The notification. No foreign key: checking one would lock the notification''s row for every delivery.';
comment on column kairan.numbered.created_at is 'When it was published.';
comment on column kairan.numbered.delivered_at is 'When a stream first took it.';
comment on column kairan.numbered.recipients is 'How many streams took it, on all instances.';
comment on column kairan.numbered.status is
  'p: pending. d: delivered, a stream took it. l: delivered, but only on the live path, so it is still sent to a user who connects without a cursor. f: failed.';
comment on column kairan.numbered.channel is 'The channel.';
comment on column kairan.numbered.type is 'The notification''s type, so that an index can find it on a channel.';
comment on column kairan.numbered.error is 'Why it failed.';
comment on column kairan.numbered.expires_at is 'As in kairan.notifications, or that is in kairan.unsettled: so the inbox counts without a look there.';
comment on column kairan.numbered.several is 'True where the notification has other deliveries. Null where it has none, or is in kairan.redeliveries.';

create index numbered_notification on kairan.numbered (notification_id);
comment on index kairan.numbered_notification is 'Finds the deliveries of a notification.';
create index numbered_channel on kairan.numbered (channel, seq);
comment on index kairan.numbered_channel is 'A returning stream reads what its channels have missed along this.';
create index numbered_type on kairan.numbered (channel, type, seq) where type is not null;
comment on index kairan.numbered_type is 'The inbox finds notifications of a type along this.';
create index numbered_created_at on kairan.numbered (created_at);
comment on index kairan.numbered_created_at is 'Finds the deliveries of a time. Not BRIN: its ranges only grow, so when new rows have taken the room of old ones each query would read the whole table; and to summarise it, autovacuum cancels its own vacuum of the table.';

create table kairan.redeliveries (
  notification_id uuid not null,
  channels text[] not null,
  xid xid8 not null default pg_current_xact_id(),
  place bigint not null
);
comment on table kairan.redeliveries is 'Deliveries that get a new position: numbered like notifications, from which they have all else.';
comment on column kairan.redeliveries.notification_id is 'The notification.';
comment on column kairan.redeliveries.channels is 'On these of its channels.';
comment on column kairan.redeliveries.xid is 'The transaction that asked for it.';
comment on column kairan.redeliveries.place is 'Drawn from the same sequence as the place of notifications.';
create index redeliveries_xid on kairan.redeliveries (xid, place);
comment on index kairan.redeliveries_xid is 'Finds what a transaction asked for that was still open when kairan.number looked last.';
create index redeliveries_place on kairan.redeliveries (place);
comment on index kairan.redeliveries_place is 'Finds what was asked for since kairan.number looked last.';
create index redeliveries_notification on kairan.redeliveries (notification_id);
comment on index kairan.redeliveries_notification is 'Finds whether a notification is to be delivered again.';

create table kairan.unsettled (
  notification_id uuid not null,
  xid xid8 not null default pg_current_xact_id()
);
comment on table kairan.unsettled is
  'Notifications that were changed before all of their deliveries were numbered: those may have what it was before, until kairan.settle.';
comment on column kairan.unsettled.notification_id is 'The notification.';
comment on column kairan.unsettled.xid is 'The transaction that changed it: when the log has seen that, nothing older is numbered any more.';
create index unsettled_notification on kairan.unsettled (notification_id);
comment on index kairan.unsettled_notification is 'Finds whether a notification is among them.';

create table kairan.log_state (
  one boolean primary key default true check (one),
  epoch text not null default substr(md5(random()::text || clock_timestamp()::text), 1, 8),
  floor bigint not null default 0,
  server_started timestamptz not null default pg_postmaster_start_time(),
  cluster text not null,
  next_cluster text,
  home text,
  since_place bigint not null default 0
) with (fillfactor = 10);
comment on table kairan.log_state is 'One row: what is known of the log and changes rarely.';
comment on column kairan.log_state.one is 'Keeps it at one row.';
comment on column kairan.log_state.epoch is 'Which log this is. It is part of every cursor, so that one of another database is noticed.';
comment on column kairan.log_state.floor is 'Deliveries up to this seq may be gone. A cursor below it has a gap.';
comment on column kairan.log_state.server_started is 'When the Postgres that gave the last number was started. Another value means that numbers may have been lost.';
comment on column kairan.log_state.cluster is 'The cluster whose transaction ids are in the tables: see kairan.this_cluster.';
comment on column kairan.log_state.next_cluster is 'The cluster that takes over, where the place of the newest batch was read: see kairan.follow_server. Null otherwise.';
comment on column kairan.log_state.home is 'The database and the table that gave the last number, by their oids. Others are a copy, or were restored: the log may have gone back, or have two futures. Null before the first number.';
comment on column kairan.log_state.since_place is 'Up to this place notifications may have come from another cluster, with ids of other transactions: those that have a delivery are done. -1 while a copy is prepared: see kairan.follow_server.';

create table kairan.batches (
  n bigint primary key,
  head bigint not null,
  done pg_snapshot,
  done_place bigint not null,
  target pg_snapshot,
  target_place bigint,
  target_end bigint,
  reached bigint,
  place bigint not null,
  at timestamptz not null default clock_timestamp()
) with (autovacuum_vacuum_scale_factor = 0.05);
comment on table kairan.batches is
  'How far the log has been numbered: one row for each time, the newest counts. Appended to and never updated: under a snapshot that somebody holds, every version of a row stays, and each look at it would walk along all of them.';
comment on column kairan.batches.n is 'Its number: one more than that of the batch before.';
comment on column kairan.batches.head is 'The seq given last.';
comment on column kairan.batches.done is 'What committed before this snapshot has been numbered. Null while what came from another cluster is numbered: see kairan.adopt.';
comment on column kairan.batches.done_place is 'What was published by transactions that are beyond that snapshot has places above this one.';
comment on column kairan.batches.target is 'What committed before this snapshot is being numbered, in pieces; null when there is nothing left of it.';
comment on column kairan.batches.target_place is 'What was published by transactions that are beyond that snapshot has places above this one.';
comment on column kairan.batches.target_end is 'The highest place after target was taken: what is in target has no place above it.';
comment on column kairan.batches.reached is 'Of what is in target and not in done, places up to this one have been numbered.';
comment on column kairan.batches.place is 'The place drawn last when the transaction that wrote this row had no id yet: transactions with higher ids publish at higher places.';
comment on column kairan.batches.at is 'When. Together with n it tells this batch from another one of a log that was restored.';

create table kairan.locks (name text primary key, purpose text not null);
comment on table kairan.locks is
  'Rows that never change. One instance at a time does what it has the lock of the row for. Rows have grants; an advisory lock can be taken by any login.';
comment on column kairan.locks.name is 'Its name.';
comment on column kairan.locks.purpose is 'What it is for.';
insert into kairan.locks (name, purpose) values
  ('numbering', 'gives deliveries their positions'),
  ('leading', 'begins to number for all instances'),
  ('pruning', 'removes what is old');

create view kairan.log as
  select s.epoch, coalesce((select b.head from kairan.batches b order by b.n desc limit 1), 0) as head, s.floor
  from kairan.log_state s;
comment on view kairan.log is 'One row: which log this is (epoch), the seq given last (head), and up to which seq deliveries may be gone (floor).';

create sequence kairan.max_event_bytes as int minvalue 1;
select setval('kairan.max_event_bytes', 65536);
comment on sequence kairan.max_event_bytes is
  'MAX_EVENT_BYTES: the largest payload, in bytes of its text. Written by the service when it starts. A sequence, because its value can be had without a query: reading a table took a sixth of a publish.';

create sequence kairan.awake_until as bigint minvalue 1 start 1000;
comment on sequence kairan.awake_until is
  'Until then (Unix microseconds, by the clock of Postgres; the last three digits tell whose it is) an instance numbers without being asked, so publishers need not ring. A sequence, because a new value is seen at once, without waiting for a commit, and who may set it is a matter of grants.';
