-- Traces: a notification knows of which trace it is, from whoever publishes it to the stream that takes it.

-- Without the setting it is null, and null takes no room in a row.
alter table kairan.notifications
  add column traceparent text default nullif(pg_catalog.current_setting('kairan.traceparent', true), '');
comment on column kairan.notifications.traceparent is
  'The W3C trace context of who published it, if that is traced: by default the setting kairan.traceparent of the transaction. What is none is ignored.';
