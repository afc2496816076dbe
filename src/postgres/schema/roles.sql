-- Role levels, where the application has no table of its own for them.

create table kairan.roles (
  user_id text primary key,
  role_level int not null default 0
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
