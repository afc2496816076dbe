import { Elysia } from 'elysia'
import type { CallerPlugin } from '../auth/caller-routes.ts'
import { isChannel } from '../auth/channels.ts'
import { requireReadable, rightsOrUnavailable, tooManyChannels } from '../auth/standing.ts'
import { answer } from '../http/answer.ts'
import { readObject, requireMembers } from '../http/body.ts'
import { excerpt } from '../lib/characters.ts'
import { KairanError } from '../lib/errors.ts'
import { createRate } from '../lib/rate-limit.ts'
import { isUuid } from '../lib/uuid.ts'
import type { ChannelChange } from './choice.ts'
import type { CarryAlsoElsewhere, ChangeElsewhere } from './presence.ts'
import { changeMembers, streamOperations } from './schema.ts'
import { type Streams, streamNotFound } from './streams.ts'

/**
 * `POST /notifications/stream/{streamId}/channels`: adds and removes channels of an open stream of the caller, on any
 * instance, and answers with the channels that it carries then. With `also`, it sets the channels that the stream carries
 * besides its own, as `?also=` does; the stream's `also` event says what became of them.
 */
export const streamChannelsRoute = (options: {
  caller: CallerPlugin
  streams: Pick<Streams, 'change' | 'carryAlso' | 'readableOf'>
  changeElsewhere: ChangeElsewhere
  carryAlsoElsewhere: CarryAlsoElsewhere
  maxChannels: number
}) => {
  const { streams, maxChannels } = options
  const rate = createRate({ perSecond: 20, burst, what: 'changes of channels' })

  const changeThere: Streams['change'] = async (id, caller, change) => {
    const readable = await rightsOrUnavailable(streams.readableOf(caller, change.add))
    requireReadable(change.add, readable)
    const channels = await options.changeElsewhere(id, caller.userId, change)
    if (channels === null || channels.length <= maxChannels) return channels
    throw tooManyChannels(channels.length, maxChannels, 'Remove some, or open another stream.')
  }

  return new Elysia({ name: 'stream-channels' }).use(options.caller).post(
    '/notifications/stream/:streamId/channels',
    async ({ caller, params: { streamId }, request }) => {
      const { object, text } = await readObject(request, maxBytes)
      // For another instance it goes through a table that all of them read.
      rate(caller.userId, Math.min(Math.floor(text.length / bytesOfOne), burst / 2))
      if (!isUuid(streamId)) throw streamNotFound()
      if (object.also !== undefined) {
        const also = readAlso(object)
        const isOpen =
          (await streams.carryAlso(streamId, caller.userId, also)) ||
          (await options.carryAlsoElsewhere(streamId, caller.userId, also))
        if (!isOpen) throw streamNotFound()
        return answer({ also }, { status: 202 })
      }
      const change = readChange(object, maxChannels)
      const channels =
        (await rightsOrUnavailable(streams.change(streamId, caller, change))) ??
        (await changeThere(streamId, caller, change))
      if (channels === null) throw streamNotFound()
      return answer({ channels })
    },
    {
      caller: { rate },
      parse: 'none',
      detail: streamOperations['POST /notifications/stream/:streamId/channels'].detail,
    },
  )
}

/** Reads `{"add", "remove"}`, of at most `most` channels each. Throws `bad_request` and `bad_channels`. */
export const readChange = (body: Record<string, unknown>, most: number): ChannelChange => {
  requireMembers(body, changeMembers)
  return { add: namesOf(body, 'add', most), remove: namesOf(body, 'remove', most) }
}

/** Names that are none, and too many, are refused one by one, as in `?also=`. */
const readAlso = (body: Record<string, unknown>): readonly string[] => {
  requireMembers(body, ['also'])
  const { also } = body
  if (Array.isArray(also) && also.every(name => typeof name === 'string')) return [...new Set(also)]
  throw new KairanError('bad_channels', `also has to be a list of channels, not ${excerpt(also)}.`)
}

const namesOf = (body: Record<string, unknown>, member: 'add' | 'remove', most: number) => {
  const names = body[member] ?? []
  if (Array.isArray(names) && names.length <= most && names.every(isChannel)) {
    return [...new Set(names)]
  }
  throw new KairanError(
    'bad_channels',
    `${member} has to be a list of at most ${most} channels, not ${excerpt(names)}.`,
  )
}

/** So many changes of channels a user may make at once. */
const burst = 200
/** A longer body counts as several changes: a thousand names of an ordinary length are some twenty. */
const bytesOfOne = 2048

/** Largest body: a thousand long names to add, and as many to remove. */
const maxBytes = 2 * 1024 * 1024
