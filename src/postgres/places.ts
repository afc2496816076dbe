/** A place for one statement. The holder owes `leave`, once. */
export type Place = { leave(): void }

export type Places = {
  /** Takes a place, in the order of asking. Rejects when none becomes free in time. */
  enter(): Promise<Place>
}

/** `count` places, each of which is waited for no longer than `waitMs`. */
export const createPlaces = (count: number, waitMs: number): Places => {
  const waiting = new Set<(place: Place) => void>()
  let free = count

  const take = (): Place => {
    free--
    let left = false
    return {
      leave() {
        if (left) return
        left = true
        free++
        const [next] = waiting
        if (!next) return
        waiting.delete(next)
        next(take())
      },
    }
  }

  return {
    async enter() {
      if (free > 0) return take()
      const { promise, resolve, reject } = Promise.withResolvers<Place>()
      const timer = setTimeout(() => {
        waiting.delete(resolve)
        reject(new Error(`No connection to Postgres was free within ${waitMs} ms`))
      }, waitMs)
      waiting.add(resolve)
      try {
        return await promise
      } finally {
        clearTimeout(timer)
      }
    },
  }
}
