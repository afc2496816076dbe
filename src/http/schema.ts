import { type Static, type TSchema, t } from 'elysia'

/**
 * Elysia's `t`: schemas of what routes read and answer. A schema is the one definition of it: the types of the source
 * and of Eden Treaty are its `Static`, and the description of the API has it. What a route reads is checked by the
 * room's own reader, after it is known who asks: Elysia's validation comes before that, stops at other limits, and says
 * neither which value was wrong nor what to send.
 */
export { type Static, type TSchema, t }

/** A schema of values of this type. */
export type Schema<T = unknown> = TSchema & { static: T }

/** A whole number. Elysia's own would also be described as a string. */
export const whole = (options: {
  minimum?: number
  maximum?: number
  default?: number
  description?: string
}): Schema<number> => t.Unsafe<number>({ type: 'integer', ...options })

/** One of these values. Elysia's own would have the first as its default. */
export const among = <const Value extends string | number>(
  values: readonly Value[],
  options: { description?: string } = {},
): Schema<Value> => t.Unsafe<Value>({ enum: values, ...options })

/** A value or null. */
export const orNull = <T extends TSchema>(schema: T): Schema<Static<T> | null> =>
  t.Unsafe<Static<T> | null>({ anyOf: [schema, { type: 'null' }] })

/** A moment in ISO 8601. */
export const moment = (options: { description?: string } = {}) =>
  t.String({ format: 'date-time', ...options })

/** The id of a notification. */
export const uuid = (options: { description?: string } = {}) =>
  t.String({ format: 'uuid', ...options })
