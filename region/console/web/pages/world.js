// The regions on a map, and the links between them.

import { chart } from '../chart.js'
import { faultForm, faultsOf, faultText } from '../faults.js'
import * as metrics from '../metrics.js'
import { LAND, project, REGIONS, WIDTH } from '../outline.js'
import * as session from '../session.js'
import { sameInShell } from '../snippets.js'
import { add, badge, button, bytes, card, confirm, count, dialog, every, facts, failure, field, fill, grid, h, note, refill, s, seconds, some } from '../ui.js'

/** How often regions are asked. */
const EVERY_MS = 2000
/** How often an open link's past is asked for. */
const HISTORY_EVERY_MS = 5000
/** Up to here a link is well, and up to there it lags. */
const LAG_GOOD_S = 2
const LAG_WARN_S = 30
/** How much of the map is shown. */
const TOP = 20
const BOTTOM = 400

/** The last readings of each region, for rates. */
const last = new Map()

export async function render(main, { signal }) {
  const regions = session.facts.regions.map(({ name }) => name)
  const map = h('div')
  const legend = h(
    'div.legend',
    h('span.good', `lag up to ${LAG_GOOD_S} s`),
    h('span.warn', `lag up to ${LAG_WARN_S} s`),
    h('span.bad', 'cut, paused, down, or further behind'),
  )
  const failed = h('div')
  const tiles = h('div.tiles')
  const links = h('div')
  const tables = h('div.row')
  fill(
    main,
    tiles,
    failed,
    h('section.card.map', { 'aria-label': 'Map' }, map, regions.length > 1 ? legend : null),
    regions.length > 1 ? card('Links', links) : null,
    regions.length > 1 ? card('Equal everywhere?', digests(tables, regions)) : null,
  )
  let drawn = ''
  await every(EVERY_MS, signal, async () => {
    const state = await look(regions, signal)
    fill(failed)
    refill(tiles, state.regions.map(tile))
    // Drawn anew only when something else is to be seen: whoever has the focus on a link keeps it.
    const shape = JSON.stringify([state.regions.map(({ name, ready }) => [name, ready]), state.pairs.map(({ tone, text }) => [tone, text])])
    if (shape !== drawn) {
      const focused = document.activeElement?.dataset?.pair
      fill(map, picture(state))
      if (focused) map.querySelector(`[data-pair="${CSS.escape(focused)}"]`)?.focus()
      drawn = shape
    }
    refill(links, linkTable(state))
  }, (error) => fill(failed, failure(error)))
}

/** Asks every region, and the emulator. */
async function look(names, signal) {
  const wan = session.facts.wan ? await session.wanLinks(signal).catch(() => []) : []
  const regions = await Promise.all(names.map((name) => readRegion(name, signal)))
  const links = []
  for (const from of names) {
    for (const to of names.filter((name) => name !== from)) links.push(readLink(from, to, regions, wan))
  }
  const pairs = []
  names.forEach((a, i) => names.slice(i + 1).forEach((b) => pairs.push(pairOf(a, b, links))))
  return { regions, links, pairs }
}

async function readRegion(name, signal) {
  try {
    const [text, ready, faults] = await Promise.all([
      session.admin(name, 'metrics', signal),
      session.admin(name, 'readyz', signal).then(() => '', (error) => error.message),
      // Who may not see them, or a region alone, has none to show.
      faultsOf(name, signal).catch(() => new Map()),
    ])
    const samples = metrics.parse(text)
    const at = performance.now()
    const before = last.get(name)
    const requests = metrics.sum(samples, 'geodynamo_request_duration_seconds_count')
    const region = { name, samples, at, requests, faults, ready: ready === '', trouble: ready, before }
    if (!before || at - before.at > EVERY_MS / 2) last.set(name, { ...region, before: undefined })
    return region
  } catch (error) {
    if (signal.aborted) throw error
    return { name, error, ready: false }
  }
}

function rate(region, value, earlier) {
  const { before } = region
  if (!before || earlier === undefined || value === undefined) return undefined
  return Math.max(value - earlier, 0) / ((region.at - before.at) / 1000)
}

function readLink(from, to, regions, wan) {
  const here = regions.find(({ name }) => name === from)
  const there = regions.find(({ name }) => name === to)
  const emulated = wan.find((link) => link.from === from && link.to === to)
  const link = { from, to, emulated, fault: here.faults?.get(to) ?? undefined, known: Boolean(here.samples) }
  if (here.samples) {
    const of = { peer_region: to }
    const read = (name, samples = here.samples) => metrics.value(samples, `geodynamo_link_${name}`, of)
    link.up = read('up') === 1
    link.rtt = read('rtt_seconds')
    link.backlog = read('backlog_changes')
    link.lag = metrics.value(here.samples, 'geodynamo_replication_oldest_unreplicated_seconds', of)
    const earlier = here.before?.samples
    const rateOf = (name) => rate(here, read(name), earlier && read(name, earlier))
    link.bytes = rateOf('sent_bytes_total')
    link.deltas = rateOf('sent_deltas_total')
    link.lost = rateOf('packets_lost')
  }
  if (there?.samples) {
    const buckets = metrics.histogram(there.samples, 'geodynamo_replication_latency_seconds', { from_region: from })
    link.p99 = metrics.quantile(buckets, 0.99)
  }
  const cut = Boolean(emulated?.cut || link.fault?.cut)
  const paused = Boolean(link.fault?.pause)
  link.state = cut ? 'cut' : paused ? 'paused' : !link.known ? 'unknown' : !link.up ? 'down' : link.lag > LAG_GOOD_S ? 'behind' : 'up'
  link.tone = cut || paused || (link.known && (!link.up || link.lag > LAG_WARN_S)) ? 'bad' : !link.known ? 'unknown' : link.lag > LAG_GOOD_S ? 'warn' : 'good'
  return link
}

function pairOf(a, b, links) {
  const both = links.filter(({ from, to }) => (from === a && to === b) || (from === b && to === a))
  const order = ['bad', 'warn', 'unknown', 'good']
  const tone = order.find((each) => both.some((link) => link.tone === each))
  const rtt = both.find((link) => link.rtt !== undefined)?.rtt
  const cut = both.some((link) => link.state === 'cut')
  const paused = both.some((link) => link.state === 'paused')
  const text = cut ? 'cut' : paused ? 'paused' : both.some((link) => link.state === 'down') ? 'down' : rtt === undefined ? '' : seconds(Math.round(rtt * 200) / 200)
  const flows = both.some((link) => link.deltas > 0)
  return { a, b, both, tone, text, flows }
}

function place(name, at, all) {
  // Names of one's own often begin with those of a region of AWS.
  const known = REGIONS[name] ?? REGIONS[Object.keys(REGIONS).find((each) => name.startsWith(each))]
  if (known) return project(...known)
  return [(WIDTH * (at + 1)) / (all + 1), 330]
}

function picture({ regions, pairs }) {
  const places = new Map(regions.map(({ name }, at) => [name, place(name, at, regions.length)]))
  const svg = s('svg', { viewBox: `0 ${TOP} ${WIDTH} ${BOTTOM - TOP}`, role: 'group', 'aria-label': 'Regions and links' })
  add(svg, s('path.land', { d: LAND }))
  for (const pair of pairs) add(svg, arc(pair, places))
  for (const region of regions) {
    const [x, y] = places.get(region.name)
    const tone = region.error ? '.unknown' : region.ready ? '' : '.bad'
    const rightmost = x > WIDTH - 150
    add(
      svg,
      s(
        'g.place',
        s(`circle.dot${tone}`, { cx: x, cy: y, r: 8 }),
        s('text', { x: rightmost ? x - 14 : x + 13, y: y + 19, 'text-anchor': rightmost ? 'end' : 'start' }, region.name),
      ),
    )
  }
  return svg
}

/** A link's two directions as one bent line, which can be chosen with the keyboard, too. */
function arc(pair, places) {
  const [x1, y1] = places.get(pair.a)
  const [x2, y2] = places.get(pair.b)
  const bend = Math.min(Math.hypot(x2 - x1, y2 - y1) * 0.33, 190)
  const [mx, my] = [(x1 + x2) / 2, (y1 + y2) / 2 - bend]
  const d = `M${x1} ${y1}Q${mx} ${my} ${x2} ${y2}`
  const open = () => linkDialog(pair.a, pair.b)
  const name = `Link ${pair.a} – ${pair.b}: ${pair.text || pair.tone}`
  return s(
    'g.pair',
    {
      tabindex: '0',
      role: 'button',
      'aria-label': name,
      'data-pair': `${pair.a} ${pair.b}`,
      onclick: open,
      onkeydown: (event) => {
        if (event.key === 'Enter' || event.key === ' ') {
          event.preventDefault()
          open()
        }
      },
    },
    s('title', name),
    s('path.link.reach', { d }),
    s(`path.link.line.${pair.tone}`, { d }),
    pair.flows && pair.tone !== 'bad' ? s('path.link.flow', { d }) : null,
    s('text.tag', { x: (x1 + 2 * mx + x2) / 4, y: (y1 + 2 * my + y2) / 4 - 7, 'text-anchor': 'middle' }, pair.text),
  )
}

function tile(region) {
  const state = region.error ? badge(region.error.isDenied ? 'not allowed' : 'no answer', region.error.isDenied ? 'warn' : 'bad') : region.ready ? badge('ready', 'good') : badge(region.trouble, 'bad')
  const requests = region.samples && rate(region, region.requests, region.before?.requests)
  const of = (name) => (region.samples ? metrics.value(region.samples, `geodynamo_${name}`) : undefined)
  return h(
    'div.card.tile',
    h('div.row.spread', h('strong', region.name), state),
    h('div.big', requests === undefined ? '–' : count(requests), h('span.name', ' requests/s')),
    region.error ? [h('div.hint', region.error.message), region.name === session.facts.region || region.error.isDenied ? null : forget(region.name)] : h('div.hint', `${bytes(of('storage_table_bytes') + of('storage_memtable_bytes'))} stored, ${bytes(of('process_resident_memory_bytes'))} of memory, ${some(metrics.sum(region.samples ?? new Map(), 'geodynamo_conflicts_total'), 'conflict')}`),
  )
}

/** Takes a region that is lost for good out of all tables. */
function forget(name) {
  const act = () =>
    confirm(`Forget ${name}?`, 'Only if it is lost for good: all tables go on without it, and what it alone had is gone. It cannot come back with its data.', {
      word: name,
      verb: 'Forget it',
      code: sameInShell(() => [`geodynamo region forget ${name} --admin ${location.host}`]),
      act: async () => {
        // Of this port itself, which is a member: the other one does not answer.
        const { tables } = JSON.parse(await session.adminDo(session.facts.region, `regions/${encodeURIComponent(name)}/forget`))
        note(`${name} is out of ${some(tables?.length ?? 0, 'table')}`)
      },
    })
  return button('Lost for good …', act, { tone: 'plain', label: `${name} is lost for good` })
}

function linkTable({ links }) {
  return grid(
    [
      { title: 'Link', cell: ({ from, to }) => `${from} → ${to}` },
      { title: 'State', cell: ({ state, tone, fault }) => [badge(state, tone === 'unknown' ? '' : tone), fault ? h('div.hint', `${faultText(fault)}, for ${count(fault.seconds_left)} s`) : null] },
      { title: 'Lag', number: true, cell: ({ lag }) => seconds(lag) },
      { title: 'Arrival p99', number: true, cell: ({ p99 }) => seconds(p99) },
      { title: 'Round trip', number: true, cell: ({ rtt }) => seconds(rtt) },
      { title: 'Changes/s', number: true, cell: ({ deltas }) => count(deltas) },
      { title: 'Bytes/s', number: true, cell: (link) => bytes(link.bytes === undefined ? undefined : Math.round(link.bytes)) },
      { title: 'Waiting', number: true, cell: ({ backlog }) => count(backlog) },
      { title: 'Packets lost/s', number: true, cell: ({ lost }) => count(lost) },
      { title: '', cell: ({ from, to }) => button('Details', () => linkDialog(from, to), { tone: 'plain', label: `Details of ${from} → ${to}` }) },
    ],
    links,
    { label: 'Links' },
  )
}

/** A link in both directions: how it was lately, the regions' faults on it, and the emulator's settings where there is one. */
function linkDialog(a, b) {
  const stop = new AbortController()
  const element = dialog(`${a} – ${b}`, () => {
    const parts = [
      [a, b],
      [b, a],
    ].map(([from, to]) => h('div.stack', faultForm(from, to, stop.signal), lastHour(from, to, stop.signal)))
    return [session.facts.wan ? emulatorForm(a, b) : null, h('div.columns', parts)]
  }, { wide: true })
  element.addEventListener('close', () => stop.abort())
}

/** What the region that a link begins at has kept of it. */
function lastHour(from, to, signal) {
  const span = h('span.hint')
  const charts = [
    ['Lag', 'lag_s', chart({ label: `Lag from ${from} to ${to}`, format: seconds, low: 1 })],
    ['Round trip', 'rtt_s', chart({ label: `Round-trip time from ${from} to ${to}`, format: seconds, low: 0.01, height: 90 })],
    ['Changes sent each second', 'deltas_per_s', chart({ label: `Changes a second from ${from} to ${to}`, format: count, low: 10, height: 90 })],
  ]
  const failed = h('div')
  every(
    HISTORY_EVERY_MS,
    signal,
    async () => {
      const { every_s: step, links } = JSON.parse(await session.admin(from, 'links', signal))
      const kept = links[to] ?? { lag_s: [] }
      const points = (name) => (kept[name] ?? []).map((value, i) => (value === null || (name === 'rtt_s' && !kept.up[i]) ? undefined : value))
      for (const [, name, drawn] of charts) drawn.draw([{ name, tone: 'tone-1', points: points(name) }])
      fill(failed)
      fill(span, kept.lag_s.length > 1 ? `the last ${seconds(kept.lag_s.length * step)}` : 'nothing yet: it is looked at every ten seconds')
    },
    (error) => fill(failed, failure(error)),
  )
  return h(
    'section',
    h('h3', `${from} → ${to} `, span),
    failed,
    charts.map(([title, , drawn]) => [h('div.hint', title), drawn]),
  )
}

/** What the WAN emulator does to this link, in both directions. */
function emulatorForm(a, b) {
  const body = h('div.stack', h('p.muted', 'Asking the WAN emulator …'))
  const both = async (change) => {
    await session.changeWan(a, b, change)
    await session.changeWan(b, a, change)
    await draw()
  }
  const draw = async () => {
    const link = (await session.wanLinks()).find(({ from, to }) => from === a && to === b)
    if (!link) throw new Error('The WAN emulator has no such link.')
    const number = (name, step, max) => h('input', { type: 'number', min: 0, max, step, value: link[name] ?? '' })
    const delay = number('delay_ms', 'any', 10000)
    const jitter = number('jitter_ms', 'any', 10000)
    const loss = number('loss', 'any', 1)
    const cutButton = link.cut
      ? button('Heal the link', () => both({ cut: false }), { tone: 'primary' })
      : button('Cut the link', () => both({ cut: true }), { tone: 'danger' })
    const apply = button('Apply', () =>
      both({ delay_ms: Number(delay.value), jitter_ms: Number(jitter.value), loss: Number(loss.value) }),
    )
    fill(
      body,
      facts([
        ['State', link.cut ? badge('cut', 'bad') : badge('open', 'good')],
        ['Packets', `${count(link.counters?.delivered ?? link.counters?.forwarded)} delivered`],
      ]),
      h(
        'div.fields',
        field('Delay, one way (ms)', delay),
        field('Jitter (ms)', jitter),
        field('Loss (0 to 1)', loss),
        h('div.row.end', apply, cutButton),
      ),
    )
  }
  draw().catch((error) => fill(body, failure(error)))
  return h('fieldset', h('legend', 'WAN emulator, both directions'), body)
}

/** Compares a table's digests, on request: a digest reads the whole table. */
function digests(result, regions) {
  const name = h('input', { type: 'text', list: 'known-tables', 'aria-label': 'Table', placeholder: 'Table', autocomplete: 'off' })
  const known = h('datalist', { id: 'known-tables' })
  session.call('ListTables').then(({ TableNames }) => fill(known, TableNames.map((each) => h('option', { value: each }))), () => {})
  const compare = button('Compare digests', async () => {
    if (name.value === '') throw new Error('Which table?')
    const found = await Promise.all(
      regions.map(async (region) => {
        try {
          return { region, digest: JSON.parse(await session.admin(region, `digest?table=${encodeURIComponent(name.value)}`)) }
        } catch (error) {
          return { region, error }
        }
      }),
    )
    const texts = found.filter(({ digest }) => digest).map(({ digest }) => JSON.stringify(digest))
    const equal = texts.every((text) => text === texts[0])
    fill(
      result,
      texts.length > 1 ? (equal ? badge('equal', 'good') : badge('different: changes are under way', 'warn')) : null,
      found.map(({ region, digest, error }) => {
        const sum = (of) => digest.partitions.reduce((all, part) => all + (part[of] ?? 0), 0)
        return h('span', `${region}: `, error ? h('span.muted', error.message) : `${some(sum('items'), 'item')}, ${some(sum('conflicts'), 'conflict')}`)
      }),
    )
  })
  return h(
    'div.stack',
    h('p.muted', 'Replicas with equal digests hold the same items, versions and index entries. A digest reads the whole table.'),
    h('div.row', name, known, compare),
    result,
  )
}
