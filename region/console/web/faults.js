// Faults that a region puts on its own links, for game days: what is there, and how they are put and ended.

import { sameInShell } from './snippets.js'
import * as session from './session.js'
import { badge, button, check, count, failure, field, fill, h, note, seconds } from './ui.js'

/** How long a fault lasts unless somebody says otherwise, and at most, in seconds. */
const LASTS_S = 60
const LASTS_MAX_S = 3600
const DELAY_MAX_MS = 10_000

/** What is on each of a region's links, by peer: `{ pause, cut, loss_percent, delay_ms, seconds_left }`, or nothing. */
export async function faultsOf(name, signal) {
  const { links } = JSON.parse(await session.admin(name, 'faults', signal))
  return new Map(links.map(({ peer, fault }) => [peer, fault]))
}

/** A fault in a few words. */
export function faultText(fault) {
  return [
    fault.pause ? 'paused' : null,
    fault.cut ? 'cut' : null,
    fault.loss_percent > 0 ? `${fault.loss_percent} % lost` : null,
    fault.delay_ms > 0 ? `delayed by ${fault.delay_ms} ms` : null,
  ]
    .filter(Boolean)
    .join(', ')
}

/** What is on a link now, with what changes it where this console's own region has the link's beginning. */
export function faultForm(from, to, signal) {
  const body = h('div.stack', h('p.muted', 'Asking …'))
  const isOwn = from === session.facts.region
  const path = `faults/${encodeURIComponent(to)}`
  const draw = async () => {
    const fault = (await faultsOf(from, signal)).get(to)
    const state = fault ? [badge(faultText(fault), 'bad'), h('span.muted', `for ${count(fault.seconds_left)} s more`)] : badge('no fault', 'good')
    const end = async () => {
      await session.adminDo(from, path, { method: 'DELETE' })
      note('The fault is ended')
      await draw()
    }
    fill(body, h('div.row', state, fault && isOwn ? button('End the fault', end, { tone: 'primary', label: `End the fault on ${from} → ${to}` }) : null), isOwn ? putForm(from, to, path, draw) : elsewhere(from, to))
  }
  draw().catch((error) => signal.aborted || fill(body, failure(error)))
  return h('fieldset', h('legend', `Fault on ${from} → ${to}`), body)
}

function putForm(from, to, path, done) {
  const number = (max, value, step = 1) => h('input', { type: 'number', min: 0, max, step, value })
  const pause = check('Pause')
  const cut = check('Cut')
  const loss = number(100, 0, 'any')
  const delay = number(DELAY_MAX_MS, 0)
  const lasts = number(LASTS_MAX_S, LASTS_S)
  const wanted = () => {
    const made = { seconds: Number(lasts.value) }
    if (pause.box.checked) made.pause = true
    if (cut.box.checked) made.cut = true
    if (Number(loss.value) > 0) made.loss_percent = Number(loss.value)
    if (Number(delay.value) > 0) made.delay_ms = Number(delay.value)
    return made
  }
  const put = async () => {
    await session.adminDo(from, path, { method: 'PUT', body: wanted() })
    note('The fault is there')
    await done()
  }
  const code = sameInShell(() => commands(wanted(), to))
  const form = h(
    'form.stack',
    { onsubmit: (event) => (event.preventDefault(), apply.click()), oninput: () => code.refresh() },
    h('div.fields', field('Loss (%)', loss), field('Delay (ms)', delay), field('For (s)', lasts, `${seconds(LASTS_MAX_S)} at most; it ends by itself`)),
  )
  const apply = button('Put it there', put, { tone: 'danger', label: `Put a fault on ${from} → ${to}` })
  form.append(h('div.row.end', pause, cut, apply))
  return [form, code]
}

/** `geodynamo link` puts one fault at a time. */
function commands(wanted, to) {
  const end = `${to} --for ${wanted.seconds} --admin ${location.host}`
  const lines = []
  if (wanted.pause) lines.push(`geodynamo link pause ${end}`)
  if (wanted.cut) lines.push(`geodynamo link cut ${end}`)
  if (wanted.loss_percent) lines.push(`geodynamo link lose --percent ${wanted.loss_percent} ${end}`)
  if (wanted.delay_ms) lines.push(`geodynamo link delay --ms ${wanted.delay_ms} ${end}`)
  return lines.length ? lines : [`geodynamo link list --admin ${location.host}`]
}

function elsewhere(from, to) {
  return h('p.hint', `A region’s faults are put on its links at its own console, or by `, h('code', `geodynamo link cut ${to} --admin HOST:PORT`), ` with ${from}’s admin port.`)
}
