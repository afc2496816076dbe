-- The audit trail: what operators did.

create table kairan.audit (
  id bigint generated always as identity primary key,
  at timestamptz not null default now(),
  actor text not null,
  action text not null,
  target text,
  changed int,
  detail jsonb not null default '{}'
);
comment on table kairan.audit is
  'What operators did, by the dashboard, its API or a command. Each row commits with what it tells of. The service may add rows and change none; they are kept for 90 days.';
comment on column kairan.audit.id is 'Counts the entries; a number can be missing.';
comment on column kairan.audit.at is 'When it was done.';
comment on column kairan.audit.actor is 'Who did it: the user id of an admin, or `command:` and the login of a command in the database.';
comment on column kairan.audit.action is 'disconnect, redeliver, withdraw, retry follow-up, prune or role.';
comment on column kairan.audit.target is 'The user, the notification or the follow-up that it was done to; null when it was done to many.';
comment on column kairan.audit.changed is 'How many deliveries it redelivered or removed; null where nothing is counted.';
comment on column kairan.audit.detail is 'The rest: the channel or the filter of a redelivery, the role level before and after.';

create index audit_at on kairan.audit (at);
comment on index kairan.audit_at is 'Finds what can be removed.';

create function kairan.prune_audit(batch int default 1000) returns int language plpgsql as $$
declare
  removed int;
begin
  delete from kairan.audit a
  using (
    select id from kairan.audit where at < now() - interval '90 days' order by at limit batch
    for update skip locked
  ) old
  where a.id = old.id;
  get diagnostics removed = row_count;
  return removed;
end $$;
comment on function kairan.prune_audit(int) is 'Removes at most `batch` entries of the audit trail that are older than 90 days. Returns how many.';
