-- The application's own tables. Kairan has its schema, `kairan`, in the same database.
create table if not exists people (id text primary key, name text not null);
insert into people values ('1', 'Aiko'), ('2', 'Ben'), ('3', 'Chidi') on conflict do nothing;

-- Documents: who may read one is in the application's own table, and a trigger keeps kairan.members like it.
create table if not exists documents (
  id int primary key generated always as identity,
  title text not null,
  body text not null default '',
  edited_by text references people
);
create table if not exists collaborators (
  document_id int not null references documents on delete cascade,
  person_id text not null references people,
  primary key (document_id, person_id)
);

create or replace function members_of_documents() returns trigger language plpgsql as $$
begin
  if tg_op = 'INSERT' then
    insert into kairan.members (channel, user_id) select 'doc-' || a.document_id, a.person_id from added a
    on conflict do nothing;
  else
    delete from kairan.members m using removed r
    where m.channel = 'doc-' || r.document_id and m.user_id = r.person_id;
  end if;
  return null;
end $$;
create or replace trigger collaborators_added after insert on collaborators
  referencing new table as added for each statement execute function members_of_documents();
create or replace trigger collaborators_removed after delete on collaborators
  referencing old table as removed for each statement execute function members_of_documents();
create or replace trigger document_edited after update on documents for each row
  execute function kairan.publish_row('doc-{id}', 'document.edited', 'id,title,body,edited_by');

-- Runs of a job: one channel each, which only the token of its owner lets anybody read.
create table if not exists runs (
  id int primary key generated always as identity,
  person_id text not null references people,
  step int not null default 0,
  steps int not null
);
create or replace trigger run_advanced after update on runs for each row
  execute function kairan.publish_row('run-{person_id}-{id}', 'run.step', 'id,step,steps');

-- A chat room: everybody who is signed in may read it.
create table if not exists messages (
  id int primary key generated always as identity,
  room text not null,
  person_id text not null references people,
  text text not null check (char_length(text) between 1 and 500)
);
create or replace trigger message_written after insert on messages for each row
  execute function kairan.publish_row('room-{room}', 'message', 'id,person_id,text');
insert into kairan.members (channel, user_id) values ('room-lobby', '*') on conflict do nothing;
