-- What the role of an application needs to publish. It reads no payload, and no status.
grant usage on schema kairan to shop;
grant insert, select (id, dedupe_key) on kairan.notifications to shop;
grant insert, select (notification_id, channel) on kairan.deliveries to shop;
grant select on sequence kairan.max_event_bytes to shop;
