// This region right now: rates, latencies and errors, from its metrics.

import { chart } from '../chart.js'
import * as metrics from '../metrics.js'
import * as session from '../session.js'
import { badge, bytes, card, count, every, failure, fill, grid, h, moment, refill, seconds } from '../ui.js'

const EVERY_MS = 2000
/** How many readings the charts show: five minutes. */
const KEPT = 150
/** How often hot keys are asked for, of how many tables, and how many are shown of each. */
const HOT_EVERY_MS = 10_000
const HOT_TABLES_MAX = 10
const HOT_KEYS_MAX = 10
/** How often slow requests are asked for, and how many are shown. */
const SLOW_EVERY_MS = 5000
const SLOW_SHOWN_MAX = 20
const DURATIONS = 'geodynamo_request_duration_seconds'

export async function render(main, { signal }) {
  const region = session.region()
  const failed = h('div')
  const tiles = h('div.tiles')
  const rates = chart({ label: 'Requests a second', format: count, low: 10 })
  const latencies = chart({ label: 'Latency of successful requests', format: seconds, low: 0.001 })
  const operations = h('div')
  const refused = h('div')
  const hot = h('div')
  const slow = h('div')
  const readings = []
  let last
  fill(
    main,
    failed,
    tiles,
    h(
      'div.columns',
      card('Requests a second', h('div', h('span.key', 'all'), h('span.key.tone-3', 'errors')), rates),
      card('Latency of successful requests', h('div', h('span.key.tone-4', 'p50'), h('span.key', 'p99'), h('span.key.tone-2', 'p99.9')), latencies),
    ),
    card('Operations', h('p.muted', 'Rates are those of the last two seconds, latencies those since this page was opened, the rest since the process began.'), operations),
    card('Slow requests', h('p.muted', 'The last ones, the newest first. ', h('code', 'slow_request_ms'), ' in the configuration says from when on a request is slow; a second unless it is told.'), slow),
    card('Refused before an operation', refused),
    card('Hot keys', h('p.muted', 'Of the last five minutes, where contributor insights are on: ', h('code', 'aws dynamodb update-contributor-insights'), '.'), hot),
  )
  let first
  const keys = every(HOT_EVERY_MS, signal, async () => refill(hot, hotTables(await hotKeys(region, signal))), (error) => fill(hot, failure(error)))
  const slowOnes = every(SLOW_EVERY_MS, signal, async () => refill(slow, slowTable(JSON.parse(await session.admin(region, 'slow-requests', signal)).requests)), (error) => fill(slow, failure(error)))
  await every(
    EVERY_MS,
    signal,
    async () => {
      const samples = metrics.parse(await session.admin(region, 'metrics', signal))
      const now = { at: performance.now(), samples }
      first ??= now
      fill(failed)
      if (last) {
        readings.push(reading(now, last))
        if (readings.length > KEPT) readings.shift()
        const latest = readings.at(-1)
        refill(tiles, tilesOf(latest, samples))
        const span = `the last ${seconds((readings.length * EVERY_MS) / 1000)}`
        const points = (name) => readings.map((each) => each[name])
        rates.draw([{ name: 'all', tone: 'tone-1', points: points('rate') }, { name: 'errors', tone: 'tone-3', points: points('errors') }], span)
        latencies.draw(
          [
            { name: 'p50', tone: 'tone-4', points: points('p50') },
            { name: 'p99', tone: 'tone-1', points: points('p99') },
            { name: 'p99.9', tone: 'tone-2', points: points('p999') },
          ],
          span,
        )
        refill(operations, operationTable(now, last, first))
        refill(refused, refusedTable(samples))
      }
      last = now
    },
    (error) => fill(failed, failure(error)),
  )
  await Promise.all([keys, slowOnes])
}

/** What was counted of every table and index that has contributor insights, up to a limit. */
async function hotKeys(region, signal) {
  const { insights } = JSON.parse(await session.admin(region, 'insights', signal))
  const shown = insights.slice(0, HOT_TABLES_MAX)
  return Promise.all(
    shown.map(async ({ table, index }) => {
      const of = index ? `&index=${encodeURIComponent(index)}` : ''
      return JSON.parse(await session.admin(region, `insights?table=${encodeURIComponent(table)}${of}`, signal))
    }),
  )
}

function hotTables(reports) {
  if (!reports.length) return h('p', 'Contributor insights are on nowhere.')
  const titles = { PKC: 'Most accessed partition keys', PKT: 'Most throttled partition keys', SKC: 'Most accessed items', SKT: 'Most throttled items' }
  return reports.flatMap(({ table, index, rules }) =>
    rules
      .filter(({ keys }) => keys.length)
      .map(({ rule, counts, keys, total }) => {
        const label = `${titles[rule]} of ${index ? `${table}, index ${index}` : table}`
        const columns = [
          { title: 'Key', cell: ({ key }) => h('code', JSON.stringify(key)) },
          { title: counts, number: true, cell: ({ weight }) => count(weight) },
          { title: 'Part', number: true, cell: ({ weight }) => `${((100 * weight) / total).toFixed(1)} %` },
        ]
        return h('section', h('h3', label), grid(columns, keys.slice(0, HOT_KEYS_MAX), { empty: 'None.', label }))
      }),
  )
}

function reading(now, before) {
  const elapsed = (now.at - before.at) / 1000
  const total = (of, labels) => metrics.sum(of.samples, `${DURATIONS}_count`, labels)
  const perSecond = (labels) => Math.max(total(now, labels) - total(before, labels), 0) / elapsed
  const ok = { outcome: 'success' }
  const buckets = metrics.since(metrics.histogram(now.samples, DURATIONS, ok), metrics.histogram(before.samples, DURATIONS, ok))
  return {
    rate: perSecond({}),
    errors: perSecond({ outcome: 'client_error' }) + perSecond({ outcome: 'server_error' }),
    p50: metrics.quantile(buckets, 0.5),
    p99: metrics.quantile(buckets, 0.99),
    p999: metrics.quantile(buckets, 0.999),
  }
}

function tilesOf(latest, samples) {
  const of = (name) => metrics.value(samples, `geodynamo_${name}`)
  const tile = (name, value, hint) => h('div.card.tile', h('div.name', name), h('div.big', value), hint ? h('div.hint', hint) : null)
  const trouble = (samples.get('geodynamo_storage_unwritable') ?? []).find(({ value }) => value === 1)?.labels.reason
  return [
    tile('Requests/s', count(latest.rate), `${count(latest.errors)} errors`),
    tile('p99', seconds(latest.p99), `p50 ${seconds(latest.p50)}`),
    tile('Connections', count(of('connections_open'))),
    tile('Memory', bytes(of('process_resident_memory_bytes'))),
    tile('Disk', bytes(of('storage_table_bytes')), `${bytes(of('storage_disk_free_bytes'))} free`),
    tile('Throttled', count(of('requests_throttled_total')), 'since the start'),
    tile('Writes', trouble ? badge(trouble, 'bad') : badge('taken', 'good'), `${count(of('storage_commits_failed_total'))} commits failed`),
  ]
}

function operationTable(now, last, first) {
  const names = [...new Set((now.samples.get(`${DURATIONS}_count`) ?? []).map(({ labels }) => labels.operation))].sort()
  const elapsed = (now.at - last.at) / 1000
  const total = (of, labels) => metrics.sum(of.samples, `${DURATIONS}_count`, labels)
  const rows = names.map((operation) => {
    const ok = { operation, outcome: 'success' }
    const buckets = metrics.since(metrics.histogram(now.samples, DURATIONS, ok), first === now ? undefined : metrics.histogram(first.samples, DURATIONS, ok))
    const errors = (outcome) => total(now, { operation, outcome })
    return {
      operation,
      rate: Math.max(total(now, { operation }) - total(last, { operation }), 0) / elapsed,
      all: total(now, { operation }),
      quantiles: [0.5, 0.99, 0.999].map((q) => metrics.quantile(buckets, q)),
      client: errors('client_error'),
      server: errors('server_error'),
    }
  })
  rows.sort((a, b) => b.rate - a.rate || b.all - a.all)
  const quantile = (title, at) => ({ title, number: true, cell: ({ quantiles }) => seconds(quantiles[at]) })
  return grid(
    [
      { title: 'Operation', cell: ({ operation }) => operation },
      { title: 'Per second', number: true, cell: ({ rate }) => count(rate) },
      quantile('p50', 0),
      quantile('p99', 1),
      quantile('p99.9', 2),
      { title: 'All', number: true, cell: ({ all }) => count(all) },
      { title: 'Client errors', number: true, cell: ({ client }) => count(client) },
      { title: 'Server errors', number: true, cell: ({ server }) => (server > 0 ? badge(count(server), 'bad') : '0') },
    ],
    rows,
    { empty: 'No requests yet.', label: 'Operations' },
  )
}

function slowTable(requests) {
  const time = (name) => (each) => seconds(each[name] / 1000)
  return grid(
    [
      { title: 'When', cell: ({ ended }) => moment(ended) },
      { title: 'Operation', cell: ({ operation }) => operation },
      { title: 'Status', number: true, cell: ({ status }) => status },
      { title: 'Took', number: true, cell: time('took_ms') },
      { title: 'Mostly for', cell: ({ why }) => why },
      { title: 'Queue', number: true, cell: time('queue_ms') },
      { title: 'Sync', number: true, cell: time('fsync_ms') },
      { title: 'Reads from disk', number: true, cell: ({ reads_ms: ms, cache_misses: misses }) => (misses > 0 ? `${seconds(ms / 1000)}, ${count(misses)} rows` : '0') },
      { title: 'Request', cell: ({ request_id: id }) => h('code', id) },
    ],
    requests.slice(0, SLOW_SHOWN_MAX),
    { empty: 'None since the process began.', label: 'Slow requests' },
  )
}

function refusedTable(samples) {
  const rows = (samples.get('geodynamo_requests_refused_total') ?? []).filter(({ value }) => value > 0)
  return grid(
    [
      { title: 'Why', cell: ({ labels }) => labels.reason },
      { title: 'Requests', number: true, cell: ({ value }) => count(value) },
    ],
    rows,
    { empty: 'None.', label: 'Refused requests' },
  )
}
