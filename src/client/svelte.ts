import {
  createInbox,
  type InboxActions,
  type InboxClient,
  type InboxOptions,
  type InboxState,
} from './inbox.ts'
import type { AnyPayloads, EventOf, Notifications, Payloads, State } from './types.ts'

/** A store, as Svelte reads it with `$`. */
export type Store<Value> = { subscribe(run: (value: Value) => void): () => void }

/** A store of `status`, `reason` and `unread` of a client. */
export const useNotifications = <P extends Payloads<P> = AnyPayloads>(
  client: Notifications<P>,
): Store<State> => storeOf(client)

/**
 * Calls the listener with each event of a type, or of any type with `*`. Returns a function that ends this, for
 * `$effect` or `onMount`.
 */
export const useNotification = <P extends Payloads<P>, Type extends (keyof P & string) | '*'>(
  client: Notifications<P>,
  type: Type,
  listener: (event: EventOf<P, Type>) => void,
): (() => void) => client.on(type, listener)

/**
 * The same for the events of one channel, which the stream carries until the returned function is called. `onRefused`
 * is called when the user may not read it.
 */
export const useChannel = <P extends Payloads<P>, Type extends (keyof P & string) | '*'>(
  client: Notifications<P>,
  channel: string,
  type: Type,
  listener: (event: EventOf<P, Type>) => void,
  onRefused?: () => void,
): (() => void) => client.channel(channel).on(type, listener, onRefused)

/** The inbox of a client: a store, and what can be done with it. It follows the stream while somebody subscribes. */
export const useInbox = (
  client: InboxClient,
  options: InboxOptions = {},
): Store<InboxState> & InboxActions => {
  const inbox = createInbox(client, options)
  const { state: _, subscribe: __, ...actions } = inbox
  return { ...storeOf(inbox), ...actions }
}

const storeOf = <Value>(source: {
  readonly state: Value
  subscribe(listener: () => void): () => void
}): Store<Value> => ({
  subscribe(run) {
    const stop = source.subscribe(() => run(source.state))
    run(source.state)
    return stop
  },
})
