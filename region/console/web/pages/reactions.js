// What follows this region's tables: triggers (event source mappings), Kinesis streams, and copies in other systems.

import { everything, maybe, perform } from '../api.js'
import { actDialog, callConfirm, callDialog } from '../forms.js'
import * as metrics from '../metrics.js'
import * as session from '../session.js'
import { quoted, sameInShell } from '../snippets.js'
import { badge, button, card, confirm, count, every, failure, field, fill, grid, h, id, input, note, refill, seconds, select, stateBadge } from '../ui.js'
import { tableNames } from './tables.js'

const LOOK_EVERY_MS = 3000
/** A lag from here on is shown as one. */
const LATE_S = 60

export async function render(main, { signal }) {
  const triggers = h('div')
  const kinesis = h('div')
  const copies = h('div')
  const streams = card('Kinesis streams', h('p.muted', 'A table’s changes, put to a stream of Kinesis as they are made.'), kinesis)
  streams.hidden = true
  fill(
    main,
    card('Triggers', h('p.muted', 'Functions that run on a table’s changes, by Lambda’s API. Functions are what the region’s configuration says.'), triggers),
    streams,
    card('Copies', h('p.muted', 'Tables in PostgreSQL and as Iceberg tables, kept up with what changes.'), copies),
  )
  const refresh = async () => {
    const [text, mappings, destinations, sinks] = await Promise.all([
      session.admin(session.region(), 'metrics', signal),
      maybe(everything('ListEventSourceMappings', 'EventSourceMappings', {}, 'lambda', { signal })),
      maybe(destinationsOf()),
      maybe(session.admin(session.region(), 'sinks', signal)),
    ])
    const samples = metrics.parse(text)
    refill(triggers, mappings.error ? failure(mappings.error) : triggerList(mappings.found, samples, refresh))
    // Without a Kinesis there are only destinations from before.
    streams.hidden = !session.facts.kinesis && !destinations.found?.destinations.length
    refill(kinesis, destinations.error ? failure(destinations.error) : streams.hidden ? null : kinesisList(destinations.found, samples, refresh))
    refill(copies, sinks.error ? failure(sinks.error) : copyList(JSON.parse(sinks.found).sinks, refresh))
  }
  await every(LOOK_EVERY_MS, signal, refresh, (error) => fill(triggers, failure(error)))
}

function tableLink(name) {
  return h('a', { href: `#/tables/${encodeURIComponent(name)}` }, name)
}

function lag(age, unit = 'behind') {
  if (age === undefined) return '–'
  return age > LATE_S ? badge(`${seconds(age)} ${unit}`, 'warn') : seconds(age)
}

function triggerList(mappings, samples, refresh) {
  const of = (name, { UUID }) => metrics.value(samples, `geodynamo_trigger_${name}`, { mapping: UUID })
  const toggle = async (mapping) => {
    await perform('UpdateEventSourceMapping', { UUID: mapping.UUID, Enabled: mapping.State !== 'Enabled' }, 'lambda')
    note('Changed')
    await refresh()
  }
  const what = (mapping) => `${mapping.FunctionArn.split(':').pop()} on ${session.tableOf(mapping.EventSourceArn)}`
  return [
    grid(
      [
        { title: 'Function', cell: ({ FunctionArn }) => FunctionArn.split(':').pop() },
        { title: 'Table', cell: ({ EventSourceArn }) => tableLink(session.tableOf(EventSourceArn)) },
        { title: 'State', cell: triggerState },
        { title: 'Oldest record', cell: (mapping) => lag(of('iterator_age_seconds', mapping), 'old') },
        { title: 'Taken', number: true, cell: (mapping) => count(of('delivered_records_total', mapping)) },
        { title: 'Filtered out', number: true, cell: (mapping) => count(of('filtered_records_total', mapping)) },
        { title: 'Errors', number: true, cell: (mapping) => count(of('errors_total', mapping)) },
        { title: 'Given up', number: true, cell: (mapping) => count(of('discarded_records_total', mapping)) },
        {
          title: '',
          cell: (mapping) =>
            h(
              'div.row',
              button(mapping.State === 'Disabled' ? 'Enable' : 'Disable', () => toggle(mapping), { tone: 'plain', label: `${mapping.State === 'Disabled' ? 'Enable' : 'Disable'} ${what(mapping)}`, disabled: /ing$/.test(mapping.State) }),
              button(
                'Delete',
                () => callConfirm(`Delete the trigger of ${what(mapping)}?`, 'The function gets no more records; how far it has come is forgotten.', { request: ['DeleteEventSourceMapping', { UUID: mapping.UUID }, 'lambda'], said: 'The trigger is being deleted', done: refresh }),
                { tone: 'plain', label: `Delete the trigger of ${what(mapping)}` },
              ),
            ),
        },
      ],
      mappings,
      { empty: 'No function runs on changes here.', label: 'Triggers' },
    ),
    session.facts.functions.length > 0 ? h('div.row', button('Add a trigger …', () => addTrigger(refresh))) : h('p.muted', 'The region’s configuration has no functions: ', h('code', '[functions.NAME]'), ' names one, and ', h('code', 'geodynamo dev --function NAME=URL'), '.'),
  ]
}

function triggerState({ State, StateTransitionReason: reason, LastProcessingResult: result }) {
  const tone = { Enabled: 'good', Disabled: '' }[State] ?? 'warn'
  const said = [result, State === 'Enabled' ? null : reason].filter((text) => text && text !== 'No records processed' && text !== 'OK')
  return [badge(State, tone), said.map((text) => h('div.hint', text))]
}

async function addTrigger(refresh) {
  const names = await tableNames()
  const tables = await Promise.all(names.map((TableName) => session.call('DescribeTable', { TableName }).then(({ Table }) => Table, () => null)))
  const streams = tables.filter((table) => table?.StreamSpecification?.StreamEnabled)
  if (streams.length === 0) {
    note('A trigger reads a table’s stream, and no table here has one. A table’s settings can switch one on.', 'bad')
    return
  }
  const source = select(streams.map(({ LatestStreamArn, TableName }) => [LatestStreamArn, TableName]))
  const known = h('datalist', { id: id() }, session.facts.functions.map((each) => h('option', { value: each })))
  const name = input({ required: true, list: known.id, placeholder: session.facts.functions[0] })
  const start = select([
    ['LATEST', 'From now on'],
    ['TRIM_HORIZON', 'From the oldest record that there is'],
  ])
  const number = (value, min, max) => h('input', { type: 'number', value, min, max, step: 1 })
  const batch = number(100, 1, 10_000)
  const window = number(0, 0, 300)
  const retries = number(-1, -1, 10_000)
  const pattern = h('textarea.code', { rows: 3, spellcheck: 'false', placeholder: '{"eventName": ["INSERT"]}' })
  callDialog('Add a trigger', {
    content: [
      h('div.fields', field('Table', source), field('Function', name), field('Begins', start)),
      known,
      h('div.fields', field('Records a batch', batch), field('Seconds to gather', window), field('Tries again', retries, '−1: until they are too old')),
      field('Filter', pattern, 'A pattern as EventBridge has them; without one, all records.'),
    ],
    request: () => [
      'CreateEventSourceMapping',
      {
        EventSourceArn: source.value,
        FunctionName: name.value.trim(),
        StartingPosition: start.value,
        BatchSize: Number(batch.value),
        MaximumBatchingWindowInSeconds: Number(window.value),
        MaximumRetryAttempts: Number(retries.value),
        ...(pattern.value.trim() ? { FilterCriteria: { Filters: [{ Pattern: pattern.value.trim() }] } } : {}),
      },
      'lambda',
    ],
    verb: 'Add',
    said: 'The trigger is being made',
    done: refresh,
    wide: true,
  })
}

/** All tables' names and destinations. */
async function destinationsOf() {
  const names = await tableNames()
  const all = await Promise.all(names.map((TableName) => maybe(session.call('DescribeKinesisStreamingDestination', { TableName }))))
  const refused = all.find(({ error }) => error && error.kind !== 'ResourceNotFoundException')
  if (refused) throw refused.error
  const destinations = all.flatMap(({ found }) => (found?.KinesisDataStreamDestinations ?? []).map((each) => ({ table: found.TableName, ...each })))
  return { names, destinations }
}

function kinesisList({ names, destinations }, samples, refresh) {
  const of = (name, { table, StreamArn }) => metrics.value(samples, `geodynamo_kinesis_${name}`, { table, stream: StreamArn.split('/').pop() })
  return [
    grid(
      [
        { title: 'Table', cell: ({ table }) => tableLink(table) },
        { title: 'Stream', cell: ({ StreamArn }) => h('span.mono', StreamArn) },
        { title: 'State', cell: ({ DestinationStatus, DestinationStatusDescription }) => [stateBadge(DestinationStatus), DestinationStatusDescription ? h('div.hint', DestinationStatusDescription) : null] },
        { title: 'Oldest record', cell: (each) => lag(of('age_seconds', each), 'old') },
        { title: 'Delivered', number: true, cell: (each) => count(of('delivered_records_total', each)) },
        { title: 'Failures', number: true, cell: (each) => count(of('failures_total', each)) },
        {
          title: '',
          cell: ({ table, StreamArn, DestinationStatus: status }) => {
            const isOn = status === 'ACTIVE'
            const request = [isOn ? 'DisableKinesisStreamingDestination' : 'EnableKinesisStreamingDestination', { TableName: table, StreamArn }]
            const act = async () => {
              await perform(...request)
              note('Changed')
              await refresh()
            }
            return button(isOn ? 'Disable' : 'Enable', act, { tone: 'plain', label: `${isOn ? 'Disable' : 'Enable'} the stream of ${table}`, disabled: /ING$/.test(status) })
          },
        },
      ],
      destinations,
      { empty: 'No table’s changes go to a stream.', label: 'Kinesis streams' },
    ),
    h('div.row', button('Send a table to a stream …', () => addStream(names, refresh), { disabled: names.length === 0 })),
  ]
}

function addStream(names, refresh) {
  const table = select(names)
  const arn = input({ required: true, placeholder: `arn:aws:kinesis:${session.region()}:${session.account()}:stream/NAME` })
  callDialog('Send a table to a stream', {
    content: [field('Table', table), field('The stream’s ARN', arn)],
    request: () => ['EnableKinesisStreamingDestination', { TableName: table.value, StreamArn: arn.value.trim() }],
    verb: 'Send',
    said: 'The stream is being connected',
    done: refresh,
  })
}

function copyList(sinks, refresh) {
  // Only this port's own region takes sinks from here.
  const isOwn = session.region() === session.facts.region
  return [
    grid(
      [
        { title: 'Sink', cell: ({ name }) => name },
        { title: 'Table', cell: ({ table }) => tableLink(table) },
        { title: 'Into', cell: into },
        { title: 'State', cell: ({ state, error }) => [badge(state, error ? 'bad' : state === 'following' ? 'good' : 'warn'), error ? h('div.hint', error) : null] },
        { title: 'Behind', cell: ({ lag_ms: ms }) => lag(ms / 1000) },
        { title: 'Changes', number: true, cell: ({ changes }) => count(changes) },
        { title: 'Commits', number: true, cell: ({ commits }) => count(commits) },
        { title: 'Failures', number: true, cell: ({ failures }) => count(failures) },
        { title: '', cell: ({ name, from_file: isConfigured }) => (isConfigured ? h('span.muted', 'configured') : isOwn ? button('Remove', () => removeCopy(name, refresh), { tone: 'plain', label: `Remove the copy ${name}` }) : null) },
      ],
      sinks,
      { empty: 'No table here is copied elsewhere.', label: 'Copies' },
    ),
    isOwn ? h('div.row', button('Copy a table …', () => addCopy(refresh))) : null,
    sameInShell(
      () => [
        '# What this page shows',
        'geodynamo sink list --admin HOST:PORT',
        '# A table in PostgreSQL, and one as an Iceberg table',
        'geodynamo sink add NAME --table TABLE --postgres postgres://USER@HOST/DATABASE --password-file FILE --admin HOST:PORT',
        'geodynamo sink add NAME --table TABLE --iceberg FOLDER --admin HOST:PORT',
        '# No more; the copy is left as it is',
        'geodynamo sink remove NAME --admin HOST:PORT',
      ],
      'How copies are added and removed',
    ),
  ]
}

function removeCopy(name, refresh) {
  confirm(`Remove the copy ${name}?`, 'It is kept up no more, and left as it is.', {
    verb: 'Remove',
    code: sameInShell(() => [`geodynamo sink remove ${quoted(name)} --admin ${location.host}`]),
    act: async () => {
      await session.adminDo(session.region(), `sinks/${encodeURIComponent(name)}`, { method: 'DELETE' })
      note(`${name} is removed`)
      await refresh()
    },
  })
}

async function addCopy(refresh) {
  const name = input({ required: true, placeholder: 'lake' })
  const table = select(await tableNames(), undefined, { required: true })
  const kind = select([
    ['iceberg', 'An Iceberg table'],
    ['postgres', 'A table in PostgreSQL'],
  ])
  const place = input({ required: true, placeholder: '/srv/lake, or s3://bucket/prefix' })
  const address = input({ required: true, placeholder: 'postgres://user@host/database' })
  const password = input({ placeholder: '/etc/geodynamo/pg' })
  const places = h('div', field('Where its files are', place, 'A folder of the region’s machine, or a bucket.'))
  const addresses = h('div.stack', field('Address', address), field('File with the password', password, 'On the region’s machine.'))
  const choose = () => {
    const isIceberg = kind.value === 'iceberg'
    places.hidden = !isIceberg
    addresses.hidden = isIceberg
    place.required = isIceberg
    address.required = !isIceberg
  }
  kind.addEventListener('change', choose)
  choose()
  const spec = () => ({
    name: name.value.trim(),
    table: table.value,
    ...(kind.value === 'iceberg' ? { iceberg: { place: place.value.trim() } } : { postgres: { address: address.value.trim(), ...(password.value.trim() ? { password_file: password.value.trim() } : {}) } }),
  })
  const command = () => {
    const { iceberg, postgres } = spec()
    const to = iceberg ? `--iceberg ${quoted(iceberg.place)}` : `--postgres ${quoted(postgres.address)}${postgres.password_file ? ` --password-file ${quoted(postgres.password_file)}` : ''}`
    return [`geodynamo sink add ${quoted(name.value.trim())} --table ${table.value} ${to} --admin ${location.host}`]
  }
  actDialog('Copy a table', {
    content: [h('div.fields', field('Name of the copy', name), field('Table', table), field('Into', kind)), places, addresses],
    code: sameInShell(command),
    act: () => session.adminDo(session.region(), 'sinks', { body: spec() }),
    verb: 'Start copying',
    said: 'The copy has begun',
    done: refresh,
  })
}

function into({ postgres, iceberg }) {
  if (postgres) return ['PostgreSQL ', h('div.hint', postgres.address)]
  return [iceberg?.catalog ? 'Iceberg, by a catalogue' : 'Iceberg', h('div.hint', iceberg?.place)]
}
