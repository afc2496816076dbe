-- Finds the newest positions of the log that an inbox shows: along each channel, or along the log itself.

-- Of a thousand channels, a page of each would be a thousand pages for one. So a few of each are read. Where a channel
-- has more, what the others have below the last one that was read of it may come after those: it is left for later.
create function kairan.inbox_candidates(channels text[], lows bigint[], below bigint, bottom bigint, most int, each int)
  returns table (seq bigint, notification_id uuid, type text, expires_at timestamptz, several boolean, more boolean) language sql stable as $$
  with found as materialized (
    select d.*
    from unnest(channels, lows) c (name, low)
    cross join lateral (
      select d.*, row_number() over () as place
      from (
        select d.seq, d.notification_id, d.type, d.expires_at, d.several from kairan.numbered d
        -- As rows: where one channel has most of the log, the planner takes "channel = …" for no condition at
        -- all, and walks along the whole log. Both ends are in the index's own order, so each ends the scan.
        where (d.channel, d.seq) < (c.name, below) and (d.channel, d.seq) >= (c.name, greatest(c.low + 1, bottom))
        order by d.channel desc, d.seq desc limit each
      ) d
    ) d
  ),
  horizon as materialized (
    select greatest(max(f.seq) filter (where f.place = each), bottom) as seq from found f
  )
  select f.seq, f.notification_id, f.type, f.expires_at, f.several, h.seq > bottom
  from horizon h join found f on f.seq >= h.seq
  order by f.seq desc limit most
$$;
comment on function kairan.inbox_candidates(text[], bigint[], bigint, bigint, int, int) is
  'The newest deliveries of these channels, of each above its low, from `bottom` to below `below`, at most `most`, and about `each` of a channel. `more` says that there may be others below the last.';

create function kairan.inbox_candidates_of(channels text[], lows bigint[], types text[], below bigint, bottom bigint, most int, each int)
  returns table (seq bigint, notification_id uuid, type text, expires_at timestamptz, several boolean, more boolean) language sql stable as $$
  with found as materialized (
    select d.*
    from unnest(channels, lows) c (name, low)
    cross join (select distinct t from unnest(types) t) t (name)
    cross join lateral (
      select d.*, row_number() over () as place
      from (
        select d.seq, d.notification_id, d.type, d.expires_at, d.several from kairan.numbered d
        where (d.channel, d.type, d.seq) < (c.name, t.name, below)
          and (d.channel, d.type, d.seq) >= (c.name, t.name, greatest(c.low + 1, bottom)) and d.type is not null
        order by d.channel desc, d.type desc, d.seq desc limit each
      ) d
    ) d
  ),
  horizon as materialized (
    select greatest(max(f.seq) filter (where f.place = each), bottom) as seq from found f
  )
  select f.seq, f.notification_id, f.type, f.expires_at, f.several, h.seq > bottom
  from horizon h join found f on f.seq >= h.seq
  order by f.seq desc limit most
$$;
comment on function kairan.inbox_candidates_of(text[], bigint[], text[], bigint, bigint, int, int) is
  'The same as kairan.inbox_candidates of these types.';

-- A hash of the channels is made once, and each position of the log costs 0.25 µs. Finding where a channel ends costs
-- 10 µs. So where the user's channels have a good part of the log, or what is looked for is a few positions here and
-- there, this is the faster way.
create function kairan.inbox_walk(channels text[], above bigint[], types text[], lows bigint[], highs bigint[], most int)
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
  from unnest(lows, highs) s (low, high)
  cross join lateral (select * from kairan.numbered d where d.seq >= s.low and d.seq < s.high offset 0) d
  join unnest(channels, above) c (name, low) on c.name = d.channel and d.seq > c.low
  where types is null or d.type = any(types)
  order by d.seq desc limit most;
end $$;
comment on function kairan.inbox_walk(text[], bigint[], text[], bigint[], bigint[], int) is
  'The newest deliveries of these channels in these ranges of the log, of each channel above its low, at most `most`.';

-- The settings of a connection that goes through a pooler are not the service's: these functions bring their own.
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
  set jit = off
as $$
declare
  -- The spans, newest first, the one that it has come to, and the position below which it goes on.
  lows bigint[];
  highs bigint[];
  span int := 1;
  below bigint;
  bottom bigint;
  wanted int;
  size int;
  each int;
  -- Of a channel alone a whole step; of many a few more than their share.
  shares constant int := greatest(1, cardinality(channels) * coalesce(cardinality(types), 1));
  share float8;
  factor int := 1;
  -- Whether it goes along the log next, to which span, and over how many positions.
  walks boolean;
  may_walk boolean := true;
  last int;
  width bigint;
  longest constant int := 8 * shares + 256;
  stride int := least(longest, greatest(256, 2 * most));
  walk_lows bigint[];
  walk_highs bigint[];
  -- What a step found: deliveries, those of them that are in the spans, and of these the ones that are shown.
  candidates int := 0;
  inside int := 0;
  fitting bigint[];
  lowest bigint;
  soonest timestamptz;
  is_more boolean;
  all_inside int := 0;
  looked_at int := 0;
  is_settled constant boolean := not exists (select from kairan.unsettled) and not exists (select from kairan.redeliveries);
begin
  select array_agg(s.low), array_agg(s.high), lower(spans), upper(spans) into lows, highs, bottom, below
  from (select lower(s) as low, upper(s) as high from unnest(spans) s order by low desc) s;
  seqs := '{}';

  while span <= cardinality(lows) loop
    if lows[span] >= below then
      span := span + 1;
      continue;
    end if;
    -- What lies between two spans is leapt over.
    below := least(below, highs[span]);
    wanted := most - cardinality(seqs);
    -- As many more as did not fit until now.
    size := least(1024, wanted + case
      when all_inside > cardinality(seqs)
        then wanted::bigint * (all_inside - cardinality(seqs)) / greatest(cardinality(seqs), 1) + wanted / 8 + 8
      else 0
    end);

    walks := false;
    if may_walk then
      last := span;
      width := below - lows[span];
      while last < cardinality(lows) and last - span < 255 and width + highs[last + 1] - lows[last + 1] <= stride loop
        last := last + 1;
        width := width + highs[last] - lows[last];
      end loop;
      walks := shares > 32 or last - span >= 7 or (last = cardinality(lows) and width <= stride);
    end if;
    if walks then
      walk_lows := lows[span:last];
      walk_highs := highs[span:last];
      walk_highs[1] := below;
      if width > stride then
        width := stride;
        walk_lows[1] := below - stride;
      end if;
    else
      if types is not null then
        size := least(size, 256);
      end if;
      -- Small steps where most of it is passed over, so that the next leap is not far.
      if inside * 2 < candidates then
        size := least(size, 8);
      end if;
      -- A step is not smaller than what is read for it anyway.
      size := greatest(size, least(shares / 2, 1024));
      share := size::float8 / shares;
      each := least(size, factor * ceil(share + 3 * sqrt(share) + 3));
    end if;

    select array_agg(c.seq order by c.seq desc) filter (where c.fits), min(c.seq), count(*) filter (where c.inside), count(*),
        min(c.expires_at) filter (where c.fits and isfinite(c.expires_at)), bool_or(c.more)
      into fitting, lowest, inside, candidates, soonest, is_more
    from (
      select c.seq, c.more, c.inside, e.expires_at,
        c.inside and (e.expires_at is null or e.expires_at > now()) and n.is_repeated is not true
          and (muted is null or not coalesce(c.type, '') like any(muted)) as fits
      from (
        select c.*, walks or spans @> c.seq as inside,
          c.several or not is_settled and (
            exists (select from kairan.unsettled u where u.notification_id = c.notification_id)
            or exists (select from kairan.redeliveries r where r.notification_id = c.notification_id)
          ) as is_doubtful
        from (
          select w.*, false as more
          from kairan.inbox_walk(channels, above, types, walk_lows, walk_highs, size) w
          where walks
          union all
          select a.* from kairan.inbox_candidates(channels, above, below, bottom, size, each) a
          where not walks and types is null
          union all
          select t.* from kairan.inbox_candidates_of(channels, above, types, below, bottom, size, each) t
          where not walks and types is not null
        ) c
        offset 0
      ) c
      left join lateral (
        select n.expires_at, cardinality(n.channels) > 1 and exists (
          -- On several of the channels it is there once, as the first of its deliveries.
          select from kairan.numbered s
          where s.notification_id = n.id and s.seq < c.seq and s.seq > inbox_seqs.floor
            and s.seq > inbox_seqs.shown_above[array_position(inbox_seqs.channels, s.channel)]
        ) as is_repeated
        from kairan.notifications n where c.inside and c.is_doubtful and n.id = c.notification_id
        limit 1
      ) n on true
      cross join lateral (select case when c.is_doubtful then n.expires_at else c.expires_at end as expires_at) e
    ) c;

    seqs := seqs || coalesce(fitting, '{}');
    inbox_seqs.expires_at := least(inbox_seqs.expires_at, soonest);
    if cardinality(seqs) >= most then
      seqs := seqs[1:most];
      reached := seqs[most];
      return;
    end if;
    all_inside := all_inside + inside;
    if candidates = size then
      below := lowest;
      may_walk := true;
    elsif walks then
      below := walk_lows[cardinality(walk_lows)];
      if last - span >= 7 then
        -- Where nothing was in a few long spans, the channels know how far it is to the next.
        may_walk := candidates > 0 or last - span = 255;
      else
        -- What the rest costs, in positions: a channel's end is 40 of them, and each delivery along it 12.
        wanted := most - cardinality(seqs);
        may_walk := wanted::bigint * width < (40 * shares + 12 * wanted)::bigint * coalesce(cardinality(fitting), 0);
      end if;
      stride := least(stride * 2, longest);
    else
      if is_more is not true then
        return; -- That was all.
      end if;
      -- One of the channels has most of it.
      if candidates < size / 2 then
        factor := least(factor * 4, 1024);
      end if;
      below := lowest;
      may_walk := true;
    end if;
    looked_at := looked_at + case when types is null then inside else candidates end;
    if looked_at >= patience then
      reached := below;
      return;
    end if;
  end loop;
end $$;
comment on function kairan.inbox_seqs(text[], bigint[], bigint[], text[], text[], int8multirange, bigint, int, int) is
  'The newest `most` positions in `spans` of what these channels show, of each above its low: not below `shown_above`, not expired, of one of `types` unless that is null, of none of the patterns `muted`, each notification once. Looks at about `patience` deliveries in them; when it has not come to the end, `reached` is how far it came. `expires_at` is when the first of them expires.';
