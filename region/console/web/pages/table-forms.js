// The forms that make and change tables. Each shows the commands that do the same.

import * as session from '../session.js'
import { sameElsewhere } from '../snippets.js'
import { button, check, dialog, failure, field, fill, h, input, note, select } from '../ui.js'

const KEY_TYPES = [
  ['S', 'String'],
  ['N', 'Number'],
  ['B', 'Binary'],
]
const VIEWS = [
  ['NEW_AND_OLD_IMAGES', 'New and old images'],
  ['NEW_IMAGE', 'New image'],
  ['OLD_IMAGE', 'Old image'],
  ['KEYS_ONLY', 'Keys only'],
]

/** A dialog with a form, what its request is in other clients, and its failures. */
function formDialog(title, { content, request, verb = 'Save', done, wide }) {
  dialog(
    title,
    (close) => {
      const failed = h('div')
      const code = sameElsewhere(request)
      const form = h('form.stack', { onsubmit: (event) => (event.preventDefault(), go.click()) }, content)
      form.addEventListener('input', () => code.refresh())
      const go = button(
        verb,
        async () => {
          try {
            const made = request()
            for (const [operation, input] of Array.isArray(made[0]) ? made : [made]) await session.call(operation, input)
            close()
            await done?.()
          } catch (error) {
            fill(failed, failure(error))
          }
        },
        { tone: 'primary' },
      )
      return [form, failed, code, h('div.actions', button('Cancel', close), go)]
    },
    { wide },
  )
}

/** Name and type of a key attribute. */
function keyFields(hash, range, { required = true } = {}) {
  const partition = input({ placeholder: hash, required })
  const partitionType = select(KEY_TYPES, 'S', { 'aria-label': 'Type of the partition key' })
  const sort = input({ placeholder: 'optional' })
  const sortType = select(KEY_TYPES, 'S', { 'aria-label': 'Type of the sort key' })
  const element = h(
    'div.fields',
    field('Partition key', partition),
    field('Its type', partitionType),
    field('Sort key', sort),
    field('Its type', sortType),
  )
  const read = () => {
    const keys = [[partition.value.trim(), partitionType.value, 'HASH']]
    if (sort.value.trim()) keys.push([sort.value.trim(), sortType.value, 'RANGE'])
    return {
      schema: keys.map(([AttributeName, , KeyType]) => ({ AttributeName, KeyType })),
      definitions: keys.map(([AttributeName, AttributeType]) => ({ AttributeName, AttributeType })),
    }
  }
  return { element, read }
}

/** What an index is made of. */
function indexFields({ local = false } = {}) {
  const name = input({ placeholder: 'by-customer', required: true })
  const keys = keyFields('customer', 'optional')
  const projection = select(
    [
      ['ALL', 'All attributes'],
      ['KEYS_ONLY', 'Keys only'],
      ['INCLUDE', 'Keys and those named'],
    ],
    'ALL',
  )
  const included = input({ placeholder: 'name, total' })
  const includedField = field('Attributes', included)
  includedField.hidden = true
  projection.addEventListener('change', () => (includedField.hidden = projection.value !== 'INCLUDE'))
  const kind = select(
    [
      ['global', 'Global'],
      ['local', 'Local'],
    ],
    'global',
  )
  const element = h(
    'fieldset.stack',
    h('legend', 'Index'),
    h('div.fields', field('Index name', name), local ? field('Kind', kind) : null, field('Projection', projection), includedField),
    keys.element,
  )
  const read = () => {
    const { schema, definitions } = keys.read()
    const Projection = { ProjectionType: projection.value }
    if (projection.value === 'INCLUDE') Projection.NonKeyAttributes = words(included.value)
    return { isLocal: kind.value === 'local', definitions, index: { IndexName: name.value.trim(), KeySchema: schema, Projection } }
  }
  return { element, read }
}

function words(text) {
  return text.split(',').map((word) => word.trim()).filter((word) => word !== '')
}

function shownMaximum(units) {
  return units > 0 ? units : ''
}

/** Maxima on demand from two fields; what was one and is empty now is taken away, which is -1. */
function limitsOf(maxRead, maxWrite, before = {}) {
  const limits = {}
  for (const [name, box] of [['MaxReadRequestUnits', maxRead], ['MaxWriteRequestUnits', maxWrite]]) {
    if (box.value) limits[name] = Number(box.value)
    else if (before[name] > 0) limits[name] = -1
  }
  return limits
}

/** On demand or provisioned. */
function capacityFields(table) {
  const now = table?.BillingModeSummary?.BillingMode === 'PAY_PER_REQUEST' || !table ? 'PAY_PER_REQUEST' : 'PROVISIONED'
  const number = (value) => h('input', { type: 'number', min: 1, step: 1, value })
  const mode = select(
    [
      ['PAY_PER_REQUEST', 'On demand'],
      ['PROVISIONED', 'Provisioned'],
    ],
    now,
  )
  const read = number(table?.ProvisionedThroughput?.ReadCapacityUnits || 5)
  const write = number(table?.ProvisionedThroughput?.WriteCapacityUnits || 5)
  const maxRead = number(shownMaximum(table?.OnDemandThroughput?.MaxReadRequestUnits))
  const maxWrite = number(shownMaximum(table?.OnDemandThroughput?.MaxWriteRequestUnits))
  const provisioned = h('div.fields', field('Read units', read), field('Write units', write))
  const onDemand = h('div.fields', field('Most read units', maxRead, 'Empty: no maximum'), field('Most write units', maxWrite, 'Empty: no maximum'))
  const draw = () => {
    provisioned.hidden = mode.value !== 'PROVISIONED'
    onDemand.hidden = !provisioned.hidden
  }
  mode.addEventListener('change', draw)
  draw()
  const throughput = () => ({ ReadCapacityUnits: Number(read.value), WriteCapacityUnits: Number(write.value) })
  const request = () => {
    if (mode.value === 'PROVISIONED') return { BillingMode: 'PROVISIONED', ProvisionedThroughput: throughput() }
    const made = { BillingMode: 'PAY_PER_REQUEST' }
    const limits = limitsOf(maxRead, maxWrite, table?.OnDemandThroughput)
    if (Object.keys(limits).length > 0) made.OnDemandThroughput = limits
    return made
  }
  return { element: h('div.stack', field('Capacity', mode), provisioned, onDemand), request, throughput, isProvisioned: () => mode.value === 'PROVISIONED' }
}

/** CreateTable, with what AWS's console offers. */
export function createDialog(done) {
  const name = input({ placeholder: 'Orders', required: true })
  const keys = keyFields('customer', 'placed')
  const capacity = capacityFields()
  const tableClass = select(['STANDARD', 'STANDARD_INFREQUENT_ACCESS'])
  const protection = check('Deletion protection')
  const stream = select([['', 'None'], ...VIEWS], '')
  const tags = input({ placeholder: 'team=web, stage=test' })
  const indexes = []
  const indexList = h('div.stack')
  const addIndex = button('Add an index', () => {
    const made = indexFields({ local: true })
    const gone = button('Take it away', () => {
      indexes.splice(indexes.indexOf(made), 1)
      made.element.remove()
    }, { tone: 'plain' })
    made.element.append(gone)
    indexes.push(made)
    indexList.append(made.element)
  })
  const request = () => {
    const { schema, definitions } = keys.read()
    const input = { TableName: name.value.trim(), AttributeDefinitions: definitions, KeySchema: schema, ...capacity.request() }
    for (const { index, isLocal, definitions: more } of indexes.map((each) => each.read())) {
      const list = isLocal ? 'LocalSecondaryIndexes' : 'GlobalSecondaryIndexes'
      input[list] ??= []
      input[list].push(!isLocal && capacity.isProvisioned() ? { ...index, ProvisionedThroughput: capacity.throughput() } : index)
      for (const definition of more) {
        if (!definitions.some(({ AttributeName }) => AttributeName === definition.AttributeName)) definitions.push(definition)
      }
    }
    if (stream.value) input.StreamSpecification = { StreamEnabled: true, StreamViewType: stream.value }
    if (tableClass.value !== 'STANDARD') input.TableClass = tableClass.value
    if (protection.box.checked) input.DeletionProtectionEnabled = true
    const pairs = words(tags.value).map((pair) => pair.split('='))
    if (pairs.length > 0) input.Tags = pairs.map(([Key, ...rest]) => ({ Key: Key.trim(), Value: rest.join('=').trim() }))
    return ['CreateTable', input]
  }
  formDialog('Create table', {
    wide: true,
    verb: 'Create',
    request,
    content: [
      field('Table name', name, '3 to 255 letters, digits, and . _ -'),
      keys.element,
      capacity.element,
      h('div.fields', field('Stream', stream, 'Replicas need one with new and old images'), h('div.row.end', protection)),
      h('details', h('summary', 'Indexes, class, tags'), h('div.stack', indexList, addIndex, h('div.fields', field('Table class', tableClass), field('Tags', tags, 'key=value, separated by commas')))),
    ],
    done: async () => {
      note(`${name.value.trim()} is being created`)
      await done()
    },
  })
}

/** UpdateTable that adds a global index. */
export function addIndexDialog({ name, table, refresh }) {
  const fields = indexFields()
  const capacity = indexCapacityFields(table, { ProvisionedThroughput: table.ProvisionedThroughput })
  formDialog('Add a global index', {
    verb: 'Add',
    content: [h('p.muted', 'The whole table is read to fill it; the table serves meanwhile.'), fields.element, capacity.element],
    request: () => {
      const { index, definitions } = fields.read()
      const known = table.AttributeDefinitions
      const all = [...known, ...definitions.filter((each) => !known.some(({ AttributeName }) => AttributeName === each.AttributeName))]
      return ['UpdateTable', { TableName: name, AttributeDefinitions: all, GlobalSecondaryIndexUpdates: [{ Create: { ...index, ...capacity.request() } }] }]
    },
    done: refresh,
  })
}

/** What a global index may take: its units, or its maxima on demand. */
function indexCapacityFields(table, index) {
  const number = (value) => h('input', { type: 'number', min: 1, step: 1, value })
  if (table.BillingModeSummary?.BillingMode !== 'PAY_PER_REQUEST') {
    const read = number(index.ProvisionedThroughput?.ReadCapacityUnits || 5)
    const write = number(index.ProvisionedThroughput?.WriteCapacityUnits || 5)
    const request = () => ({ ProvisionedThroughput: { ReadCapacityUnits: Number(read.value), WriteCapacityUnits: Number(write.value) } })
    return { element: h('div.fields', field('Read units', read), field('Write units', write)), request }
  }
  const maxRead = number(shownMaximum(index.OnDemandThroughput?.MaxReadRequestUnits))
  const maxWrite = number(shownMaximum(index.OnDemandThroughput?.MaxWriteRequestUnits))
  const request = () => {
    const limits = limitsOf(maxRead, maxWrite, index.OnDemandThroughput)
    return Object.keys(limits).length > 0 ? { OnDemandThroughput: limits } : {}
  }
  return { element: h('div.fields', field('Most read units', maxRead, 'Empty: no maximum'), field('Most write units', maxWrite, 'Empty: no maximum')), request }
}

/** UpdateTable that changes what a global index may take. */
export function indexCapacityDialog({ name, table, refresh }, index) {
  const capacity = indexCapacityFields(table, index)
  formDialog(`Capacity of ${index.IndexName}`, {
    content: [capacity.element],
    request: () => ['UpdateTable', { TableName: name, GlobalSecondaryIndexUpdates: [{ Update: { IndexName: index.IndexName, ...capacity.request() } }] }],
    done: refresh,
  })
}

/** What a replica has of its own: its class, what it may be read, and a key where there are keys of tables. */
function overrideFields(table, replica = {}) {
  const isProvisioned = table.BillingModeSummary?.BillingMode !== 'PAY_PER_REQUEST'
  const units = isProvisioned ? replica.ProvisionedThroughputOverride?.ReadCapacityUnits : shownMaximum(replica.OnDemandThroughputOverride?.MaxReadRequestUnits)
  const read = h('input', { type: 'number', min: 1, step: 1, value: units ?? '' })
  const own = select([['', 'As the table'], 'STANDARD', 'STANDARD_INFREQUENT_ACCESS'], replica.ReplicaTableClassSummary?.TableClass ?? '')
  const key = input({ value: replica.KMSMasterKeyId ?? '', placeholder: 'alias/orders' })
  const element = h(
    'div.fields',
    field(isProvisioned ? 'Read units there' : 'Most read units there', read, 'Empty: as the table'),
    field('Class there', own),
    session.facts.table_keys ? field('Key there', key, 'Where the table has a key of its own') : null,
  )
  const request = () => {
    const made = {}
    if (read.value && isProvisioned) made.ProvisionedThroughputOverride = { ReadCapacityUnits: Number(read.value) }
    if (read.value && !isProvisioned) made.OnDemandThroughputOverride = { MaxReadRequestUnits: Number(read.value) }
    if (own.value) made.TableClassOverride = own.value
    if (key.value.trim()) made.KMSMasterKeyId = key.value.trim()
    return made
  }
  return { element, request }
}

/** UpdateTable that changes what a replica has of its own. */
export function overrideDialog({ name, table, refresh }, replica) {
  const own = overrideFields(table, replica)
  formDialog(`The replica in ${replica.RegionName}`, {
    content: [own.element],
    request: () => ['UpdateTable', { TableName: name, ReplicaUpdates: [{ Update: { RegionName: replica.RegionName, ...own.request() } }] }],
    done: refresh,
  })
}

/** UpdateTable that adds a replica. A table with replicas has a stream of new and old images; provisioned ones may not be. */
export function addReplicaDialog({ name, table, refresh }, missing) {
  const region = select(missing)
  const own = overrideFields(table)
  formDialog('Add a replica', {
    verb: 'Add',
    content: [field('Region', region), h('p.muted', 'The table is copied there; both regions take reads and writes afterwards.'), h('details', h('summary', 'Settings of its own'), own.element)],
    request: () => ['UpdateTable', { TableName: name, ReplicaUpdates: [{ Create: { RegionName: region.value, ...own.request() } }] }],
    done: async () => {
      note(`A replica is being made in ${region.value}`)
      await refresh()
    },
  })
}

/** UpdateTable that changes the capacity. */
export function capacityDialog({ name, table, refresh }) {
  const capacity = capacityFields(table)
  formDialog('Capacity', {
    content: [capacity.element],
    request: () => {
      const input = { TableName: name, ...capacity.request() }
      const wasProvisioned = table.BillingModeSummary?.BillingMode !== 'PAY_PER_REQUEST'
      const indexes = table.GlobalSecondaryIndexes ?? []
      if (capacity.isProvisioned() && !wasProvisioned && indexes.length > 0) {
        input.GlobalSecondaryIndexUpdates = indexes.map(({ IndexName }) => ({ Update: { IndexName, ProvisionedThroughput: capacity.throughput() } }))
      }
      return ['UpdateTable', input]
    },
    done: refresh,
  })
}

/** UpdateTable that switches the stream. */
export function streamDialog({ name, table, refresh }) {
  const isOn = Boolean(table.StreamSpecification?.StreamEnabled)
  const view = select(VIEWS, table.StreamSpecification?.StreamViewType ?? 'NEW_AND_OLD_IMAGES')
  formDialog('Stream', {
    verb: isOn ? 'Switch off' : 'Switch on',
    content: isOn ? [h('p', 'Its records can be read for 24 hours more.')] : [field('What its records have', view)],
    request: () => ['UpdateTable', { TableName: name, StreamSpecification: isOn ? { StreamEnabled: false } : { StreamEnabled: true, StreamViewType: view.value } }],
    done: refresh,
  })
}

/** TagResource. */
export function tagDialog({ table, refresh }) {
  const key = input({ required: true })
  const value = input()
  formDialog('Add a tag', {
    verb: 'Add',
    content: [h('div.fields', field('Key', key), field('Value', value))],
    request: () => ['TagResource', { ResourceArn: table.TableArn, Tags: [{ Key: key.value, Value: value.value }] }],
    done: refresh,
  })
}
