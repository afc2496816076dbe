-- Publishing the rows of a table, by a trigger.

create function kairan.publish_row() returns trigger language plpgsql as $$
declare
  data jsonb := to_jsonb(case when tg_op = 'DELETE' then old else new end);
  targets text[];
  content jsonb := data;
begin
  if tg_level <> 'ROW' or tg_when <> 'AFTER' or tg_nargs not between 1 and 3 then
    raise exception 'kairan: trigger % can''t use kairan.publish_row like this', tg_name
      using errcode = 'invalid_parameter_value',
            hint = 'create trigger … after insert or update on … for each row execute function kairan.publish_row(''user-{user_id}'', ''order.{op}'', ''id,status'')';
  end if;

  select array_agg(target) into targets
  from (select kairan.fill_in(trim(t), data) as target from string_to_array(tg_argv[0], ',') s, unnest(s) t) filled
  where target is not null;
  if targets is null then
    return null;
  end if;

  if tg_argv[2] <> '' then
    select jsonb_object_agg(name, kairan.column_of(data, name)) into content
    from (select trim(n) as name from string_to_array(tg_argv[2], ',') s, unnest(s) n) names;
  end if;

  perform kairan.publish(
    targets,
    content,
    case when tg_argv[1] <> '' then kairan.fill_in(tg_argv[1], data || jsonb_build_object('op', lower(tg_op))) end
  );
  return null;
end $$;
comment on function kairan.publish_row() is
  'Trigger function, after … for each row: publishes the row. Arguments: channels, comma-separated, with {column} for the row''s values (one whose column is null is left out); the type, with {op} for insert, update or delete (none when empty); the columns to send, comma-separated (all of them when absent).';

create function kairan.fill_in(template text, data jsonb) returns text language plpgsql immutable as $$
declare
  filled text := '';
  part text[];
begin
  -- Either plain text, or a {name}. What was filled in is not looked at again.
  for part in select regexp_matches(template, '([^{]+|\{(?![^{}]+\}))|\{([^{}]+)\}', 'g') loop
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

create function kairan.column_of(data jsonb, name text) returns jsonb language plpgsql immutable as $$
begin
  if not data ? name then
    raise exception 'kairan: kairan.publish_row is to send the column "%", but the row has no such column', name
      using errcode = 'undefined_column', hint = 'List columns of the table, separated by commas.';
  end if;
  return data -> name;
end $$;
comment on function kairan.column_of(jsonb, text) is 'One column of a row that kairan.publish_row sends.';
