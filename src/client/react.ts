import { useEffect, useMemo, useRef, useSyncExternalStore } from 'react'
import {
  createInbox,
  type InboxActions,
  type InboxClient,
  type InboxOptions,
  type InboxState,
} from './inbox.ts'
import type { AnyPayloads, EventOf, Notifications, Payloads, State } from './types.ts'

/** `status`, `reason` and `unread` of a client. The component renders again when one of them changes. */
export const useNotifications = <P extends Payloads<P> = AnyPayloads>(
  client: Notifications<P>,
): State => {
  const snapshot = () => client.state
  return useSyncExternalStore(client.subscribe, snapshot, snapshot)
}

/**
 * Calls the listener of the last render with each event of a type, or of any type with `*`, while the component is
 * mounted.
 */
export const useNotification = <P extends Payloads<P>, Type extends (keyof P & string) | '*'>(
  client: Notifications<P>,
  type: Type,
  listener: (event: EventOf<P, Type>) => void,
): void => {
  const latest = useRef(listener)
  useEffect(() => {
    latest.current = listener
  })
  useEffect(() => client.on(type, event => latest.current(event)), [client, type])
}

/**
 * The same for the events of one channel, which the stream carries while the component is mounted. `onRefused` is
 * called when the user may not read it.
 */
export const useChannel = <P extends Payloads<P>, Type extends (keyof P & string) | '*'>(
  client: Notifications<P>,
  channel: string,
  type: Type,
  listener: (event: EventOf<P, Type>) => void,
  onRefused?: () => void,
): void => {
  const latest = useRef({ listener, onRefused })
  useEffect(() => {
    latest.current = { listener, onRefused }
  })
  useEffect(
    () =>
      client.channel(channel).on(
        type,
        event => latest.current.listener(event),
        () => latest.current.onRefused?.(),
      ),
    [client, channel, type],
  )
}

/**
 * The inbox of a client: its state, and what can be done with it. It is loaded and follows the stream while the
 * component is mounted.
 */
export const useInbox = (
  client: InboxClient,
  options: InboxOptions = {},
): InboxState & InboxActions => {
  // The options may be a new object in each render.
  const key = JSON.stringify([options.limit, options.type, options.archived])
  const inbox = useMemo(() => createInbox(client, options), [client, key])
  const snapshot = () => inbox.state
  const state = useSyncExternalStore(inbox.subscribe, snapshot, snapshot)
  return useMemo(() => ({ ...inbox, ...state }), [inbox, state])
}
