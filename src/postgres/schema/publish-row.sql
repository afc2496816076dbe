-- Publishing the rows of a table, by a trigger.
--
-- The trigger runs with its owner's rights, since who writes a row need not be a publisher. The types of the
-- row's columns are somebody else's. So nothing here may evaluate what the owner of a type can define: a cast,
-- an operator, a domain's check. What remains: output functions, which only superusers can define; and
-- to_jsonb, which calls a cast to json that somebody has made, for types that only superusers can make a cast
-- of. Names are resolved without a qualification: "x.name" also calls a function, or a cast, of that name.
--
-- A column is reached by its place: only so does Postgres leave the others alone, which may be 100 MB. A
-- session's plan keeps the places of when it was made. So the plan says which types it has, and where that is
-- not what the table has now, where a column was dropped (two can then not be told apart), beyond column 100,
-- and for arrays and rows of somebody's types, a statement is made for the row: slower, and it reads the others.

do $make$
declare
  direct text := $direct$
    if layout.reach between #from# and #to# then
      select jsonb_object_agg(w.name, case w.place #values# end) into data
      from unnest(layout.names, layout.places) w (name, place), (select affected.*, #pads#) r (#columns#)
      where (array[#types#])[:cardinality(layout.types) + 1] = layout.types || 'cstring'::regtype::oid;
    end if;
$direct$;
  body text := $body$
declare
  affected record;
  layout record;
  -- What is between the braces, and what is not; no column is called so.
  pieces text[] := regexp_split_to_array(concat(tg_argv[0], '{', tg_argv[1]), '[{}]');
  named text[];
  piece text;
  data jsonb;
  targets text[] := '{}';
  state text;
  reason text;
begin
  if tg_level <> 'ROW' or tg_when <> 'AFTER' or tg_nargs not between 1 and 3 then
    raise exception 'kairan: trigger % can''t use kairan.publish_row like this', tg_name
      using errcode = 'invalid_parameter_value',
            hint = 'create trigger … after insert or update on … for each row execute function kairan.publish_row(''user-{user_id}'', ''order.{op}'', ''id,status'')';
  end if;
  if tg_op = 'DELETE' then
    affected := old;
  else
    affected := new;
  end if;
  if tg_argv[2] <> '' then
    named := regexp_split_to_array(btrim(tg_argv[2]), ' *, *');
  end if;

  layout := kairan.row_layout(tg_relid, case when named is not null then named || pieces end);
  begin
    #direct#
    if data is null then
      execute kairan.row_query(tg_relid, layout.names) into data using affected;
    end if;
  exception when others then
    get stacked diagnostics state = returned_sqlstate, reason = message_text;
    raise exception 'kairan: a row of % can''t be sent: %', tg_relid::regclass, reason
      using errcode = state,
            hint = 'List the columns to send, as the third argument of kairan.publish_row: the others are not looked at.';
  end;

  foreach piece in array string_to_array(tg_argv[0], ',') loop
    piece := kairan.fill_in(btrim(piece), data);
    if piece is not null then
      targets := targets || piece;
    end if;
  end loop;
  if targets = '{}' then
    return null;
  end if;
  perform kairan.publish(
    targets,
    case when named is null then data else kairan.columns_of(data, named) end,
    case when tg_argv[1] <> '' then kairan.fill_in(tg_argv[1], data || jsonb_build_object('op', lower(tg_op))) end
  );
  return null;
end $body$;
  directs text := '';
  most int;
begin
  foreach most in array '{16,100}'::int[] loop
    select directs || replace(replace(replace(replace(replace(replace(direct,
        '#from#', case most when 16 then '1' else '17' end), '#to#', most::text),
        '#values#', string_agg(format(
          'when %1$s then to_jsonb("#%1$s") when -%1$s then case when "#%1$s" is distinct from null then to_jsonb(format(''%%s'', "#%1$s")) end', n
        ), ' ') filter (where n <= most)),
        '#pads#', string_agg('null::cstring', ', ')),
        '#columns#', string_agg(format('"#%s"', n), ', ')),
        '#types#', string_agg(format('pg_typeof(case when false then "#%s" end)::oid', n), ', '))
      into directs
    from generate_series(1, most + 1) n;
  end loop;
  execute format(
    'create function kairan.publish_row() returns trigger language plpgsql set plan_cache_mode = force_generic_plan as %L',
    replace(body, '#direct#', directs)
  );
end $make$;
comment on function kairan.publish_row() is
  'Trigger function, after … for each row: publishes the row. Arguments: channels, comma-separated, with {column} for the row''s values (one whose column is null is left out); the type, with {op} for insert, update or delete (none when empty); the columns to send, comma-separated (all of them when absent). Columns that are not named are not looked at.';

create function kairan.row_layout(
  relation oid,
  wanted text[],
  out names text[],
  out places int[],
  out types oid[],
  out reach int
) language plpgsql stable as $$
begin
  select
    array_agg(c.name) filter (where c.is_wanted),
    -- Below zero: as what Postgres prints.
    array_agg(case when c.is_plain then c.place else -c.place end) filter (where c.is_wanted),
    array_agg(c.type) filter (where not c.is_dropped),
    case when not bool_or(c.is_dropped or c.is_wanted and (c.is_virtual or not (c.is_plain or c.is_printed))) then max(c.place) end
    into names, places, types, reach
  from (
    select a.attname::text as name, a.attnum::int as place, a.atttypid as type, a.attisdropped as is_dropped,
      a.attgenerated = 'v' as is_virtual,
      not a.attisdropped and (wanted is null or a.attname = any(wanted)) as is_wanted,
      a.atttypid < 16384 or kairan.is_plain(a.atttypid) as is_plain,
      a.atttypid >= 16384 and (select b.typtype <> 'c' and not b.is_array from kairan.base_of(a.atttypid) b) as is_printed
    from pg_attribute a where a.attrelid = relation and a.attnum > 0
    order by a.attnum
  ) c;
end $$;
comment on function kairan.row_layout(oid, text[]) is
  'Which types the columns of a table have, and where those are that are wanted. `reach` is how many columns there are, if kairan.publish_row may reach them by their place.';

create function kairan.row_query(relation oid, names text[]) returns text language plpgsql stable as $$
declare
  item record;
  parts text[] := '{}';
begin
  for item in
    select attname::text as name, atttypid as type, attgenerated as generated
    from pg_attribute where attrelid = relation and attnum > 0 and not attisdropped and attname = any(names)
  loop
    if item.generated = 'v' then
      raise exception 'the column "%" is virtual, and Postgres gives no trigger its value', item.name
        using errcode = 'feature_not_supported';
    end if;
    parts := parts || format('%s as %I', kairan.json_of(quote_ident(item.name), item.type), item.name);
  end loop;
  return format('select to_jsonb(r.*) from (select %s from (select ($1).*) "the row") r', array_to_string(parts, ','));
end $$;
comment on function kairan.row_query(oid, text[]) is 'The SQL that turns these columns of a row $1 of this table into jsonb.';

create function kairan.is_plain(type oid) returns boolean language plpgsql stable as $$
declare
  item record;
begin
  loop
    if type < 16384 then
      return true; -- Postgres' own.
    end if;
    select t.typtype, t.typbasetype, t.typelem, t.typsubscript = 'array_subscript_handler'::regproc as is_array, r.rolsuper
      into item
    from pg_type t join pg_roles r on r.oid = t.typowner where t.oid = is_plain.type;
    case
      when item.typtype = 'd' then type := item.typbasetype;
      when item.typtype = 'b' and item.is_array then type := item.typelem;
      -- Of an extension: nobody else could make a cast of it.
      else return coalesce(item.typtype = 'b' and item.rolsuper, false);
    end case;
  end loop;
end $$;
comment on function kairan.is_plain(oid) is
  'Whether to_jsonb of this type evaluates nothing that anybody but a superuser has defined.';

create function kairan.json_of(value text, type oid) returns text language plpgsql stable as $$
declare
  item record;
  element record;
  parts text;
begin
  if kairan.is_plain(type) then
    return format(
      'case when pg_typeof(%1$s)::oid = %2$s then to_jsonb(%1$s) else to_jsonb(format(''%%s'', %1$s)) end', value, type
    );
  end if;
  item := kairan.base_of(type);
  if item.typtype = 'c' then
    select string_agg(format('%s as %I', kairan.json_of(quote_ident(a.attname), a.atttypid), a.attname), ',') into parts
    from pg_attribute a where a.attrelid = item.typrelid and a.attnum > 0 and not a.attisdropped;
    return format(
      'case when %1$s is distinct from null then (select to_jsonb(r.*) from (select %2$s from (select (%1$s).*) "the row") r) end',
      value, parts
    );
  end if;
  if item.is_array then
    if current_setting('array_nulls') = 'off' then
      raise exception '% is an array, and array_nulls is off', value using errcode = 'feature_not_supported';
    end if;
    element := kairan.base_of(item.typelem);
    if element.typtype = 'c' or element.is_array then
      raise exception '% is an array of rows or of arrays (%)', value, format_type(type, null)
        using errcode = 'feature_not_supported';
    end if;
  end if;
  return format(
    'case when %1$s is distinct from null then to_jsonb(format(''%%s'', %1$s)%2$s) end',
    value, case when item.is_array then '::text[]' end
  );
end $$;
comment on function kairan.json_of(text, oid) is
  'The SQL that turns a value into jsonb, as to_jsonb does, without any cast: what Postgres prints, in the end.';

create function kairan.base_of(type oid, out typtype "char", out typelem oid, out typrelid oid, out is_array boolean)
  language plpgsql stable as $$
declare
  base oid;
begin
  loop
    select t.typtype, t.typelem, t.typrelid, t.typsubscript = 'array_subscript_handler'::regproc, t.typbasetype
      into base_of.typtype, base_of.typelem, base_of.typrelid, base_of.is_array, base
    from pg_type t where t.oid = base_of.type;
    exit when base_of.typtype is distinct from 'd';
    type := base;
  end loop;
end $$;
comment on function kairan.base_of(oid) is 'What a type is, or the one below all its domains.';

create function kairan.fill_in(template text, data jsonb) returns text language plpgsql immutable as $$
declare
  filled text := '';
  part text[];
begin
  -- Either plain text, or a {name}. What was filled in is not looked at again. No backslash: a session of
  -- somebody's may read it as an escape.
  for part in select regexp_matches(template, '([^{]+|[{](?![^{}]+[}]))|[{]([^{}]+)[}]', 'g') loop
    if part[1] is not null then
      filled := filled || part[1];
    elsif data ? part[2] then
      filled := filled || (data ->> part[2]); -- A column that is null makes all of it null.
    else
      raise exception 'kairan: "%" names {%}, but the row has no such column', template, part[2]
        using errcode = 'undefined_column', hint = 'Use the name of a column, or {op} in the type.';
    end if;
  end loop;
  return filled;
end $$;
comment on function kairan.fill_in(text, jsonb) is
  'Puts the values of data into the {names} of a template; null when one of them is null.';

create function kairan.columns_of(data jsonb, names text[]) returns jsonb language plpgsql immutable as $$
declare
  name text;
begin
  foreach name in array names loop
    if not data ? name then
      raise exception 'kairan: kairan.publish_row is to send the column "%", but the row has no such column', name
        using errcode = 'undefined_column', hint = 'List columns of the table, separated by commas.';
    end if;
  end loop;
  foreach name in array array(select k from jsonb_object_keys(data) k where k <> all(names)) loop
    data := data - name;
  end loop;
  return data;
end $$;
comment on function kairan.columns_of(jsonb, text[]) is 'The columns of a row that kairan.publish_row sends.';
