/** A run: its steps are on a channel that the token of its owner lets them read. */
import { $, call, element, me, notifications } from './app.js'

let last = 0

const show = ({ id, step, steps }) => {
  if (step <= last) return
  for (let done = last + 1; done <= step; done++) {
    $('#steps').append(element('li', { textContent: `Step ${done}` }))
  }
  last = step
  $('#progress').max = steps
  $('#progress').value = step
  $('#step').textContent =
    step === steps ? `Run ${id} is done.` : `Run ${id}: step ${step} of ${steps}`
}

let stop = () => undefined
const follow = async id => {
  stop()
  last = 0
  $('#steps').replaceChildren()
  // Listened to first, read afterwards: nothing is missing in between.
  stop = notifications.channel(`run-${me.id}-${id}`).on(
    'run.step',
    ({ payload }) => show(payload),
    () => {
      $('#step').textContent = 'This is not your run.'
    },
  )
  const run = await call('runs/one', { id: `${id}` })
  if (run) show(run)
}

// A reload goes on with the run in the address.
const { searchParams } = new URL(location.href)
const known = searchParams.get('run')
if (known) void follow(known)

$('#start').onclick = async () => {
  const { id } = await call('runs/new')
  searchParams.set('as', me.id)
  searchParams.set('run', id)
  history.replaceState(null, '', `?${searchParams}`)
  await follow(id)
}
