// Tables: the list, and one table with all that belongs to it.

import { callConfirm } from '../forms.js'
import * as session from '../session.js'
import { sameElsewhere } from '../snippets.js'
import { badge, button, bytes, card, confirm, count, every, facts, failure, field, fill, grid, h, input, moment, note, pause, refill, stateBadge, tabs } from '../ui.js'
import { addIndexDialog, createDialog, indexCapacityDialog, tagDialog } from './table-forms.js'
import { replicas } from './table-replicas.js'
import { indexCapacityText, recoveryOf, settings } from './table-settings.js'
import { scalingView } from './scaling.js'

const LOOK_EVERY_MS = 2000
/** Tables whose details the list shows; of more, only the names. */
const DETAILED_MAX = 100
/** For how long what changes seldom is not asked for again. */
const KEPT_MS = 15_000
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

/** What there is where there are no tables. */
export function noTables() {
  return ['There are no tables in this region yet. ', h('a', { href: '#/tables' }, 'Create one'), ', or point an AWS SDK at ', h('code', session.endpoint()), '.']
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
  const kept = new Kept(seldom)
  let rows = []
  const draw = () => refill(body, listing(rows.filter(({ name }) => name.toLowerCase().includes(search.value.toLowerCase())), rows.length, () => createDialog(refresh)))
  search.addEventListener('input', draw)
  const create = button('Create table', () => createDialog(refresh), { tone: 'primary' })
  fill(main, h('div.row.spread', search, create), body)
  fill(body, h('p.empty', 'Looking …'))
  const refresh = async () => {
    const names = await tableNames()
    const described = await Promise.all(names.slice(0, DETAILED_MAX).map((name) => describe(name, kept)))
    rows = [...described, ...names.slice(DETAILED_MAX).map((name) => ({ name }))]
    draw()
  }
  await every(LOOK_EVERY_MS * 2, signal, refresh, (error) => fill(body, card('Tables', failure(error), openByName('tables'))))
}

async function describe(name, kept) {
  try {
    const [{ Table: table }, more] = await Promise.all([session.call('DescribeTable', { TableName: name }), kept.of(name)])
    return { name, table, ...more }
  } catch (error) {
    return { name, error }
  }
}

/** What of a table changes seldom and takes calls of its own. It is asked for now and then only; what was refused, not again until the
 *  page is opened anew. */
class Kept {
  constructor(parts) {
    this.parts = parts
    this.tables = new Map()
  }

  /** An answer by part, or the error in its place. `now` asks for all of it again. */
  async of(name, now) {
    const before = this.tables.get(name)
    if (before && !now && performance.now() - before.at < KEPT_MS) return before.found
    const found = {}
    await Promise.all(
      Object.entries(this.parts(name)).map(async ([part, ask]) => {
        found[part] = !now && before?.found[part]?.error?.isDenied ? before.found[part] : await ask().catch((error) => ({ error: { kind: error.kind, message: error.message, isDenied: error.isDenied } }))
      }),
    )
    this.tables.set(name, { at: performance.now(), found })
    return found
  }
}

/** A table's time to live and, where there is an archive, its point-in-time recovery. */
function seldom(name) {
  const parts = { ttl: () => session.call('DescribeTimeToLive', { TableName: name }) }
  if (session.facts.backups) parts.backups = () => session.call('DescribeContinuousBackups', { TableName: name })
  return parts
}

/** What a region without tables shows: the two ways to the first one. */
function firstTable(create) {
  return [h('strong', 'No tables yet.'), h('br'), 'Create the first one here, or point an AWS SDK or the AWS CLI at this region:', h('pre.command', { tabindex: '0' }, `export AWS_ENDPOINT_URL_DYNAMODB=${session.endpoint()}\naws dynamodb list-tables --region ${session.region()}`), h('div.row.middle', button('Create the first table', create))]
}

function listing(rows, all, create) {
  const of = (read) => ({ table, error }) => (table ? read(table) : error ? h('span.muted', error.isDenied ? 'not allowed' : error.kind) : '–')
  const empty = all === 0 ? firstTable(create) : 'No table has such a name.'
  return grid(
    [
      { title: 'Name', cell: ({ name }) => h('a', { href: `#/tables/${encodeURIComponent(name)}` }, name) },
      { title: 'Status', cell: of((table) => stateBadge(table.TableStatus)) },
      { title: 'Key', cell: of((table) => h('span.mono.line', keyText(table))) },
      { title: 'Items', number: true, cell: of((table) => count(table.ItemCount)) },
      { title: 'Size', number: true, cell: of((table) => bytes(table.TableSizeBytes)) },
      { title: 'Indexes', number: true, cell: of((table) => String(indexesOf(table).length)) },
      { title: 'Replicas', cell: of(replicaBadges) },
      { title: 'Expires', cell: ({ ttl }) => expiry(ttl) },
      session.facts.backups ? { title: 'Backups', cell: ({ backups }) => backup(backups) } : null,
      { title: 'Stream', cell: of((table) => (table.StreamSpecification?.StreamEnabled ? badge('on', 'good') : h('span.muted', 'off'))) },
      { title: '', cell: ({ name }) => h('a', { href: `#/items/${encodeURIComponent(name)}`, 'aria-label': `Items of ${name}` }, 'Items') },
    ].filter(Boolean),
    rows,
    { empty, label: 'Tables' },
  )
}

/** The attribute that has the time, if items expire. */
function expiry(ttl) {
  if (!ttl || ttl.error) return h('span.muted', ttl?.error?.isDenied ? 'not allowed' : '–')
  const { TimeToLiveStatus: status, AttributeName: attribute } = ttl.TimeToLiveDescription
  return status === 'ENABLED' ? ['by ', h('span.mono', attribute)] : h('span.muted', status === 'DISABLED' ? 'never' : status.toLowerCase())
}

/** Whether a table can be restored to a moment. */
function backup(backups) {
  if (!backups || backups.error) return h('span.muted', backups?.error?.isDenied ? 'not allowed' : '–')
  return recoveryOf(backups)?.PointInTimeRecoveryStatus === 'ENABLED' ? badge('continuous', 'good') : h('span.muted', 'on demand')
}

/** The regions, each with its state in words where that is not the usual one. */
function replicaBadges(table) {
  const replicas = table.Replicas ?? []
  if (replicas.length === 0) return h('span.muted', 'this region only')
  return replicas.map(({ RegionName: region, ReplicaStatus: state }) => {
    const isActive = state === 'ACTIVE'
    const tone = isActive ? 'good' : state === 'CREATION_FAILED' ? 'bad' : 'warn'
    return [badge(isActive ? [region, h('span.unseen', ' active')] : `${region}: ${state.toLowerCase().replaceAll('_', ' ')}`, tone), ' ']
  })
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
  const kept = new Kept((of) => ({
    ...seldom(of),
    tags: () => session.call('ListTagsOfResource', { ResourceArn: session.tableArn(of) }),
    policy: () => session.call('GetResourcePolicy', { ResourceArn: session.tableArn(of) }),
    insights: () => session.call('ListContributorInsights', { TableName: of }),
  }))
  const refresh = async (isChanged = false) => {
    const { Table: table } = await session.call('DescribeTable', { TableName: name })
    const more = await kept.of(name, isChanged)
    const state = { name, table, ...more, refresh: again }
    fill(failed)
    head.hidden = body.hidden = false
    refill(head, headOf(state))
    // Whoever is typing is not disturbed; what is the same stays as it is.
    const isTyping = body.contains(document.activeElement) && /^(INPUT|TEXTAREA|SELECT)$/.test(document.activeElement.tagName)
    const now = JSON.stringify([table, more], (key, value) => (PASSING.includes(key) ? undefined : value))
    if (now === shown || isTyping) return
    shown = now
    refill(body, partsOf(state, chosen, (at) => (chosen = at)))
  }
  // A change shows in the table's state a moment later.
  const again = async () => {
    await pause(150, signal)
    shown = ''
    document.activeElement?.blur()
    await refresh(true)
  }
  await every(LOOK_EVERY_MS, signal, () => refresh(), (error) => {
    shown = ''
    head.hidden = body.hidden = true
    fill(failed, card(name, failure(error)))
  })
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
        { title: 'Capacity', cell: ({ index, global }) => (global ? indexCapacityText(table, index) : '–') },
        { title: '', cell: ({ index, global }) => (global ? button('Capacity', () => indexCapacityDialog(state, index), { tone: 'plain', label: `Capacity of index ${index.IndexName}` }) : null) },
        { title: '', cell: ({ index, global }) => (global ? button('Delete', () => remove(index), { tone: 'plain', label: `Delete index ${index.IndexName}` }) : null) },
      ],
      kinds,
      { empty: 'No indexes: queries go by the table’s key.', label: 'Indexes' },
    ),
    h('div.row', button('Add a global index', () => addIndexDialog(state))),
  ]
}

function tagsView(state) {
  const { table, tags, refresh } = state
  if (tags.error) return failure(tags.error)
  const remove = (key) =>
    callConfirm(`Remove the tag ${key}?`, 'Policies and bills that go by it do not find it any more.', {
      request: ['UntagResource', { ResourceArn: table.TableArn, TagKeys: [key] }],
      verb: 'Remove',
      done: refresh,
    })
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
    sameElsewhere(() => (isAbsent || text.value.trim() ? ['PutResourcePolicy', put()] : ['DeleteResourcePolicy', { ResourceArn: table.TableArn }])),
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
