// Tables: the list, and one table with all that belongs to it.

import { callDialog } from '../forms.js'
import * as session from '../session.js'
import { sameElsewhere } from '../snippets.js'
import { badge, button, bytes, card, confirm, count, every, facts, failure, field, fill, grid, h, input, moment, note, pause, refill, select, stateBadge, tabs } from '../ui.js'
import { addIndexDialog, addReplicaDialog, capacityDialog, createDialog, streamDialog, tagDialog } from './table-forms.js'
import { scalingView } from './scaling.js'

const LOOK_EVERY_MS = 2000
/** Tables whose details the list shows; of more, only the names. */
const DETAILED_MAX = 100
/** What changes all the time and is no reason to draw a table's parts anew. */
const PASSING = ['ItemCount', 'TableSizeBytes', 'IndexSizeBytes', 'LatestRestorableDateTime']

export async function render(main, context) {
  if (context.parts[0]) await one(main, context, context.parts[0])
  else await list(main, context)
}

/** All tables' names. */
export async function tableNames() {
  const pages = await session.collect(
    (last) => session.call('ListTables', last ? { ExclusiveStartTableName: last.LastEvaluatedTableName } : {}),
    (answer) => answer.LastEvaluatedTableName,
  )
  return pages.flatMap(({ TableNames }) => TableNames)
}

/** For who may not list: a table can be opened by its name. */
export function openByName(page, text = 'Open a table by its name') {
  const name = input({ placeholder: 'Table name' })
  const go = (event) => {
    event.preventDefault()
    if (name.value.trim()) location.hash = `#/${page}/${encodeURIComponent(name.value.trim())}`
  }
  return h('form.row.end', { onsubmit: go }, field(text, name), h('button.button', { type: 'submit' }, 'Open'))
}

async function list(main, { signal }) {
  const body = h('div')
  const search = input({ type: 'search', placeholder: 'Find a table', 'aria-label': 'Find a table' })
  let rows = []
  const draw = () => refill(body, listing(rows.filter(({ name }) => name.toLowerCase().includes(search.value.toLowerCase())), rows.length))
  search.addEventListener('input', draw)
  const create = button('Create table', () => createDialog(refresh), { tone: 'primary' })
  fill(main, h('div.row.spread', search, create), body)
  fill(body, h('p.empty', 'Looking …'))
  const refresh = async () => {
    const names = await tableNames()
    const described = await Promise.all(names.slice(0, DETAILED_MAX).map(describe))
    rows = [...described, ...names.slice(DETAILED_MAX).map((name) => ({ name }))]
    draw()
  }
  await every(LOOK_EVERY_MS * 2, signal, refresh, (error) => fill(body, card('Tables', failure(error), openByName('tables'))))
}

async function describe(name) {
  try {
    return { name, table: (await session.call('DescribeTable', { TableName: name })).Table }
  } catch (error) {
    return { name, error }
  }
}

function listing(rows, all) {
  const of = (read) => ({ table, error }) => (table ? read(table) : error ? h('span.muted', error.isDenied ? 'not allowed' : error.kind) : '–')
  const empty = all === 0 ? 'No tables yet. Create one, or point an AWS SDK at this region.' : 'No table has such a name.'
  return grid(
    [
      { title: 'Name', cell: ({ name }) => h('a', { href: `#/tables/${encodeURIComponent(name)}` }, name) },
      { title: 'Status', cell: of((table) => stateBadge(table.TableStatus)) },
      { title: 'Key', cell: of((table) => h('span.mono', keyText(table))) },
      { title: 'Items', number: true, cell: of((table) => count(table.ItemCount)) },
      { title: 'Size', number: true, cell: of((table) => bytes(table.TableSizeBytes)) },
      { title: 'Indexes', number: true, cell: of((table) => String(indexesOf(table).length)) },
      { title: 'Replicas', cell: of(replicaBadges) },
      { title: 'Stream', cell: of((table) => (table.StreamSpecification?.StreamEnabled ? badge('on', 'good') : h('span.muted', 'off'))) },
      { title: '', cell: ({ name }) => h('a', { href: `#/items/${encodeURIComponent(name)}`, 'aria-label': `Items of ${name}` }, 'Items') },
    ],
    rows,
    { empty, label: 'Tables' },
  )
}

function replicaBadges(table) {
  const replicas = table.Replicas ?? []
  if (replicas.length === 0) return h('span.muted', 'this region only')
  return replicas.map((replica) => [badge(replica.RegionName, replica.ReplicaStatus === 'ACTIVE' ? 'good' : replica.ReplicaStatus === 'CREATION_FAILED' ? 'bad' : 'warn'), ' '])
}

/** All global and local indexes of a table. */
export function indexesOf(table) {
  return [...(table.GlobalSecondaryIndexes ?? []), ...(table.LocalSecondaryIndexes ?? [])]
}

/** A key schema as people write it: `customer S, placed N`. */
export function keyText(table, schema = table.KeySchema) {
  const type = (name) => table.AttributeDefinitions.find((each) => each.AttributeName === name)?.AttributeType
  return schema.map(({ AttributeName }) => `${AttributeName} ${type(AttributeName) ?? ''}`).join(', ')
}

/** What a table's own key is like. */
export function keyState({ TableStatus, SSEDescription: sse }) {
  if (!sse) return badge('under the region’s key')
  if (TableStatus === 'INACCESSIBLE_ENCRYPTION_CREDENTIALS' || sse.InaccessibleEncryptionDateTime) {
    return [badge('key away', 'bad'), sse.InaccessibleEncryptionDateTime ? h('div.hint', `since ${moment(sse.InaccessibleEncryptionDateTime)}`) : null]
  }
  return badge(sse.Status === 'ENABLED' ? 'key of its own' : sse.Status.toLowerCase(), sse.Status === 'ENABLED' ? 'good' : 'warn')
}

async function one(main, { signal, title }, name) {
  title(name)
  const head = h('section.card', { hidden: true })
  const body = h('section.card', { hidden: true })
  const failed = h('div')
  fill(main, h('p', h('a', { href: '#/tables' }, '← All tables')), failed, head, body)
  let shown = ''
  let chosen = 0
  const refresh = async () => {
    const { Table: table } = await session.call('DescribeTable', { TableName: name })
    const [ttl, backups, tags, policy] = await Promise.all([
      maybe(session.call('DescribeTimeToLive', { TableName: name })),
      session.facts.backups ? maybe(session.call('DescribeContinuousBackups', { TableName: name })) : undefined,
      maybe(session.call('ListTagsOfResource', { ResourceArn: table.TableArn })),
      maybe(session.call('GetResourcePolicy', { ResourceArn: table.TableArn })),
    ])
    const state = { name, table, ttl, backups, tags, policy, refresh: again }
    fill(failed)
    head.hidden = body.hidden = false
    refill(head, headOf(state))
    // Whoever is typing is not disturbed; what is the same stays as it is.
    const isTyping = body.contains(document.activeElement) && /^(INPUT|TEXTAREA|SELECT)$/.test(document.activeElement.tagName)
    const now = JSON.stringify([table, ttl, backups, tags, policy], (key, value) => (PASSING.includes(key) ? undefined : value))
    if (now === shown || isTyping) return
    shown = now
    refill(body, partsOf(state, chosen, (at) => (chosen = at)))
  }
  // A change shows in the table's state a moment later.
  const again = async () => {
    await pause(150, signal)
    shown = ''
    document.activeElement?.blur()
    await refresh()
  }
  await every(LOOK_EVERY_MS, signal, refresh, (error) => {
    shown = ''
    head.hidden = body.hidden = true
    fill(failed, card(name, failure(error)))
  })
}

/** An answer, or the error in its place: what one may not see does not hide the rest. */
async function maybe(promise) {
  try {
    return await promise
  } catch (error) {
    return { error: { kind: error.kind, message: error.message, isDenied: error.isDenied } }
  }
}

function headOf(state) {
  const { name, table } = state
  const provisioned = table.BillingModeSummary?.BillingMode !== 'PAY_PER_REQUEST'
  const throughput = table.ProvisionedThroughput
  return [
    h(
      'div.row.spread',
      h('div.row', stateBadge(table.TableStatus), table.DeletionProtectionEnabled ? badge('deletion protected') : null),
      h(
        'div.row',
        h('a.button', { href: `#/items/${encodeURIComponent(name)}` }, 'Items'),
        table.StreamSpecification?.StreamEnabled ? h('a.button', { href: `#/streams/${encodeURIComponent(name)}` }, 'Stream') : null,
        button('Delete table', () => remove(state), { tone: 'danger' }),
      ),
    ),
    h('hr'),
    facts([
      ['Key', h('span.mono', keyText(table))],
      ['Items', count(table.ItemCount)],
      ['Size', bytes(table.TableSizeBytes)],
      ['Capacity', provisioned ? `${throughput.ReadCapacityUnits} read, ${throughput.WriteCapacityUnits} write` : 'on demand'],
      ['Class', table.TableClassSummary?.TableClass ?? 'STANDARD'],
      ['Created', moment(table.CreationDateTime)],
      ['ARN', h('span.mono', table.TableArn)],
    ]),
  ]
}

function partsOf(state, chosen, choose) {
  const views = [
    ['Indexes', () => indexes(state)],
    ['Replicas', () => replicas(state)],
    ['Settings', () => settings(state)],
    ['Scaling', () => scalingView(state)],
    ['Tags', () => tagsView(state)],
    ['Policy', () => policyView(state)],
  ]
  return tabs(views, { label: 'Parts of the table', chosen, onchange: (title) => choose(views.findIndex(([each]) => each === title)) })
}

function indexes(state) {
  const { name, table, refresh } = state
  const kinds = [...(table.GlobalSecondaryIndexes ?? []).map((index) => ({ index, global: true })), ...(table.LocalSecondaryIndexes ?? []).map((index) => ({ index }))]
  const remove = (index) => {
    const change = { TableName: name, GlobalSecondaryIndexUpdates: [{ Delete: { IndexName: index.IndexName } }] }
    confirm(`Delete the index ${index.IndexName}?`, 'Queries of it fail from then on. It can be made again, which reads the whole table.', {
      code: sameElsewhere(() => ['UpdateTable', change]),
      act: async () => {
        await session.call('UpdateTable', change)
        note(`${index.IndexName} is being deleted`)
        await refresh()
      },
    })
  }
  return [
    grid(
      [
        { title: 'Name', cell: ({ index }) => index.IndexName },
        { title: 'Kind', cell: ({ global }) => (global ? 'global' : 'local') },
        { title: 'Key', cell: ({ index }) => h('span.mono', keyText(table, index.KeySchema)) },
        { title: 'Projection', cell: ({ index }) => [index.Projection.ProjectionType.toLowerCase().replaceAll('_', ' '), index.Projection.NonKeyAttributes ? `: ${index.Projection.NonKeyAttributes.join(', ')}` : ''] },
        { title: 'Items', number: true, cell: ({ index }) => count(index.ItemCount) },
        { title: 'Size', number: true, cell: ({ index }) => bytes(index.IndexSizeBytes) },
        { title: 'Status', cell: ({ index, global }) => (global ? stateBadge(index.IndexStatus) : '–') },
        { title: '', cell: ({ index, global }) => (global ? button('Delete', () => remove(index), { tone: 'plain', label: `Delete index ${index.IndexName}` }) : null) },
      ],
      kinds,
      { empty: 'No indexes: queries go by the table’s key.', label: 'Indexes' },
    ),
    h('div.row', button('Add a global index', () => addIndexDialog(state))),
  ]
}

function replicas(state) {
  const { name, table, refresh } = state
  const others = session.facts.regions.map(({ name: each }) => each).filter((each) => each !== session.region())
  const here = { RegionName: session.region(), ReplicaStatus: table.TableStatus, own: true }
  const rows = [here, ...(table.Replicas ?? []).filter(({ RegionName }) => RegionName !== session.region())]
  const remove = (region) => {
    const change = { TableName: name, ReplicaUpdates: [{ Delete: { RegionName: region } }] }
    confirm(`Remove the replica in ${region}?`, `Its data is deleted there; the other replicas keep theirs.`, {
      verb: 'Remove',
      word: region,
      code: sameElsewhere(() => ['UpdateTable', change]),
      act: async () => {
        await session.call('UpdateTable', change)
        note(`The replica in ${region} is being removed`)
        await refresh()
      },
    })
  }
  const missing = others.filter((region) => !rows.some(({ RegionName }) => RegionName === region))
  return [
    grid(
      [
        { title: 'Region', cell: ({ RegionName, own }) => [RegionName, own ? h('span.muted', ' (this one)') : null] },
        { title: 'Status', cell: ({ ReplicaStatus, ReplicaStatusDescription }) => [stateBadge(ReplicaStatus), ReplicaStatusDescription ? h('div.hint', ReplicaStatusDescription) : null] },
        { title: '', cell: ({ RegionName, own }) => (own ? null : button('Remove', () => remove(RegionName), { tone: 'plain', label: `Remove the replica in ${RegionName}` })) },
      ],
      rows,
      { label: 'Replicas' },
    ),
    others.length === 0 ? h('p.muted', 'This region is alone: there is nowhere to replicate to.') : h('div.row', button('Add a replica', () => addReplicaDialog(state, missing), { disabled: missing.length === 0 })),
  ]
}

function settings(state) {
  const { name, table, ttl, refresh } = state
  const update = (change, said) => async () => {
    await session.call('UpdateTable', { TableName: name, ...change })
    note(said)
    await refresh()
  }
  const line = (title, value, ...actions) => h('div.row.spread', h('div', h('strong', title), h('div.muted', value)), h('div.row', actions))
  const isProtected = Boolean(table.DeletionProtectionEnabled)
  const tableClass = select(['STANDARD', 'STANDARD_INFREQUENT_ACCESS'], table.TableClassSummary?.TableClass ?? 'STANDARD', { 'aria-label': 'Table class' })
  const protection = { TableName: name, DeletionProtectionEnabled: !isProtected }
  return [
    line('Capacity', capacityText(table), button('Change', () => capacityDialog(state))),
    line('Stream', table.StreamSpecification?.StreamEnabled ? `on, ${table.StreamSpecification.StreamViewType}` : 'off', button('Change', () => streamDialog(state))),
    line('Time to live', ttlText(ttl), timeToLive(state)),
    session.facts.backups ? line('Point-in-time recovery', recoveryText(state.backups), recoverySwitch(state)) : null,
    line('Deletion protection', isProtected ? 'on: DeleteTable is refused' : 'off', button(isProtected ? 'Switch off' : 'Switch on', update({ DeletionProtectionEnabled: !isProtected }, 'Changed'))),
    encryption(state, line),
    line('Table class', 'STANDARD_INFREQUENT_ACCESS keeps rows apart, packed for few reads', tableClass, button('Set', () => update({ TableClass: tableClass.value }, 'Changed')())),
    sameElsewhere(() => [
      ['UpdateTable', protection],
      ['UpdateTable', { TableName: name, TableClass: tableClass.value }],
      ...(session.facts.backups ? [['UpdateContinuousBackups', { TableName: name, PointInTimeRecoverySpecification: { PointInTimeRecoveryEnabled: true } }]] : []),
      ['UpdateTimeToLive', { TableName: name, TimeToLiveSpecification: { Enabled: true, AttributeName: ttl.TimeToLiveDescription?.AttributeName ?? 'expires' } }],
    ]),
  ]
}

/** A table's own key: shown where a key service can give one. */
function encryption({ name, table, refresh }, line) {
  if (!session.facts.table_keys && !table.SSEDescription) return null
  const sse = table.SSEDescription
  const key = input({ value: sse?.KMSMasterKeyArn ?? '', placeholder: 'alias/orders' })
  const own = select(
    [
      ['yes', 'A key of its own'],
      ['no', 'The region’s key'],
    ],
    sse ? 'yes' : 'no',
  )
  const request = () => ['UpdateTable', { TableName: name, SSESpecification: own.value === 'yes' ? { Enabled: true, SSEType: 'KMS', ...(key.value.trim() ? { KMSMasterKeyId: key.value.trim() } : {}) } : { Enabled: false } }]
  const change = () =>
    callDialog(`Key of ${name}`, {
      content: [field('Encrypted under', own), field('Key', key, 'An id, an ARN or an alias, as the key service has it.'), h('p.muted', 'Another key takes effect at once. A first one, or none any more, has all rows written anew in the background.')],
      request,
      verb: 'Change',
      said: 'The key is being changed',
      done: refresh,
    })
  return line('Encryption', [keyState(table), sse?.KMSMasterKeyArn ? h('div.mono', sse.KMSMasterKeyArn) : null], button('Change', change, { label: 'Change the key' }))
}

function capacityText(table) {
  if (table.BillingModeSummary?.BillingMode === 'PAY_PER_REQUEST') {
    const limit = table.OnDemandThroughput
    return limit ? `on demand, at most ${limit.MaxReadRequestUnits ?? '∞'} read and ${limit.MaxWriteRequestUnits ?? '∞'} write units` : 'on demand'
  }
  const { ReadCapacityUnits: read, WriteCapacityUnits: write } = table.ProvisionedThroughput
  return `provisioned: ${read} read and ${write} write units`
}

function ttlText(ttl) {
  if (ttl.error) return ttl.error.isDenied ? 'not allowed to be seen' : ttl.error.message
  const { TimeToLiveStatus: status, AttributeName: attribute } = ttl.TimeToLiveDescription
  return attribute ? `${status.toLowerCase()}, by ${attribute}` : status.toLowerCase()
}

function timeToLive({ name, ttl, refresh }) {
  const now = ttl.TimeToLiveDescription ?? {}
  const isOn = now.TimeToLiveStatus === 'ENABLED'
  const attribute = input({ placeholder: 'attribute', value: now.AttributeName ?? '', disabled: isOn, 'aria-label': 'Attribute that has the time', size: 12 })
  return [
    attribute,
    button(isOn ? 'Switch off' : 'Switch on', async () => {
      await session.call('UpdateTimeToLive', { TableName: name, TimeToLiveSpecification: { Enabled: !isOn, AttributeName: attribute.value } })
      note('Changed')
      await refresh()
    }),
  ]
}

function recoveryText(backups) {
  if (backups.error) return backups.error.isDenied ? 'not allowed to be seen' : backups.error.message
  const pitr = backups.ContinuousBackupsDescription.PointInTimeRecoveryDescription
  return pitr?.PointInTimeRecoveryStatus === 'ENABLED' ? `on, from ${moment(pitr.EarliestRestorableDateTime)}` : 'off'
}

function recoverySwitch({ name, backups, refresh }) {
  const isOn = backups.ContinuousBackupsDescription?.PointInTimeRecoveryDescription?.PointInTimeRecoveryStatus === 'ENABLED'
  return button(isOn ? 'Switch off' : 'Switch on', async () => {
    await session.call('UpdateContinuousBackups', { TableName: name, PointInTimeRecoverySpecification: { PointInTimeRecoveryEnabled: !isOn } })
    note('Changed')
    await refresh()
  })
}

function tagsView(state) {
  const { table, tags, refresh } = state
  if (tags.error) return failure(tags.error)
  const remove = async (key) => {
    await session.call('UntagResource', { ResourceArn: table.TableArn, TagKeys: [key] })
    await refresh()
  }
  return [
    grid(
      [
        { title: 'Key', cell: ({ Key }) => Key },
        { title: 'Value', cell: ({ Value }) => Value },
        { title: '', cell: ({ Key }) => button('Remove', () => remove(Key), { tone: 'plain', label: `Remove tag ${Key}` }) },
      ],
      tags.Tags ?? [],
      { empty: 'No tags.', label: 'Tags' },
    ),
    h('div.row', button('Add a tag', () => tagDialog(state))),
  ]
}

function policyView({ table, policy, refresh }) {
  const isAbsent = policy.error?.kind === 'PolicyNotFoundException'
  if (policy.error && !isAbsent) return failure(policy.error)
  const text = h('textarea.code', { rows: 12, spellcheck: 'false' })
  text.value = policy.Policy ? JSON.stringify(JSON.parse(policy.Policy), null, 2) : ''
  const failed = h('div')
  const act = (operation, input, said) => async () => {
    try {
      await session.call(operation, input())
      note(said)
      await refresh()
    } catch (error) {
      fill(failed, failure(error))
    }
  }
  const put = () => ({ ResourceArn: table.TableArn, Policy: text.value })
  return [
    h('p.muted', 'A policy of the table itself, beside those of users and roles.'),
    field('Policy (JSON)', text),
    failed,
    h(
      'div.row',
      button('Save', act('PutResourcePolicy', put, 'Saved'), { tone: 'primary' }),
      isAbsent ? null : button('Delete', act('DeleteResourcePolicy', () => ({ ResourceArn: table.TableArn }), 'Deleted'), { tone: 'danger' }),
    ),
    sameElsewhere(() => ['PutResourcePolicy', put()]),
  ]
}

function remove({ name, table }) {
  const others = (table.Replicas ?? []).filter(({ RegionName }) => RegionName !== session.region())
  const text = others.length > 0 ? 'This region’s replica is deleted, with its indexes; the other regions keep theirs.' : 'All items and indexes are deleted.'
  confirm(`Delete ${name}?`, text, {
    word: name,
    code: sameElsewhere(() => ['DeleteTable', { TableName: name }]),
    act: async () => {
      await session.call('DeleteTable', { TableName: name })
      note(`${name} is being deleted`)
      location.hash = '#/tables'
    },
  })
}
