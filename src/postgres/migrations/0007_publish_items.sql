-- Publishing over HTTP: many notifications in one statement, each with its own result.

create function kairan.publish_items(
  items jsonb,
  body jsonb,
  out place int,
  out id uuid,
  out repeated boolean,
  out code text,
  out message text,
  out hint text
) returns setof record language plpgsql as $$
#variable_conflict use_column
declare
  item jsonb;
  item_channels text[];
  item_payload jsonb;
begin
  for place, item in select i.place - 1, i.item from jsonb_array_elements(items) with ordinality i (item, place) loop
    item_channels := array(select c from jsonb_array_elements_text(item -> 'channels') c);
    item_payload := body #> array(select p from jsonb_array_elements_text(item -> 'path') p);
    id := null;
    code := null;
    message := null;
    hint := null;
    begin
      insert into kairan.notifications as n (channels, payload, type, dedupe_key, expires_at)
      values (
        item_channels, item_payload, item ->> 'type', item ->> 'dedupeKey', (item ->> 'expiresAt')::timestamptz
      )
      on conflict (dedupe_key) where dedupe_key is not null do nothing
      returning n.id into id;
      repeated := not found;
      if repeated then
        id := kairan.publish(
          item_channels, item_payload, item ->> 'type', item ->> 'dedupeKey', (item ->> 'expiresAt')::timestamptz
        );
      end if;
    exception when invalid_parameter_value or program_limit_exceeded then
      get stacked diagnostics code = returned_sqlstate, message = message_text, hint = pg_exception_hint;
      if message not like 'kairan: %' then
        raise; -- Not about this notification: a full stack, for example.
      end if;
    end;
    return next;
  end loop;
end $$;
comment on function kairan.publish_items(jsonb, jsonb) is
  'Publishes each of items ({channels, type, dedupeKey, expiresAt, path}), with the payload that lies at its path in body; so a payload goes from the request to the table as text, and its numbers keep all their digits. Returns for each its id and whether its dedupeKey was used before, or what is wrong with it.';
