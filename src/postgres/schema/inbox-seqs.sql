-- Finds the newest positions of the log that an inbox shows: along each channel, or along the log itself.

-- A hash of the channels is made once, and each position of the log costs 0.25 µs. Finding where a channel ends costs
-- 10 µs. So where the user's channels have a good part of the log, or what is looked for is a few positions here and
-- there, this is the faster way.
create function kairan.inbox_walk(channels text[], above bigint[], types text[], lows bigint[], highs bigint[])
  returns table (seq bigint, notification_id uuid, type text, expires_at timestamptz, several boolean) language plpgsql stable
  set plan_cache_mode = force_generic_plan
  set enable_seqscan = off
  set enable_bitmapscan = off
  set enable_nestloop = off
  -- The caller's is off.
  set enable_hashjoin = on
  set enable_mergejoin = off
  set jit = off
as $$
begin
  return query
  select d.seq, d.notification_id, d.type, d.expires_at, d.several
  from (
    select d.* from unnest(lows, highs) s (low, high)
    cross join lateral (select * from kairan.numbered d where d.seq >= s.low and d.seq < s.high offset 0) d
    -- Else each range would be joined on its own.
    offset 0
  ) d
  join unnest(channels, above) c (name, low) on c.name = d.channel and d.seq > c.low
  where types is null or d.type = any(types);
end $$;
comment on function kairan.inbox_walk(text[], bigint[], text[], bigint[], bigint[]) is
  'The deliveries of these channels in these ranges of the log, of each channel above its low.';

-- Each notification's deliveries are looked through once and the channels in a hash: one on a thousand channels has a
-- thousand deliveries before its last, and a user may read a thousand channels.
create function kairan.inbox_firsts(
  channels text[],
  shown_above bigint[],
  floor bigint,
  repeated bigint[],
  ids uuid[],
  untils timestamptz[],
  out seqs bigint[],
  out expires_at timestamptz
) language plpgsql stable
  set plan_cache_mode = force_generic_plan
  set enable_seqscan = off
  set enable_bitmapscan = off
  set enable_nestloop = off
  -- The caller's is off.
  set enable_hashjoin = on
  set enable_mergejoin = off
  set jit = off
as $$
begin
  select array_agg(r.seq), min(r.until) filter (where isfinite(r.until)) into seqs, inbox_firsts.expires_at
  from unnest(repeated, untils) r (seq, until)
  join (
    select d.notification_id, min(d.seq) as seq
    from (
      select d.* from (select distinct i from unnest(ids) i) i (id)
      cross join lateral (
        select n.notification_id, n.seq, n.channel from kairan.numbered n
        where n.notification_id = i.id and n.seq > inbox_firsts.floor offset 0
      ) d
      offset 0
    ) d
    join unnest(channels, shown_above) c (name, low) on c.name = d.channel and d.seq > c.low
    group by d.notification_id
  ) f on f.seq = r.seq;
end $$;
comment on function kairan.inbox_firsts(text[], bigint[], bigint, bigint[], uuid[], timestamptz[]) is
  'Those of these deliveries, of the notifications `ids`, that are the first that the channels show of their notifications; and when the first of them expires.';

create function kairan.inbox_step(
  channels text[],
  above bigint[],
  shown_above bigint[],
  types text[],
  muted text[],
  spans int8multirange,
  floor bigint,
  below bigint,
  bottom bigint,
  most int[],
  walk_lows bigint[],
  walk_highs bigint[],
  out seqs bigint[],
  out looked_at int,
  out outside int,
  out inside int,
  out reached bigint,
  out densities float8[],
  out expires_at timestamptz
) language plpgsql stable as $$
#variable_conflict use_column
declare
  walks constant boolean := walk_lows is not null;
  some_changed constant boolean := exists (select from kairan.unsettled);
  some_again constant boolean := exists (select from kairan.redeliveries);
  -- Those whose notifications may have others on these channels.
  repeated bigint[];
  ids uuid[];
  untils timestamptz[];
begin
  with source as materialized (
    select c.n, c.n > 0 and f.found = most[c.n] as is_full, f.*
    from (
      select (c.n - 1) * coalesce(cardinality(types), 1) + coalesce(t.n, 1) as n, c.name, c.low, t.name as type
      from unnest(channels, above) with ordinality c (name, low, n)
      left join unnest(types) with ordinality t (name, n) on true
      where not walks
      union all
      select 0, null, null, null where walks
    ) c
    cross join lateral (
      select count(*)::int as found, min(d.seq) as lowest, array_agg(d.seq) filter (where d.inside) as inside,
        array_agg(d.seq) filter (where d.fits and not d.is_perhaps_repeated) as seqs,
        min(d.until) filter (where d.fits and not d.is_perhaps_repeated and isfinite(d.until)) as until,
        array_agg(d.seq) filter (where d.fits and d.is_perhaps_repeated) as repeated,
        array_agg(d.notification_id) filter (where d.fits and d.is_perhaps_repeated) as ids,
        array_agg(d.until) filter (where d.fits and d.is_perhaps_repeated) as untils
      from (
        select d.seq, d.notification_id, d.inside, d.until, d.is_perhaps_repeated,
          d.inside and (d.until is null or d.until > now())
            and (muted is null or not coalesce(d.type, '') like any(muted)) as fits
        from (
          select d.seq, d.notification_id, d.type, walks or spans @> d.seq as inside,
            shown_above is not null and (
              d.several is true or some_again and exists (
                select from kairan.redeliveries r where r.notification_id = d.notification_id
              )
            ) as is_perhaps_repeated,
            case when some_changed and exists (select from kairan.unsettled u where u.notification_id = d.notification_id)
              then (select n.expires_at from kairan.notifications n where n.id = d.notification_id)
              else d.expires_at
            end as until
          from (
            select w.* from kairan.inbox_walk(channels, above, types, walk_lows, walk_highs) w where walks
            union all
            (
              select d.seq, d.notification_id, d.type, d.expires_at, d.several from kairan.numbered d
              -- As rows: where one channel has most of the log, the planner takes "channel = …" for no condition at
              -- all, and walks along the whole log. Both ends are in the index's own order, so each ends the scan.
              where not walks and types is null
                and (d.channel, d.seq) < (c.name, below) and (d.channel, d.seq) >= (c.name, greatest(c.low + 1, bottom))
              order by d.channel desc, d.seq desc limit most[c.n]
            )
            union all
            (
              select d.seq, d.notification_id, d.type, d.expires_at, d.several from kairan.numbered d
              where not walks and types is not null and d.type is not null
                and (d.channel, d.type, d.seq) < (c.name, c.type, below)
                and (d.channel, d.type, d.seq) >= (c.name, c.type, greatest(c.low + 1, bottom))
              order by d.channel desc, d.type desc, d.seq desc limit most[c.n]
            )
          ) d
          offset 0
        ) d
      ) d
    ) f
  ),
  -- Where a channel has more, what the others have below the last one that was read of it may come after those.
  horizon as materialized (
    select coalesce(max(s.lowest) filter (where s.is_full), bottom) as seq from source s
  ),
  again as materialized (
    select array_agg(r.seq) as seqs, array_agg(r.id) as ids, array_agg(r.until) as untils
    from horizon h cross join source s cross join unnest(s.repeated, s.ids, s.untils) r (seq, id, until)
    where r.seq >= h.seq
  ),
  total as materialized (
    select sum(s.found) as found, sum(s.found - coalesce(cardinality(s.inside), 0)) as outside, min(s.until) as until,
      array_agg(s.found / (below - case when s.is_full then s.lowest else bottom end)::float8 order by s.n) as densities
    from source s
  )
  select array(select q from source s cross join unnest(s.seqs) q where q >= h.seq order by q desc),
      t.found, t.outside, (select count(*) from source s cross join unnest(s.inside) q where q >= h.seq),
      h.seq, t.densities, t.until, a.seqs, a.ids, a.untils
    into seqs, looked_at, outside, inside, reached, densities, expires_at, repeated, ids, untils
  from horizon h cross join total t cross join again a;
  if repeated is not null then
    select array(select q from unnest(inbox_step.seqs || f.seqs) q order by q desc), least(inbox_step.expires_at, f.expires_at)
      into inbox_step.seqs, inbox_step.expires_at
    from kairan.inbox_firsts(channels, shown_above, floor, repeated, ids, untils) f;
  end if;
end $$;
comment on function kairan.inbox_step(text[], bigint[], bigint[], text[], text[], int8multirange, bigint, bigint, bigint, int[], bigint[], bigint[]) is
  'What these channels show in `spans`, of each above its low, from `reached` to below `below`, newest first. Along the log it takes all in the ranges that it walks; along the channels, `most` of each, or of each channel and type. It looks at so many deliveries, some of them `outside` of the spans, and so many `inside` from `reached` on; that is `bottom` if there is no more. `densities` are how many deliveries each has in a position.';

-- The settings of a connection that goes through a pooler are not the service's: this function brings its own.
create function kairan.inbox_seqs(
  channels text[],
  above bigint[],
  shown_above bigint[],
  types text[],
  muted text[],
  spans int8multirange,
  floor bigint,
  most int,
  patience int,
  out seqs bigint[],
  out reached bigint,
  out expires_at timestamptz
) language plpgsql stable
  set plan_cache_mode = force_generic_plan
  set enable_seqscan = off
  set enable_bitmapscan = off
  set enable_hashjoin = off
  set enable_mergejoin = off
  -- Of a type, else, the planner may sort all that a channel has.
  set enable_sort = off
  set enable_incremental_sort = off
  set jit = off
as $$
declare
  shares constant int := greatest(1, cardinality(channels) * coalesce(cardinality(types), 1));
  bottom constant bigint := lower(spans);
  -- The newest of the spans that are left, and what it costs to walk along them up to each; the one to look at.
  piece constant int := 2048;
  lows bigint[];
  highs bigint[];
  costs float8[];
  span int := 1;
  last int;
  -- It has come to here.
  below bigint := upper(spans);
  wanted int;
  size int;
  -- How much of the log each channel has, or each type on it; and how many to read of each.
  densities float8[] := array_fill(1.0::float8, array[shares]);
  each int[];
  -- What the rest costs either way, in microseconds: about 6 to find where a channel ends, and 3 a span.
  along_cost float8;
  walk_cost float8;
  spent float8;
  budget float8;
  walk_lows bigint[];
  walk_highs bigint[];
  -- How far to walk within one span, in positions for each that is wanted: at first as if nearly all of them fit.
  reach float8 := 1.25;
  step record;
  all_inside int := 0;
  looked_at int := 0;
  is_first boolean := true;
  is_leaping boolean := false;
begin
  seqs := '{}';
  if types is not null then
    types := array(select distinct t from unnest(types) t);
  end if;
  if '%' = any(muted) then
    return;
  end if;
  while below > bottom loop
    while span <= cardinality(lows) and lows[span] >= below loop
      span := span + 1;
    end loop;
    wanted := most - cardinality(seqs);
    if lows is null or span > cardinality(lows) then
      select array_agg(s.low), array_agg(s.high), array_agg(s.cost) into lows, highs, costs
      from (
        select s.low, s.high, sum(3 + 0.25 * (s.high - s.low)) over (order by s.low desc) as cost
        from (
          select lower(s) as low, least(upper(s), below) as high from unnest(spans) s
          where lower(s) < below order by low desc limit piece
        ) s
      ) s;
      span := 1;
      last := cardinality(lows);
      if along_cost is null then
        -- What is not in the spans is read in vain.
        along_cost := 6 * shares + 0.8 * wanted * (highs[1] - lows[last]) / (4 * (costs[last] - 3 * last));
        -- Worth a try?
        walk_cost := case when shares > 32 or last >= 8 then 0 else costs[last] end;
        budget := greatest(100, least(1000, along_cost / 8));
      end if;
    end if;
    -- What lies between two spans is leapt over.
    below := least(below, highs[span]);

    if walk_cost <= along_cost then
      last := greatest(span, width_bucket(costs[span] - 0.25 * (below - lows[span]) - 3 + budget, costs));
      walk_lows := lows[span:last];
      walk_highs := highs[span:last];
      walk_highs[1] := below;
      if last = span then
        walk_lows[1] := greatest(walk_lows[1], below - least(budget * 4, 64 + reach * wanted)::bigint);
        reach := reach * 4;
      end if;
      size := 0;
    else
      walk_lows := null;
      -- As many more as did not fit until now.
      size := least(1024, wanted + case when all_inside > cardinality(seqs)
        then wanted::bigint * (all_inside - cardinality(seqs)) / greatest(cardinality(seqs), 1) + wanted / 8 + 8
        else 0 end);
      -- Small steps where most of it is passed over, so that the next leap is not far.
      if is_leaping then
        size := least(size, 64);
      end if;
      -- First of all it finds out how much each channel has. A step is not smaller than what is read for it anyway.
      if is_first then
        size := least(size, greatest(128, 16 * shares));
        is_first := false;
      end if;
      size := greatest(size, least(shares / 2, 1024));
      -- Of each its share and, as that varies, a few more.
      each := array(
        select case when d > 0 then least(size, ceil(size * d / t.total + 3 * sqrt(size * d / t.total) + 3))::int else 0 end
        from unnest(densities) with ordinality d (d, n)
        cross join (select sum(d) as total from unnest(densities) d) t
        order by n
      );
    end if;

    step := kairan.inbox_step(
      channels, above, shown_above, types, muted, spans, floor, below,
      case when walk_lows is null then bottom else walk_lows[cardinality(walk_lows)] end,
      each, walk_lows, walk_highs
    );
    seqs := seqs || step.seqs;
    inbox_seqs.expires_at := least(inbox_seqs.expires_at, step.expires_at);
    if cardinality(seqs) >= most then
      seqs := seqs[1:most];
      reached := seqs[most];
      return;
    end if;
    all_inside := all_inside + step.inside;
    looked_at := looked_at + case when types is null then step.inside else step.looked_at end;

    -- What the rest costs if it is like this step.
    spent := case when walk_lows is null then 6 * shares + 0.8 * step.looked_at
      else 3 + 0.25 * (below - walk_lows[1]) + costs[last] - costs[span] + 0.5 * step.looked_at end;
    spent := spent * least(
      (wanted - cardinality(step.seqs)) / nullif(cardinality(step.seqs), 0)::float8,
      (step.reached - bottom) / (below - step.reached)::float8
    );
    if walk_lows is null then
      along_cost := spent;
      walk_cost := walk_cost * 0.75;
      densities := step.densities;
      is_leaping := step.outside * 2 > step.looked_at;
    else
      walk_cost := spent;
      along_cost := along_cost * 0.75;
      budget := least(4000, budget * 4);
    end if;
    below := step.reached;
    if looked_at >= patience and below > bottom then
      reached := below;
      return;
    end if;
  end loop;
end $$;
comment on function kairan.inbox_seqs(text[], bigint[], bigint[], text[], text[], int8multirange, bigint, int, int) is
  'The newest `most` positions in `spans` of what these channels show, of each above its low: not below `shown_above`, not expired, of one of `types` unless that is null, of none of the patterns `muted`, each notification once, or, where `shown_above` is null, each delivery. Looks at about `patience` deliveries in them; when it has not come to the end, `reached` is how far it came. `expires_at` is when the first of them expires.';
