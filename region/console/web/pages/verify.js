// Whether replicas are equal: what verifications have shown by table and pair of regions, and a way to start one.

import { maybe } from '../api.js'
import * as session from '../session.js'
import { sameInShell } from '../snippets.js'
import { badge, button, card, count, dialog, every, failure, fill, grid, h, moment, note, pause, refill } from '../ui.js'

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
  const regions = session.facts.regions.map(({ name }) => name).sort()
  const begin = async (askers, table) => {
    const path = table ? `verify?table=${encodeURIComponent(table)}` : 'verify'
    for (const asker of askers) await session.adminDo(asker, path)
    note(table ? `${table} is being verified` : 'All tables are being verified')
    await pause(150, signal)
    await look()
  }
  fill(
    main,
    h(
      'section.card.stack',
      h('p.muted', 'Regions compare their tables by themselves, over and over: of each two the one whose name comes first asks, and each fetches what it lacks.'),
      // Of each pair one asks: all but the last region have somebody to ask.
      h('div.row', button('Verify all now', () => begin(regions.slice(0, -1)), { tone: 'primary' })),
      failed,
      list,
      sameInShell(() => ['# Of one region, with all others', 'geodynamo verify --admin HOST:PORT', 'geodynamo verify TABLE --admin HOST:PORT --output json']),
    ),
  )
  const look = async () => {
    const told = await Promise.all(regions.map((name) => maybe(session.admin(name, 'verify', signal))))
    fill(failed, told.map(({ error }, i) => (error ? h('div', h('strong', regions[i]), failure(error)) : null)))
    refill(list, pairList(pairsOf(regions, told), begin))
  }
  await every(LOOK_EVERY_MS, signal, look, (error) => fill(failed, failure(error)))
}

/** What the regions have told, by table and pair: tables first, then what regions keep for themselves. */
function pairsOf(regions, told) {
  const pairs = new Map()
  told.forEach(({ found }, i) => {
    for (const { table, peers } of found ? JSON.parse(found).tables : []) {
      for (const [peer, report] of Object.entries(peers)) {
        const [a, b] = [regions[i], peer].sort()
        const key = JSON.stringify([table.startsWith('('), table, a, b])
        if (!pairs.has(key)) pairs.set(key, { table, a, b, reports: [] })
        pairs.get(key).reports.push({ asker: regions[i], ...report })
      }
    }
  })
  const newest = ({ ended }) => ended ?? ''
  return [...pairs.entries()]
    .sort(([x], [y]) => (x < y ? -1 : 1))
    .map(([, { reports, ...pair }]) => ({ ...pair, reports, last: reports.toSorted((x, y) => (newest(x) < newest(y) ? 1 : newest(x) > newest(y) ? -1 : x.asker < y.asker ? -1 : 1))[0] }))
}

function pairList(pairs, begin) {
  const between = ({ a, b }) => `${a} and ${b}`
  return grid(
    [
      { title: 'Table', cell: ({ table }) => (table.startsWith('(') ? table : h('a', { href: `#/tables/${encodeURIComponent(table)}` }, table)) },
      { title: 'State', cell: ({ last, reports }) => state(last, reports.some(({ running }) => running)) },
      { title: 'Between', cell: between },
      { title: 'Equal up to', cell: ({ last }) => upTo(last) },
      { title: 'Proven last', cell: ({ last }) => provenLast(last) },
      { title: 'Rows', number: true, cell: ({ last }) => count(last.rows) },
      { title: 'Healed', number: true, cell: ({ reports }) => count(reports.flatMap(healed).reduce((all, [, rows]) => all + rows, 0)) },
      {
        title: '',
        cell: (pair) =>
          h(
            'div.row',
            button('Details', () => details(pair), { tone: 'plain', label: `Details of ${pair.table}, ${between(pair)}` }),
            button('Verify', () => begin([pair.a], pair.table), { tone: 'plain', label: `Verify ${pair.table}, ${between(pair)}` }),
          ),
      },
    ],
    pairs,
    { empty: ['No two regions have the same table yet. A table gets replicas under Replicas of ', h('a', { href: '#/tables' }, 'its page'), '.'], label: 'Verified tables' },
  )
}

function proofs(pair) {
  return pair.partitions.map(({ proven }) => proven).filter(Boolean)
}

function state(pair, isRunning) {
  const troubles = TROUBLES.filter(([name]) => pair[name] > 0).map(([name, said]) => h('div.hint', `${count(pair[name])} ${said}`))
  if (isRunning) return [badge('under way', 'warn'), troubles]
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
  return stamps([...least])
}

function stamps(list) {
  return list.map(([origin, at]) => h('div.line', h('span.muted', `${origin} `), clock(at)))
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
  return moment(Date.parse(utc) / 1000)
}

function details({ table, a, b, reports }) {
  dialog(`${table}, ${a} and ${b}`, () => reports.filter((report) => reports.length === 1 || report.ended || report.asker === a).map(reportOf), { wide: true })
}

function reportOf(report) {
  const sums = healed(report)
  return h(
    'div',
    h('h3', `As ${report.asker} asked`),
    grid(
      [
        { title: 'Partition', number: true, cell: ({ partition }) => partition },
        { title: 'Proven', cell: ({ proven }) => (proven ? clock(proven.at) : '–') },
        { title: 'Equal up to', cell: ({ proven }) => (proven ? stamps(Object.entries(proven.equal_up_to)) : '–') },
        { title: 'Healed', cell: ({ healed: rows }) => Object.entries(rows).map(([reason, n]) => `${count(n)} ${reason}`).join(', ') || '–' },
      ],
      report.partitions,
      { label: `Partitions, as ${report.asker} asked` },
    ),
    h('h3', `Healed in ${report.asker} since its start`),
    h('p', sums.length === 0 ? 'Nothing lacked.' : sums.map(([reason, rows]) => `${count(rows)} ${reason}`).join(', ')),
    report.last_healed.length === 0
      ? null
      : grid(
          [
            { title: 'When', cell: ({ at }) => clock(at) },
            { title: 'Why', cell: ({ reason }) => reason },
            { title: 'Key', cell: ({ key }) => h('span.mono', key) },
            { title: 'Version', cell: ({ stamp }) => h('span.mono', stamp) },
          ],
          report.last_healed,
          { label: `Rows healed last in ${report.asker}` },
        ),
  )
}
