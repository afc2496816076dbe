import { expect, test } from 'bun:test'
import { createPlaces } from '../../src/postgres/places.ts'

test('gives no more places than there are, in the order of asking', async () => {
  const places = createPlaces(2, 60_000)
  const [first, second] = [await places.enter(), await places.enter()]
  const order: string[] = []
  const third = places.enter().then(place => {
    order.push('third')
    return place
  })
  const fourth = places.enter().then(place => {
    order.push('fourth')
    return place
  })
  expect(order).toEqual([])
  second.leave()
  second.leave()
  const freed = await third
  expect(order).toEqual(['third'])
  first.leave()
  await fourth
  expect(order).toEqual(['third', 'fourth'])
  freed.leave()
})

test('who has waited too long gets no place, and takes none from the next', async () => {
  const places = createPlaces(1, 20)
  const place = await places.enter()
  expect(places.enter()).rejects.toThrow('No connection to Postgres was free within 20 ms')
  await places.enter().catch(() => undefined)
  place.leave()
  await places.enter()
})
