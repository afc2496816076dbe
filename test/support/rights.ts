import type { TestDatabase } from './database.ts'
import { denied, type Login, stateOf } from './logins.ts'

/**
 * Everything that a login may do with the objects of the schema. It tries each column, table, sequence and function of
 * the catalog, and rolls everything back.
 */
export const rightsOf = async (
  db: TestDatabase,
  { sql }: Pick<Login, 'sql'>,
): Promise<string[]> => {
  const rights = new Set<string>()
  for (const { right, statement } of await attempts(db)) {
    const state = await stateOf(
      sql
        .begin(async tx => {
          await tx.unsafe(statement)
          throw new Rollback()
        })
        .catch(error => {
          if (!(error instanceof Rollback)) throw error
        }),
    )
    // Postgres checks the right first, so another error means that the login has it.
    if (state !== denied) rights.add(right)
  }
  return [...rights].toSorted()
}

class Rollback extends Error {}

/** Read by a superuser, because the login may not see all objects. */
const attempts = ({ sql }: TestDatabase) => sql<{ right: string; statement: string }[]>`
  with relation as (
    select c.oid, c.relname as name, c.relkind as kind from pg_class c
    where c.relnamespace = 'kairan'::regnamespace and c.relkind in ('r', 'v', 'S')
  ),
  routine as (
    select p.oid, p.proname as name, p.prorettype = 'trigger'::regtype as is_trigger, (
      select coalesce(string_agg(format('null::%I.%I', t.typnamespace::regnamespace, t.typname), ', ' order by place), '')
      from unnest(p.proargtypes::oid[]) with ordinality a (type, place) join pg_type t on t.oid = a.type
    ) as arguments
    from pg_proc p where p.pronamespace = 'kairan'::regnamespace
  )
  select format('%s %s.%s', verb, r.name, a.attname) as right, case verb
      when 'select' then format('select %I from kairan.%I limit 0', a.attname, r.name)
      when 'insert' then format('insert into kairan.%I (%I) values (default)', r.name, a.attname)
      when 'update' then format('update kairan.%I set %I = default where false', r.name, a.attname)
    end as statement
  from relation r join pg_attribute a on a.attrelid = r.oid and a.attnum > 0 and not a.attisdropped
  cross join unnest(case r.kind when 'r' then '{select,insert,update}' when 'v' then '{select}' else '{}' end::text[]) verb
  union all
  select verb || ' ' || name, case verb
      when 'delete' then format('delete from kairan.%I where false', name)
      else format('truncate kairan.%I', name)
    end
  from relation, unnest('{delete,truncate}'::text[]) verb where kind = 'r'
  union all
  select verb || ' ' || name, case verb
      when 'read' then format('select last_value from kairan.%I', name)
      when 'nextval' then format('select nextval(%L)', 'kairan.' || name)
      else format('select setval(%L, 70000)', 'kairan.' || name)
    end
  from relation, unnest('{read,nextval,setval}'::text[]) verb where kind = 'S'
  union all
  select 'execute ' || name, case
      when is_trigger then format('create temp table t (); create trigger t after insert on t for each row execute function kairan.%I()', name)
      else format('select kairan.%I(%s)', name, arguments)
    end
  from routine`
