-- Role levels, where the application has no table of its own for them.

create table kairan.roles (
  user_id text primary key,
  role_level int not null default 0,
  constraint user_id_of_1_to_200_characters check (char_length(user_id) between 1 and 200)
);
comment on table kairan.roles is 'The role level of each user that has one. ROLE_LEVEL_QUERY can read it from a table of your own instead.';
comment on column kairan.roles.user_id is 'The user''s id, as in the sub of the token.';
comment on column kairan.roles.role_level is 'From ADMIN_ROLE_LEVEL on, the user reads admin-dashboard.';

create function kairan.role_changed() returns trigger language plpgsql as $$
begin
  if tg_op <> 'INSERT' then
    perform kairan.reauthorize(old.user_id);
  end if;
  if tg_op <> 'DELETE' then
    perform kairan.reauthorize(new.user_id);
  end if;
  return null;
end $$;
comment on function kairan.role_changed() is 'Trigger: a changed role level reaches the open streams of its user.';

create trigger role_changed after insert or update or delete on kairan.roles
  for each row execute function kairan.role_changed();
comment on trigger role_changed on kairan.roles is 'A changed role level reaches the open streams of its user.';

create function kairan.roles_truncated() returns trigger language plpgsql as $$
begin
  if (select count(*) from (select from kairan.roles limit 1001) r) > 1000 then
    perform kairan.reauthorize('*');
    return null;
  end if;
  -- The rows are still to be seen before they go, and everybody's level was in one of them.
  insert into kairan.user_changes (change)
  select jsonb_build_object('action', 'reauthorize', 'userId', r.user_id) from kairan.roles r;
  perform pg_notify('kairan_users', '');
  return null;
end $$;
comment on function kairan.roles_truncated() is 'Trigger: role levels that are removed together reach the open streams of their users.';

create trigger roles_truncated before truncate on kairan.roles
  for each statement execute function kairan.roles_truncated();
comment on trigger roles_truncated on kairan.roles is 'Role levels that are removed together reach the open streams of their users.';
