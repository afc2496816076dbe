import type { CreateEden } from 'elysia'
import type { Problem } from './problem.ts'
import type { Schema, Static, TSchema } from './schema.ts'

/** What a route reads and answers. */
export type OperationFacts = {
  tag: 'Streams' | 'Inbox' | 'Publishing' | 'Administration' | 'Operating'
  /** A name for programs that are generated from the description. */
  id: string
  summary: string
  description?: string
  /** How each parameter of the query is described; readers of `query.ts` say it themselves. */
  query?: Queried
  /** Parts of the path, without `:`. */
  params?: Record<string, Schema<string>>
  headers?: Record<string, Schema<string>>
  body?: TSchema
  /** The body may be left out. */
  hasOptionalBody?: true
  /** The same as a form; of no use for Eden Treaty. */
  form?: TSchema
  answers: Readonly<Record<number, Answer>>
  /** The statuses of its problems that a program should expect, besides those of every route. */
  problems?: readonly number[]
  /** Whether anybody may ask. */
  isPublic?: true
  /** How a caller may be identified, where it is not as everywhere. */
  security?: readonly string[]
}

type Described = { schema: TSchema; isRequired?: boolean }

/** An answer: JSON of a schema, unless it has another `type`; without a schema it has no body. */
export type Answer = { description: string; schema?: TSchema; type?: string; item?: TSchema }

/** An operation: the `detail` of its route is what OpenAPI calls one. `Route` is what Eden Treaty has to know. */
export type Operation<Route = unknown> = {
  detail: Record<string, unknown>
  /** For types only. */
  route?: Route
}

/** Operations by `METHOD /path`, as their routes are named. */
export type Operations = Readonly<Record<string, Operation>>

/**
 * Defines what a route reads and answers, in one place: the route has `detail` among its options, the description of
 * the API is made of it, and Eden Treaty's types are derived from it.
 */
export const operation = <const Facts extends OperationFacts>(
  facts: Facts,
): Operation<RouteOf<Facts>> => ({ detail: detailOf(facts) })

const detailOf = (facts: OperationFacts) => {
  const { tag, id, summary, description, isPublic, security = isPublic && [] } = facts
  const parameters = parametersOf(facts)
  return {
    tags: [tag],
    operationId: id,
    summary,
    ...(description !== undefined && { description }),
    ...(security && { security: security.map(name => ({ [name]: [] })) }),
    ...(parameters.length > 0 && { parameters }),
    ...(facts.body && { requestBody: bodyOf(facts) }),
    responses: responsesOf(facts),
  }
}

const parametersOf = ({ query = {}, params = {}, headers = {} }: OperationFacts) => [
  ...Object.entries(params).map(([name, { description, ...schema }]) => ({
    ...{ name, in: 'path', required: true },
    ...(description !== undefined && { description }),
    schema,
  })),
  ...Object.entries(query).map(([name, { schema, isRequired }]) => ({
    ...{ name, in: 'query' },
    ...(isRequired && { required: true }),
    ...withoutDescription(schema),
  })),
  ...Object.entries(headers).map(([name, schema]) => ({
    ...{ name, in: 'header' },
    ...withoutDescription(schema),
  })),
]

/** The description of a parameter stands beside its schema. */
const withoutDescription = ({ description, ...schema }: TSchema) =>
  description === undefined ? { schema } : { description, schema }

const bodyOf = ({ body, form, hasOptionalBody }: OperationFacts) => ({
  required: !hasOptionalBody,
  content: {
    'application/json': { schema: body },
    ...(form && { 'application/x-www-form-urlencoded': { schema: form } }),
  },
})

const responsesOf = ({ answers, problems = [], isPublic }: OperationFacts) => ({
  ...Object.fromEntries(
    Object.entries(answers).map(([status, { description, schema, item, type = json }]) => [
      status,
      {
        description,
        ...(schema && { content: { [type]: { schema } } }),
        ...(item && { content: { [type]: { itemSchema: item } } }),
      },
    ]),
  ),
  ...Object.fromEntries((isPublic ? [] : [401, ...problems]).map(status => [status, problem])),
  ...(!isPublic && { default: problem }),
})

const json = 'application/json'
const problem = { $ref: '#/components/responses/Problem' }

/**
 * What Eden Treaty has to know of a route. It is not exported, so that declarations have its plain members: two copies
 * of the types of schemas, as CommonJS and modules have them, would not be the same to an application.
 */
type RouteOf<Facts extends OperationFacts> = {
  body: Facts extends { body: infer Body extends TSchema }
    ? Static<Body> | (Facts extends { hasOptionalBody: true } ? undefined : never)
    : unknown
  query: Facts extends { query: infer Query extends Queried } ? Sent<Query> : unknown
  params: Facts extends { params: infer Params } ? { [Name in keyof Params]: string } : unknown
  headers: unknown
  response: Answered<Facts['answers']> & { [Status in ProblemStatus]: Problem }
}

type ProblemStatus = 400 | 401 | 403 | 404 | 429 | 503

type Queried = Readonly<Record<string, Described>>

type Sent<Query extends Queried> = { [Name in keyof Query]?: Static<Query[Name]['schema']> }

type Answered<Answers extends Readonly<Record<number, Answer>>> = {
  [Status in keyof Answers]: Answers[Status] extends { schema: infer Schema extends TSchema }
    ? Static<Schema>
    : undefined
}

/** The routes of operations as Elysia has them, for Eden Treaty. */
export type RoutesOf<All extends Operations> = Together<
  {
    [Name in keyof All]: Name extends `${infer Method} ${infer Path}`
      ? CreateEden<Path, { [M in Lowercase<Method>]: NonNullable<All[Name]['route']> }>
      : never
  }[keyof All]
>

/** The intersection of the members of a union. */
type Together<Union> = (Union extends unknown ? (one: Union) => void : never) extends (
  all: infer All,
) => void
  ? All
  : never
