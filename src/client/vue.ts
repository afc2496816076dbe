import {
  getCurrentInstance,
  type MaybeRefOrGetter,
  onMounted,
  onScopeDispose,
  type ShallowRef,
  shallowRef,
  toValue,
  watch,
} from 'vue'
import {
  createInbox,
  type InboxActions,
  type InboxClient,
  type InboxOptions,
  type InboxState,
} from './inbox.ts'
import type { AnyPayloads, EventOf, Notifications, Payloads, State } from './types.ts'

/** `status`, `reason` and `unread` of a client. */
export const useNotifications = <P extends Payloads<P> = AnyPayloads>(
  client: Notifications<P>,
): Readonly<ShallowRef<State>> => follow(client)

/** Calls the listener with each event of a type, or of any type with `*`, while the component is mounted. */
export const useNotification = <P extends Payloads<P>, Type extends (keyof P & string) | '*'>(
  client: Notifications<P>,
  type: Type,
  listener: (event: EventOf<P, Type>) => void,
): void => whileMounted(() => client.on(type, listener))

/**
 * The same for the events of one channel, which the stream carries while the component is mounted. `onRefused` is
 * called when the user may not read it. The channel may be a ref, or a getter.
 */
export const useChannel = <P extends Payloads<P>, Type extends (keyof P & string) | '*'>(
  client: Notifications<P>,
  channel: MaybeRefOrGetter<string>,
  type: Type,
  listener: (event: EventOf<P, Type>) => void,
  onRefused?: () => void,
): void =>
  whileMounted(() =>
    watch(
      () => toValue(channel),
      (name, _, onCleanup) => onCleanup(client.channel(name).on(type, listener, onRefused)),
      { immediate: true },
    ),
  )

/**
 * The inbox of a client: its state, and what can be done with it. It is loaded and follows the stream while the
 * component is mounted.
 */
export const useInbox = (
  client: InboxClient,
  options: InboxOptions = {},
): InboxActions & { state: Readonly<ShallowRef<InboxState>> } => {
  const inbox = createInbox(client, options)
  return { ...inbox, state: follow(inbox) }
}

const follow = <Value>(source: {
  readonly state: Value
  subscribe(listener: () => void): () => void
}) => {
  const state = shallowRef(source.state)
  const update = () => {
    state.value = source.state
  }
  whileMounted(() => {
    const stop = source.subscribe(update)
    update()
    return stop
  })
  return state
}

/** A render on a server mounts nothing, so that it starts nothing. A scope without a component starts at once. */
const whileMounted = (start: () => () => void) => {
  let stop: (() => void) | undefined
  const run = () => {
    stop = start()
  }
  if (getCurrentInstance()) onMounted(run)
  else run()
  onScopeDispose(() => stop?.())
}
