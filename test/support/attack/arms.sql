-- What a login that owns the schema evil can make: a probe, and types, casts, operators, functions and
-- relations that call it. ATTACKER is its name.
create sequence evil.bitten;
create table evil.seen (what text, who text);
create function evil.probe(what text) returns void language plpgsql as $$
begin
  if current_user <> 'ATTACKER' then
    -- A sequence keeps it when the statement fails.
    perform nextval('evil.bitten');
    raise warning 'bitten: % runs as %', what, current_user;
  end if;
  insert into evil.seen values (what, current_user);
exception when insufficient_privilege then
  null;
end $$;

create type evil.bait as enum ('x', 'y');
create type evil.pair as (a int, bait evil.bait, "text" text);
create type evil.stretch as range (subtype = int, multirange_type_name = evil.stretches);
create function evil.checked(anyelement) returns boolean language plpgsql as
  $$ begin perform evil.probe('domain check'); return true; end $$;
create domain evil.checked_text as text check (evil.checked(value));
create domain evil.checked_bait as evil.bait check (evil.checked(value));
create domain evil.checked_pair as evil.pair check (evil.checked(value));
create domain evil.checked_int as int check (evil.checked(value));
create table evil.rows (id int, bait evil.bait, "text" text, json int);

do $do$
declare
  source text;
  target text;
begin
  foreach source in array '{bait,pair,stretch,stretches,rows}'::text[] loop
    foreach target in array '{json,jsonb,text,uuid,int4,int8,bool,timestamptz,_text,record,name,interval,float8,bytea}'::text[] loop
      begin
        execute format(
          $$create function evil.to_%2$s(evil.%1$s) returns pg_catalog.%2$I language plpgsql as
            'begin perform evil.probe(''cast %1$s as %2$s''); return %3$s; end'$$,
          source, target, case target when 'json' then '''''{}''''' when 'jsonb' then '''''{}''''' when 'text' then '''''user-1''''' else 'null' end
        );
        execute format('create cast (evil.%1$I as pg_catalog.%2$I) with function evil.to_%2$s(evil.%1$I) as implicit', source, target);
      exception when others then
        null; -- Postgres does not allow it.
      end;
    end loop;
    -- Functions and operators of Postgres' names, which fit better than its own.
    for target in
      select distinct proname from pg_proc
      where pronamespace = 'pg_catalog'::regnamespace and pronargs = 1 and (
        proname in ('to_jsonb', 'to_json', 'row_to_json', 'array_to_json', 'format', 'concat', 'pg_typeof', 'unnest', 'cardinality',
          'text', 'name', 'json', 'jsonb_typeof', 'octet_length', 'char_length', 'upper', 'lower', 'array_agg', 'count', 'min', 'max')
      )
    loop
      begin
        execute format(
          $$create function evil.%2$I(evil.%1$I) returns text language plpgsql as 'begin perform evil.probe(''function %2$s(%1$s)''); return null; end'$$,
          source, target
        );
      exception when others then
        null;
      end;
    end loop;
    foreach target in array '{=,<>,<,>,<=,>=,~,||,->,->>,?,@>,-,+}'::text[] loop
      begin
        execute format(
          $$create function evil.%3$I(evil.%1$I, evil.%1$I) returns boolean language plpgsql as
            'begin perform evil.probe(''operator %2$s of %1$s''); return true; end'$$,
          source, target, 'op_' || md5(target)
        );
        execute format(
          'create operator evil.%2$s (leftarg = evil.%1$I, rightarg = evil.%1$I, function = evil.%3$I)',
          source, target, 'op_' || md5(target)
        );
      exception when others then
        null;
      end;
    end loop;
  end loop;
  -- The same over Postgres' own types: they count where the search_path leads here first.
  for source, target in
    select t, o from unnest('{text,jsonb,int4,int8,uuid,timestamptz,bool,oid,xid8}'::text[]) t,
      unnest('{=,<>,<,>,<=,>=,~,||,->,->>,?,-,+}'::text[]) o
  loop
    execute format(
      $$create function evil.%3$I(pg_catalog.%1$I, pg_catalog.%1$I) returns boolean language plpgsql as
        'begin perform evil.probe(''operator %2$s of %1$s''); return true; end'$$,
      source, target, 'own_' || md5(target)
    );
    execute format(
      'create operator evil.%2$s (leftarg = pg_catalog.%1$I, rightarg = pg_catalog.%1$I, function = evil.%3$I)',
      source, target, 'own_' || md5(target)
    );
  end loop;
  for source, target in
    select f, t from unnest('{jsonb_typeof,octet_length,char_length,lower,upper,to_jsonb,to_json,jsonb_build_object,pg_notify,
      pg_sequence_last_value,set_config,current_setting,now,clock_timestamp,btrim,trim,left,concat,format,quote_ident}'::text[]) f,
      unnest('{text,jsonb,int8}'::text[]) t
  loop
    execute format(
      $$create function evil.%1$I(pg_catalog.%2$I) returns text language plpgsql as
        'begin perform evil.probe(''function %1$s(%2$s)''); return null; end'$$, source, target
    );
  end loop;
end $do$;

-- A table with a column of every kind, by names that are also those of functions and casts.
create table evil.trap (
  id int, bait evil.bait, baits evil.bait[], pair evil.pair, pairs evil.pair[], stretch evil.stretch, stretches evil.stretches,
  checked_text evil.checked_text, checked_bait evil.checked_bait, checked_pair evil.checked_pair, checked_baits evil.checked_bait[],
  checked_int evil.checked_int, checked_ints evil.checked_int[], "rows" evil.rows, "text" text, "json" json, "name" evil.bait, "to_jsonb" evil.bait, format evil.bait,
  doubled int generated always as (id * 2) stored
);
create function evil.trap_json(evil.trap) returns json language plpgsql as
  $$ begin perform evil.probe('cast of the row'); return '{}'; end $$;
create cast (evil.trap as json) with function evil.trap_json(evil.trap);

grant usage on schema evil to public;
grant all on all tables in schema evil to public;
grant all on all sequences in schema evil to public;
