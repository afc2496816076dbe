-- Who may do what in the schema kairan. Run at the end of every migration and at every start by whoever
-- owns the schema; it compares what is with what should be and changes only the difference, so usually
-- nothing. No migration grants: what it makes falls under the rules here.

do $$
declare
  groups constant text[] :=
    array['kairan_owner', 'kairan_service', 'kairan_publisher', 'kairan_reader', 'kairan_follower'];
  fixed constant text := 'search_path=pg_catalog, pg_temp';
  may_create boolean;
  first_time boolean;
  owner oid;
  owner_role constant text := 'kairan_owner';
  item record;
begin
  perform set_config('search_path', 'pg_catalog, pg_temp', true); -- So that names below come out with their schema.
  perform set_config('quote_all_identifiers', 'off', true); -- They are compared.
  select relowner into owner from pg_class where oid = to_regclass('kairan.notifications');
  if not found or not pg_has_role(owner, 'usage') then
    return; -- The service's login, for example.
  end if;
  lock table kairan.migrations in share row exclusive mode; -- Instances that start together come one by one.

  -- 1. The roles. All databases of a cluster share them, so another one can be faster.
  select rolsuper or rolcreaterole into may_create from pg_roles where rolname = current_user;
  for item in select name from unnest(groups) name where may_create and to_regrole(name) is null loop
    begin
      execute format('create role %I nologin', item.name);
    exception when duplicate_object or unique_violation then
      null;
    end;
  end loop;

  -- 2. The owner: whoever has the tables has everything, as functions with their owner's rights have to
  -- reach them. That becomes kairan_owner, if the login that migrates may act as it (a superuser, or a
  -- member); so such functions do not run as a superuser. Tables of another login stay with that login,
  -- which would lose its own rights to them. So does membership: kairan_owner is the same in all databases
  -- of the cluster, and who installs one has no business in the others.
  if to_regrole(owner_role) is not null and pg_has_role(owner_role, 'usage')
    and (select rolsuper or rolname = current_user from pg_roles where oid = owner)
    -- What Postgres asks for before it gives a schema away.
    and exists (
      select from pg_namespace
      where nspname = 'kairan' and (
        nspowner = to_regrole(owner_role)
        or pg_has_role(nspowner, 'usage') and has_database_privilege(current_database(), 'create')
      )
    )
  then
    owner := to_regrole(owner_role);
  end if;
  for item in
    select format('schema %I', nspname) as object, nspowner as owner
    from pg_namespace where nspname = 'kairan' and owner = to_regrole(owner_role)
    union all
    select format('%s %s', case c.relkind when 'S' then 'sequence' when 'v' then 'view' else 'table' end, c.oid::regclass), c.relowner
    from pg_class c
    where c.relnamespace = 'kairan'::regnamespace and c.relkind in ('r', 'p', 'v', 'S')
      -- The sequence of an identity column goes with its table.
      and not exists (select from pg_depend d where d.classid = 'pg_class'::regclass and d.objid = c.oid and d.deptype in ('a', 'i') and d.refobjsubid > 0)
    union all
    select format('type %s', c.reltype::regtype), c.relowner
    from pg_class c where c.relnamespace = 'kairan'::regnamespace and c.relkind = 'c'
    union all
    select format('routine %s', oid::regprocedure), proowner
    from pg_proc where pronamespace = 'kairan'::regnamespace
  loop
    if item.owner <> owner and pg_has_role(item.owner, 'usage') and pg_has_role(owner, 'usage') then
      execute format('alter %s owner to %s', item.object, owner::regrole);
    end if;
  end loop;

  -- 3. Functions that run as their owner, each with a search_path that no caller can change: triggers, since
  -- who may insert need not have what they do; and what is granted alone, below.
  select not prosecdef into first_time from pg_proc where oid = to_regprocedure('kairan.forget_deliveries()');
  for item in
    select oid::regprocedure as name from pg_proc
    where pronamespace = 'kairan'::regnamespace and pg_has_role(proowner, 'usage')
      and (prorettype = 'trigger'::regtype and proname <> 'check_notification'
        or proname in ('examine', 'published_as', 'withdraw', 'reauthorize', 'disconnect', 'unnumbered', 'follow_server', 'presence_of', 'prune_audit'))
      and not (prosecdef and fixed = any(coalesce(proconfig, '{}')))
  loop
    execute format('alter function %s security definer set search_path = pg_catalog, pg_temp', item.name);
  end loop;

  -- A row that logical replication brings, or that somebody writes as a replica does, may publish too: by a
  -- trigger that is enabled always. What it publishes is then as complete as any.
  for item in
    select t.tgname, c.oid::regclass as name from pg_trigger t join pg_class c on c.oid = t.tgrelid
    where c.relnamespace = 'kairan'::regnamespace and not t.tgisinternal and t.tgenabled = 'O' and pg_has_role(c.relowner, 'usage')
  loop
    execute format('alter table %s enable always trigger %I', item.name, item.tgname);
  end loop;

  -- 4. What was everybody's. A login that was given the schema by hand, before there were these roles, keeps
  -- the functions that it could call.
  for item in
    select p.oid::regprocedure as name, g.grantee::regrole as grantee
    from pg_proc p, pg_namespace n, aclexplode(n.nspacl) g
    where first_time and p.pronamespace = n.oid and n.nspname = 'kairan' and g.privilege_type = 'USAGE'
      and g.grantee not in (0, n.nspowner) and g.grantee::regrole::text <> all(groups)
      and p.prorettype <> 'trigger'::regtype and pg_has_role(p.proowner, 'usage')
      and has_function_privilege('public', p.oid, 'execute')
  loop
    execute format('grant execute on function %s to %s', item.name, item.grantee);
  end loop;

  -- 5. What each may do: all that is named here, nothing else; PUBLIC nothing. Of a table that is not named,
  -- the service reads and writes the rows. Row-level security would hide other publishers' ids too, but
  -- rules out COPY.
  for item in
    with
    object as (
      select 'schema' as kind, quote_ident(nspname) as name, nspname as short, nspowner as owner,
        coalesce(nspacl, acldefault('n', nspowner)) as acl, '' as suffix, null as type
      from pg_namespace where nspname = 'kairan'
      union all
      select case relkind when 'S' then 'sequence' else 'table' end, oid::regclass::text, relname, relowner,
        coalesce(relacl, acldefault((case relkind when 'S' then 's' else 'r' end)::"char", relowner)), '', relkind::text
      from pg_class where relnamespace = 'kairan'::regnamespace and relkind in ('r', 'p', 'v', 'S')
      union all
      select 'table', c.oid::regclass::text, c.relname, c.relowner, a.attacl, format(' (%I)', a.attname), 'column'
      from pg_class c join pg_attribute a on a.attrelid = c.oid
      where c.relnamespace = 'kairan'::regnamespace and c.relkind in ('r', 'p', 'v') and a.attnum > 0 and not a.attisdropped
      union all
      select 'routine', oid::regprocedure::text, proname, proowner, coalesce(proacl, acldefault('f', proowner)), '', null
      from pg_proc where pronamespace = 'kairan'::regnamespace
    ),
    rule (kind, pattern, grantee, privileges) as (
      values
        ('schema', '^kairan$', 'kairan_service', '{USAGE}'::text[]),
        ('schema', '^kairan$', 'kairan_publisher', '{USAGE}'),
        ('schema', '^kairan$', 'kairan_reader', '{USAGE}'),
        ('schema', '^kairan$', 'kairan_follower', '{USAGE}'),

        ('table', '^(migrations|roles|members|relay_key)$', 'kairan_service', '{SELECT}'),
        ('table', '^(log_state|locks)$', 'kairan_service', '{SELECT,UPDATE}'),
        ('table', '^notifications$', 'kairan_service', '{SELECT,INSERT,DELETE}'),
        -- It can add to the audit trail, and not change it.
        ('table', '^audit$', 'kairan_service', '{SELECT,INSERT}'),
        ('table', '^leases$', 'kairan_service', '{SELECT,INSERT,DELETE}'),
        ('table', '^(?!(migrations|roles|members|relay_key|log_state|locks|notifications|audit|leases)$)', 'kairan_service', '{SELECT,INSERT,UPDATE,DELETE}'),
        ('sequence', '^', 'kairan_service', '{SELECT,USAGE,UPDATE}'),
        ('sequence', '^(max_event_bytes|awake_until)$', 'kairan_publisher', '{SELECT}'),
        ('routine', '^(?!publish_row$)', 'kairan_service', '{EXECUTE}'),

        ('routine', '^(publish|try_publish|published_as|examine|publish_row|withdraw)$', 'kairan_publisher', '{EXECUTE}'),

        ('table', '^(notifications|deliveries|presence|confirmations|mutes)$', 'kairan_reader', '{SELECT}'),
        -- What kairan.deliveries shows besides the table.
        ('routine', '^unnumbered$', 'kairan_reader', '{EXECUTE}'),
        ('routine', '^(presence_of|is_muted|covers)$', 'kairan_reader', '{EXECUTE}'),

        ('table', '^follow_ups$', 'kairan_follower', '{SELECT}'),
        ('routine', '^(take|finish|postpone)_follow_ups?$', 'kairan_follower', '{EXECUTE}')
    ),
    column_rule (short, suffix, grantee, privilege) as (
      -- What a publisher says; `bytes` is for Kairan to count. And `returning id`.
      select 'notifications', format(' (%I)', c), 'kairan_publisher', 'INSERT'
      from unnest(array['id', 'channels', 'payload', 'type', 'dedupe_key', 'expires_at', 'follow_up_after', 'created_at', 'traceparent']) c
      union all
      select 'scheduled', format(' (%I)', c), 'kairan_publisher', 'INSERT'
      from unnest(array['id', 'channels', 'payload', 'type', 'dedupe_key', 'expires_at', 'follow_up_after', 'send_at', 'traceparent']) c
      union all
      select 'notifications', format(' (%I)', 'id'), 'kairan_publisher', 'SELECT'
      union all
      select 'scheduled', format(' (%I)', 'id'), 'kairan_publisher', 'SELECT'
      union all
      -- What taking a follow-up writes, and what it looks at.
      select 'follow_ups', format(' (%I)', c), 'kairan_follower', 'UPDATE'
      from unnest(array['available_at', 'attempts', 'first_taken_at', 'taken_at', 'taken_by', 'finished_at', 'error']) c
      union all
      select 'notifications', format(' (%I)', c), 'kairan_follower', 'SELECT'
      from unnest(array['id', 'expires_at']) c
    ),
    wanted as (
      select o.kind, o.name, p || o.suffix as privilege, to_regrole(r.grantee)::oid as grantee
      from object o
      join rule r on r.kind = o.kind and o.short ~ r.pattern and o.suffix = ''
      cross join unnest(case when o.type = 'v' then '{SELECT}' else r.privileges end) p
      where to_regrole(r.grantee) is not null
      union
      select o.kind, o.name, c.privilege || o.suffix, to_regrole(c.grantee)::oid
      from object o join column_rule c on c.short = o.short and c.suffix = o.suffix and o.kind = 'table'
      where to_regrole(c.grantee) is not null
    ),
    present as (
      select o.kind, o.name, a.privilege_type || o.suffix as privilege, a.grantee
      from object o cross join aclexplode(o.acl) a
      where (
          a.grantee = 0
          or a.grantee <> o.owner and a.grantee in (select to_regrole(g)::oid from unnest(groups) g)
        )
        -- To revoke what somebody has on a table takes what it has on its columns, too.
        and (o.type is distinct from 'column' or not exists (
          select from object t cross join aclexplode(t.acl) b
          where (t.kind, t.name, t.suffix) = (o.kind, o.name, '') and b.grantee = a.grantee
            and (t.kind, t.name, b.privilege_type, b.grantee) not in (table wanted)
        ))
    ),
    change as (
      (select 'revoke' as verb, * from (table present except table wanted) p)
      union all
      (select 'grant', * from (table wanted except table present) w)
    )
    select format(
        '%s %s on %s %s %s %s', verb, string_agg(privilege, ', '), kind, name,
        case verb when 'grant' then 'to' else 'from' end,
        case grantee when 0 then 'public' else grantee::regrole::text end
      ) as statement
    from change c
    where exists (
      select from object o where (o.kind, o.name) = (c.kind, c.name) and pg_has_role(o.owner, 'usage')
    )
    group by verb, kind, name, grantee
    order by verb desc
  loop
    execute item.statement;
  end loop;
end $$;
