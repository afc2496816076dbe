-- The same as a row.
insert into kairan.notifications (channels, payload, type)
values ('{all-users}', jsonb_build_object('text', :'text'), 'news')
returning id;
