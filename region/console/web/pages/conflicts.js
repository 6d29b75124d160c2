// Conflicts that a table keeps, those among them that are older than its stream of conflicts goes back.

import { callConfirm } from '../forms.js'
import * as session from '../session.js'
import { sameInShell } from '../snippets.js'
import { button, card, dialog, failure, fill, grid, h, some } from '../ui.js'
import { keyText } from '../values.js'
import { compare } from './editor.js'

/** Pages of conflicts that are shown at most; the command line has all. */
const PAGES_MAX = 50

/** The page `#/streams/TABLE/kept`. */
export async function kept(main, { signal }, name) {
  const body = h('div', h('p.empty', 'Looking …'))
  const found = []
  const step = async (after, pages) => {
    const asked = `conflicts?table=${encodeURIComponent(name)}${after ? `&after=${after}` : ''}`
    const { conflicts, next } = JSON.parse(await session.admin(session.region(), asked, signal))
    found.push(...conflicts)
    const more = next && pages < PAGES_MAX ? button('Older ones', () => step(next, pages + 1), { tone: 'primary' }) : null
    fill(body, listing(name, found), h('div.row', h('span', { role: 'status' }, some(found.length, 'conflict')), more))
  }
  const code = sameInShell(() => [`geodynamo conflicts list ${name} --admin ${session.region() === session.facts.region ? location.host : 'HOST:PORT'}`])
  const text = h('p.muted', 'Versions that lost to concurrent ones, as this region keeps them. The stream of conflicts goes back 24 hours; these go when the configuration says so.')
  fill(main, h('p', h('a', { href: `#/streams/${encodeURIComponent(name)}` }, '← The stream')), card(null, text, body, code))
  await step('', 1).catch((error) => fill(body, failure(error)))
}

function by(side) {
  return side?.region ?? side?.replica ?? 'nobody'
}

function listing(name, conflicts) {
  return grid(
    [
      { title: 'Written', cell: ({ loser }) => loser.time.replace('T', ' ').replace('Z', '') },
      { title: 'By', cell: ({ loser }) => by(loser) },
      { title: 'What', cell: ({ loser }) => (loser.deleted ? 'delete' : 'write') },
      { title: 'Key', cell: ({ key }) => h('span.mono', keyText(key)) },
      { title: '', cell: (conflict) => button('Show …', () => show(name, conflict), { tone: 'plain', label: `Show the conflict of ${keyText(conflict.key)}` }) },
    ],
    conflicts,
    { empty: 'No conflicts are kept of this table.', label: 'Kept conflicts' },
  )
}

/** What lost beside what is there now, and the way back. */
function show(name, { id, key, loser, current }) {
  const request = loser.item ? ['PutItem', { TableName: name, Item: loser.item }] : ['DeleteItem', { TableName: name, Key: key }]
  dialog(
    `Conflict of ${keyText(key)}`,
    (close) => {
      const restore = () =>
        callConfirm(`Write what ${by(loser)} wrote anew?`, 'All regions get it, in place of what the item is now.', {
          request,
          verb: 'Restore',
          said: 'The version that lost is written anew',
          done: close,
        })
      return [
        compare(loser.item ?? undefined, current?.item ?? undefined, [`Lost: ${by(loser)}, ${loser.time}`, current ? `Now: ${by(current)}, ${current.time}` : 'Now: nothing']),
        h('div.hint', 'conflict ', h('code', id)),
        h('div.actions', button('Close', close), button('Restore the loser …', restore, { tone: 'primary' })),
      ]
    },
    { wide: true },
  )
}
