-- Tickets: what a browser's EventSource can send where it has neither a header nor a cookie.

create table kairan.tickets (
  hash bytea primary key,
  user_id text not null,
  channels jsonb,
  subscribes jsonb not null default '[]',
  token_expires_at timestamptz not null,
  proof bytea,
  released_until timestamptz,
  ends_at timestamptz not null
);
comment on table kairan.tickets is
  'One-time tickets for streams. A URL ends up in logs and histories, so a ticket opens one stream, within a minute; what returns to that stream later has to prove that it was on it.';
comment on column kairan.tickets.hash is 'SHA-256 of the ticket: who reads this table can open nothing with it.';
comment on column kairan.tickets.user_id is 'Whose stream it opens.';
comment on column kairan.tickets.channels is 'The channels that it is for; null for all that the user may read.';
comment on column kairan.tickets.subscribes is 'The channels that the token lets the user read: names, and beginnings that end in *.';
comment on column kairan.tickets.token_expires_at is 'When the token ends for which it was given, and with it the stream.';
comment on column kairan.tickets.proof is
  'Null until the ticket is spent. Then SHA-256 of a secret that is sent on the stream alone, as a part of its ids: a browser that reconnects sends it back in Last-Event-ID.';
comment on column kairan.tickets.released_until is
  'Until when it can be spent once more: its stream was cut before its browser can have known the proof. -infinity once somebody has shown the proof: then it never can.';
comment on column kairan.tickets.ends_at is 'Until when it can be spent; once it is, until when its stream can return.';

create index tickets_ends_at on kairan.tickets (ends_at);
comment on index kairan.tickets_ends_at is 'Finds what can be removed.';

create index tickets_proof on kairan.tickets (proof) where proof is not null;
comment on index kairan.tickets_proof is 'Finds the ticket whose proof was shown where it may be read by others.';

create index tickets_user_id on kairan.tickets (user_id);
comment on index kairan.tickets_user_id is 'Finds the tickets of a user who is disconnected.';

create function kairan.prune_tickets(batch int default 1000) returns int language plpgsql as $$
declare
  removed int;
begin
  delete from kairan.tickets t
  using (
    select hash from kairan.tickets where ends_at <= now() order by ends_at limit batch
    for update skip locked
  ) late
  where t.hash = late.hash;
  get diagnostics removed = row_count;
  return removed;
end $$;
comment on function kairan.prune_tickets(int) is 'Removes at most `batch` tickets that open nothing any more. Returns how many.';
