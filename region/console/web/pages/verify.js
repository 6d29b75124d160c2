// Whether replicas are equal: what verifications of this region's tables against other regions' have shown, and a way to start one.

import * as session from '../session.js'
import { sameInShell } from '../snippets.js'
import { badge, button, card, count, dialog, every, failure, fill, grid, h, note, pause, refill } from '../ui.js'

const LOOK_EVERY_MS = 2000
/** What is wrong where a count is not 0. */
const TROUBLES = [
  ['in_flight', 'rows were still on their way'],
  ['unhealed', 'damaged rows are whole in neither'],
  ['twins', 'rows of one stamp differ'],
]

export async function render(main, { signal }) {
  const list = h('div')
  const failed = h('div')
  let look = async () => {}
  const begin = async (table) => {
    await session.adminDo(session.region(), table ? `verify?table=${encodeURIComponent(table)}` : 'verify')
    note(table ? `${table} is being verified` : 'All tables are being verified')
    await pause(150, signal)
    await look()
  }
  fill(
    main,
    h(
      'section.card',
      h(
        'div.row.spread',
        h('p.muted', `Regions compare their tables by themselves, over and over, and each fetches what it lacks. This is what ${session.region()} has found; choose another region above for its own.`),
        button('Verify all now', () => begin(), { tone: 'primary' }),
      ),
      failed,
      list,
      sameInShell(() => ['geodynamo verify --admin HOST:PORT', 'geodynamo verify TABLE --admin HOST:PORT --output json']),
    ),
  )
  look = async () => {
    const { tables } = JSON.parse(await session.admin(session.region(), 'verify', signal))
    fill(failed)
    refill(list, pairList(tables.flatMap(({ table, peers }) => Object.entries(peers).map(([peer, pair]) => ({ table, peer, pair }))), begin))
  }
  await every(LOOK_EVERY_MS, signal, look, (error) => fill(failed, failure(error)))
}

function pairList(pairs, begin) {
  return grid(
    [
      { title: 'Table', cell: ({ table }) => (table.startsWith('(') ? table : h('a', { href: `#/tables/${encodeURIComponent(table)}` }, table)) },
      { title: 'With', cell: ({ peer }) => peer },
      { title: 'State', cell: ({ pair }) => state(pair) },
      { title: 'Equal up to', cell: ({ pair }) => upTo(pair) },
      { title: 'Proven last', cell: ({ pair }) => provenLast(pair) },
      { title: 'Rows', number: true, cell: ({ pair }) => count(pair.rows) },
      { title: 'Healed', number: true, cell: ({ pair }) => count(healed(pair).reduce((all, [, rows]) => all + rows, 0)) },
      {
        title: '',
        cell: (row) =>
          h(
            'div.row',
            button('Details', () => details(row), { tone: 'plain', label: `Details of ${row.table} and ${row.peer}` }),
            button('Verify', () => begin(row.table), { tone: 'plain', label: `Verify ${row.table} with ${row.peer}` }),
          ),
      },
    ],
    pairs,
    { empty: 'No other region has any of this region’s tables.', label: 'Verified tables' },
  )
}

function proofs(pair) {
  return pair.partitions.map(({ proven }) => proven).filter(Boolean)
}

function state(pair) {
  const troubles = TROUBLES.filter(([name]) => pair[name] > 0).map(([name, said]) => h('div.hint', `${count(pair[name])} ${said}`))
  if (pair.running) return [badge('under way', 'warn'), troubles]
  if (pair.broke_off) return [badge('broke off', 'bad'), h('div.hint', pair.broke_off)]
  const isWhole = pair.partitions.length > 0 && proofs(pair).length === pair.partitions.length
  if (isWhole && troubles.length === 0) return badge('equal', 'good')
  return [pair.ended ? badge('not shown to be equal', 'bad') : badge('not verified yet'), troubles]
}

/** Of each origin, the least that any partition is proven up to: up to there all of it is equal. */
function upTo(pair) {
  const least = new Map()
  for (const { equal_up_to: stamps } of proofs(pair)) {
    for (const [origin, at] of Object.entries(stamps)) if (!least.has(origin) || at < least.get(origin)) least.set(origin, at)
  }
  if (least.size === 0) return '–'
  return [...least].map(([origin, at]) => h('div', h('span.muted', `${origin} `), clock(at)))
}

function provenLast(pair) {
  const all = proofs(pair).map(({ at }) => at).sort()
  return all.length === 0 ? '–' : [clock(all[0]), all.length < pair.partitions.length ? h('div.hint', `${all.length} of ${pair.partitions.length} partitions`) : null]
}

function healed(pair) {
  const sums = new Map()
  for (const { healed: reasons } of pair.partitions) for (const [reason, rows] of Object.entries(reasons)) sums.set(reason, (sums.get(reason) ?? 0) + rows)
  return [...sums]
}

/** `2026-11-30T06:12:00.123Z` in the browser's own time. */
function clock(utc) {
  return new Date(utc).toLocaleString('sv-SE')
}

function details({ table, peer, pair }) {
  const sums = healed(pair)
  dialog(
    `${table} and ${peer}`,
    () => [
      grid(
        [
          { title: 'Partition', number: true, cell: ({ partition }) => partition },
          { title: 'Proven', cell: ({ proven }) => (proven ? clock(proven.at) : '–') },
          { title: 'Equal up to', cell: ({ proven }) => (proven ? Object.entries(proven.equal_up_to).map(([origin, at]) => h('div', h('span.muted', `${origin} `), clock(at))) : '–') },
          { title: 'Healed', cell: ({ healed: rows }) => Object.entries(rows).map(([reason, n]) => `${count(n)} ${reason}`).join(', ') || '–' },
        ],
        pair.partitions,
        { label: 'Partitions' },
      ),
      h('h3', 'Healed here since the start'),
      h('p', sums.length === 0 ? 'Nothing lacked.' : sums.map(([reason, rows]) => `${count(rows)} ${reason}`).join(', ')),
      pair.last_healed.length === 0
        ? null
        : grid(
            [
              { title: 'When', cell: ({ at }) => clock(at) },
              { title: 'Why', cell: ({ reason }) => reason },
              { title: 'Key', cell: ({ key }) => h('span.mono', key) },
              { title: 'Version', cell: ({ stamp }) => h('span.mono', stamp) },
            ],
            pair.last_healed,
            { label: 'Rows healed last' },
          ),
    ],
    { wide: true },
  )
}
