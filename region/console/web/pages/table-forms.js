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

/** Attributes that a global index's key may have beside its first ones: four of the partition key and four of the sort key in all. */
const MORE_ATTRIBUTES_MAX = 6

/** Names and types of a key's attributes. Where `several` are allowed, each part may have more than one. */
export function keyFields(hash, { several = false } = {}) {
  const partition = input({ placeholder: hash, required: true })
  const partitionType = select(KEY_TYPES, 'S', { 'aria-label': 'Type of the partition key' })
  const sort = input({ placeholder: 'optional' })
  const sortType = select(KEY_TYPES, 'S', { 'aria-label': 'Type of the sort key' })
  const more = []
  const list = h('div.stack')
  const add = button('One more attribute of the key', () => {
    const line = { box: input({ required: true }), type: select(KEY_TYPES, 'S'), part: select([['HASH', 'Partition key'], ['RANGE', 'Sort key']], 'HASH') }
    const element = h('div.fields', field('One more attribute', line.box), field('Part of the', line.part), field('Type of it', line.type))
    const gone = button('Take the attribute away', () => {
      more.splice(more.indexOf(line), 1)
      element.remove()
      add.hidden = false
      changed(list)
    }, { tone: 'plain' })
    element.append(gone)
    more.push(line)
    list.append(element)
    add.hidden = more.length === MORE_ATTRIBUTES_MAX
  }, { tone: 'plain' })
  const extra = h('div.stack', { hidden: !several }, list, add)
  const element = h(
    'div.stack',
    h('div.fields', field('Partition key', partition), field('Its type', partitionType), field('Sort key', sort), field('Its type', sortType)),
    extra,
  )
  const read = () => {
    const of = (kind) => (extra.hidden ? [] : more.filter(({ part }) => part.value === kind).map(({ box, type }) => [box.value.trim(), type.value, kind]))
    const sorted = sort.value.trim() ? [[sort.value.trim(), sortType.value, 'RANGE']] : []
    const keys = [[partition.value.trim(), partitionType.value, 'HASH'], ...of('HASH'), ...sorted, ...of('RANGE')]
    return {
      schema: keys.map(([AttributeName, , KeyType]) => ({ AttributeName, KeyType })),
      definitions: keys.map(([AttributeName, AttributeType]) => ({ AttributeName, AttributeType })),
    }
  }
  return { element, read, allow: (isAllowed) => (extra.hidden = !isAllowed) }
}

/** Tells a form that it has other fields now: what its request is in other clients is shown anew. */
function changed(element) {
  element.dispatchEvent(new Event('input', { bubbles: true }))
}

/** What an index is made of. `capacity` is what a global one may take; a local one shares its table's. */
function indexFields(capacity, { local = false } = {}) {
  const name = input({ placeholder: 'by-customer', required: true })
  const keys = keyFields('customer', { several: true })
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
  const isLocal = () => kind.value === 'local'
  kind.addEventListener('change', () => {
    keys.allow(!isLocal())
    capacity.element.hidden = isLocal()
  })
  const element = h(
    'fieldset.stack',
    h('legend', 'Index'),
    h('div.fields', field('Index name', name), local ? field('Kind', kind) : null, field('Projection', projection), includedField),
    keys.element,
    capacity.element,
  )
  const read = () => {
    const { schema, definitions } = keys.read()
    const Projection = { ProjectionType: projection.value }
    if (projection.value === 'INCLUDE') Projection.NonKeyAttributes = words(included.value)
    const index = { IndexName: name.value.trim(), KeySchema: schema, Projection, ...(isLocal() ? {} : capacity.request()) }
    return { isLocal: isLocal(), definitions, index }
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

/** What a table, or a global index, may take: its units or its maxima on demand, and what it is warm for. `now` is its description, if it is
 *  there already; otherwise it begins with the units of `begins`. */
function throughputFields(isProvisioned, now, begins = now?.ProvisionedThroughput, { warms = true } = {}) {
  const number = (attributes) => h('input', { type: 'number', min: 1, step: 1, ...attributes })
  const read = number({ value: begins?.ReadCapacityUnits || 5 })
  const write = number({ value: begins?.WriteCapacityUnits || 5 })
  const maxRead = number({ value: shownMaximum(now?.OnDemandThroughput?.MaxReadRequestUnits) })
  const maxWrite = number({ value: shownMaximum(now?.OnDemandThroughput?.MaxWriteRequestUnits) })
  const warmRead = number({ placeholder: now?.WarmThroughput?.ReadUnitsPerSecond })
  const warmWrite = number({ placeholder: now?.WarmThroughput?.WriteUnitsPerSecond })
  const provisioned = h('div.fields', field('Read units', read), field('Write units', write))
  const onDemand = h('div.fields', field('Most read units', maxRead, 'Empty: no maximum'), field('Most write units', maxWrite, 'Empty: no maximum'))
  const hint = now ? 'Empty: as it is. It can only be raised' : 'Empty: as it begins'
  const warm = h('details', h('summary', 'Warm throughput'), h('div.fields', field('Warm for reads a second', warmRead, hint), field('Warm for writes a second', warmWrite, hint)))
  const shown = h('div')
  const draw = () => fill(shown, isProvisioned() ? provisioned : onDemand)
  draw()
  const throughput = () => ({ ReadCapacityUnits: Number(read.value), WriteCapacityUnits: Number(write.value) })
  const isSame = ({ ReadCapacityUnits, WriteCapacityUnits }) => ReadCapacityUnits === now?.ProvisionedThroughput?.ReadCapacityUnits && WriteCapacityUnits === now?.ProvisionedThroughput?.WriteCapacityUnits
  const request = () => {
    const made = {}
    const warmed = {}
    if (warmRead.value) warmed.ReadUnitsPerSecond = Number(warmRead.value)
    if (warmWrite.value) warmed.WriteUnitsPerSecond = Number(warmWrite.value)
    const isWarmed = Object.keys(warmed).length > 0
    // The service refuses units that are as they were: who warms a table alone does not ask for them.
    if (isProvisioned() && !(isWarmed && isSame(throughput()))) made.ProvisionedThroughput = throughput()
    const limits = isProvisioned() ? {} : limitsOf(maxRead, maxWrite, now?.OnDemandThroughput)
    if (Object.keys(limits).length > 0) made.OnDemandThroughput = limits
    if (isWarmed) made.WarmThroughput = warmed
    return made
  }
  return { element: h('div.stack', shown, warms ? warm : null), draw, request, throughput }
}

function isProvisionedTable(table) {
  return table.BillingModeSummary?.BillingMode !== 'PAY_PER_REQUEST'
}

/** On demand or provisioned, and how much of it; `warms` tells whether it can be warmed, too. */
export function capacityFields(table, options) {
  const before = table && isProvisionedTable(table) ? 'PROVISIONED' : 'PAY_PER_REQUEST'
  const mode = select(
    [
      ['PAY_PER_REQUEST', 'On demand'],
      ['PROVISIONED', 'Provisioned'],
    ],
    before,
  )
  const isProvisioned = () => mode.value === 'PROVISIONED'
  const fields = throughputFields(isProvisioned, table, table?.ProvisionedThroughput, options)
  mode.addEventListener('change', fields.draw)
  const request = () => {
    const made = fields.request()
    const isWarmedAlone = table && mode.value === before && made.WarmThroughput && !made.ProvisionedThroughput
    return isWarmedAlone ? made : { BillingMode: mode.value, ...made }
  }
  return { element: h('div.stack', field('Capacity', mode), fields.element), mode, request, isProvisioned, throughput: fields.throughput }
}

/** The indexes of a table that is being made: global ones, and `local` ones if there may be any. `warms` tells whether they can be warmed. */
export function indexListFields(capacity, { local = false, warms = true } = {}) {
  const indexes = []
  const list = h('div.stack')
  const add = button('Add an index', () => {
    const own = throughputFields(capacity.isProvisioned, undefined, capacity.throughput(), { warms })
    capacity.mode.addEventListener('change', own.draw)
    const made = indexFields(own, { local })
    const gone = button('Take it away', () => {
      indexes.splice(indexes.indexOf(made), 1)
      made.element.remove()
      changed(list)
    }, { tone: 'plain' })
    made.element.append(gone)
    indexes.push(made)
    list.append(made.element)
  })
  /** Puts them into a request, with the types of their keys' attributes. */
  const addTo = (input) => {
    for (const { index, isLocal, definitions } of indexes.map((each) => each.read())) {
      const of = isLocal ? 'LocalSecondaryIndexes' : 'GlobalSecondaryIndexes'
      input[of] ??= []
      input[of].push(index)
      for (const definition of definitions) {
        if (!input.AttributeDefinitions.some(({ AttributeName }) => AttributeName === definition.AttributeName)) input.AttributeDefinitions.push(definition)
      }
    }
  }
  return { element: h('div.stack', list, add), addTo }
}

/** CreateTable, with what AWS's console offers. */
export function createDialog(done) {
  const name = input({ placeholder: 'Orders', required: true })
  const keys = keyFields('customer')
  const capacity = capacityFields()
  const tableClass = select(['STANDARD', 'STANDARD_INFREQUENT_ACCESS'])
  const protection = check('Deletion protection')
  const stream = select([['', 'None'], ...VIEWS], '')
  const tags = input({ placeholder: 'team=web, stage=test' })
  const indexes = indexListFields(capacity, { local: true })
  const request = () => {
    const { schema, definitions } = keys.read()
    const input = { TableName: name.value.trim(), AttributeDefinitions: definitions, KeySchema: schema, ...capacity.request() }
    indexes.addTo(input)
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
      h('details', h('summary', 'Indexes, class, tags'), h('div.stack', indexes.element, h('div.fields', field('Table class', tableClass), field('Tags', tags, 'key=value, separated by commas')))),
    ],
    done: async () => {
      note(`${name.value.trim()} is being created`)
      await done()
    },
  })
}

/** UpdateTable that adds a global index. */
export function addIndexDialog({ name, table, refresh }) {
  const fields = indexFields(throughputFields(() => isProvisionedTable(table), undefined, table.ProvisionedThroughput))
  formDialog('Add a global index', {
    verb: 'Add',
    content: [h('p.muted', 'The whole table is read to fill it; the table serves meanwhile.'), fields.element],
    request: () => {
      const { index, definitions } = fields.read()
      const known = table.AttributeDefinitions
      const all = [...known, ...definitions.filter((each) => !known.some(({ AttributeName }) => AttributeName === each.AttributeName))]
      return ['UpdateTable', { TableName: name, AttributeDefinitions: all, GlobalSecondaryIndexUpdates: [{ Create: index }] }]
    },
    done: refresh,
  })
}

/** UpdateTable that changes what a global index may take. */
export function indexCapacityDialog({ name, table, refresh }, index) {
  const capacity = throughputFields(() => isProvisionedTable(table), index)
  formDialog(`Capacity of ${index.IndexName}`, {
    content: [capacity.element],
    request: () => ['UpdateTable', { TableName: name, GlobalSecondaryIndexUpdates: [{ Update: { IndexName: index.IndexName, ...capacity.request() } }] }],
    done: refresh,
  })
}

/** What a replica has of its own: its class, what it may be read, and a key where there are keys of tables. */
function overrideFields(table, replica = {}) {
  const isProvisioned = isProvisionedTable(table)
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
  // Indexes of a table on demand get units of their own with it.
  const indexes = isProvisionedTable(table) ? [] : (table.GlobalSecondaryIndexes ?? []).map((index) => ({ index, own: throughputFields(() => true, index) }))
  const list = h('div.stack', indexes.map(({ index, own }) => h('fieldset.stack', h('legend', `Index ${index.IndexName}`), own.element)))
  const draw = () => (list.hidden = !capacity.isProvisioned())
  capacity.mode.addEventListener('change', draw)
  draw()
  formDialog('Capacity', {
    content: [capacity.element, list],
    request: () => {
      const input = { TableName: name, ...capacity.request() }
      if (capacity.isProvisioned() && indexes.length > 0) {
        input.GlobalSecondaryIndexUpdates = indexes.map(({ index, own }) => ({ Update: { IndexName: index.IndexName, ...own.request() } }))
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
