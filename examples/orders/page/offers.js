import { $, attempt, toast } from '/dom.js'

const types = 'marketing.*'

/** The switch by which customers mute the shop's offers: those of before leave the bell, and new ones do not come. */
export const showOffers = notifications => {
  const box = $('#offers-switch')
  const read = async () => (await notifications.request('/preferences')).mute
  const isOffer = ({ type }) => type?.startsWith('marketing.')
  /** Counts what was asked and done: an answer from before the last of it is old. */
  let turn = 0
  const show = async () => {
    const mine = ++turn
    try {
      const mutes = await read()
      if (mine === turn) box.checked = !mutes.some(isOffer)
    } catch (error) {
      toast('Not up to date', error.message)
    }
  }
  box.onchange = async () => {
    const { checked } = box
    turn++
    await attempt(box, async () => {
      // A list replaces the one before, so what else is muted stays on it. ⊘ in the bell mutes one type.
      const others = (await read()).filter(mute => !isOffer(mute))
      const mute = checked ? others : [...others, { type: types }]
      await notifications.request('/preferences', { mute }, 'PUT')
    })
    await show()
  }
  // This person may have changed it in another window.
  for (const type of ['preferences', 'ready'])
    notifications.onControl(type, () => box.ariaDisabled || void show())
  $('#offers').hidden = false
}
