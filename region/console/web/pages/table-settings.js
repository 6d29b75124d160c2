// A table's settings, each with the call that changes it.

import { perform } from '../api.js'
import { callDialog } from '../forms.js'
import * as session from '../session.js'
import { sameElsewhere } from '../snippets.js'
import { button, count, field, h, input, moment, note, select } from '../ui.js'
import { capacityDialog, streamDialog } from './table-forms.js'
import { keyState } from './tables.js'

/** The tab of a table's settings. */
export function settings(state) {
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
    line('Warm throughput', warmText(table.WarmThroughput)),
    line('Stream', table.StreamSpecification?.StreamEnabled ? `on, ${table.StreamSpecification.StreamViewType}` : 'off', button('Change', () => streamDialog(state))),
    line('Time to live', ttlText(ttl), timeToLive(state)),
    session.facts.backups ? line('Point-in-time recovery', recoveryText(state.backups), recoverySwitch(state)) : null,
    line('Deletion protection', isProtected ? 'on: DeleteTable is refused' : 'off', button(isProtected ? 'Switch off' : 'Switch on', update({ DeletionProtectionEnabled: !isProtected }, 'Changed'))),
    encryption(state, line),
    line('Table class', 'STANDARD_INFREQUENT_ACCESS keeps rows apart, packed for few reads', tableClass, button('Set', () => update({ TableClass: tableClass.value }, 'Changed')())),
    insights(state, line),
    sameElsewhere(() => commands(state, protection, tableClass.value)),
  ]
}

/** What the switches above would do now. */
function commands({ name, ttl, backups }, protection, tableClass) {
  const made = [
    ['UpdateTable', protection],
    ['UpdateTable', { TableName: name, TableClass: tableClass }],
  ]
  if (session.facts.backups && !backups?.error) made.push(recoveryCall(name, backups))
  if (!ttl?.error) made.push(expiryCall(name, ttl, ttl.TimeToLiveDescription.AttributeName ?? 'expires'))
  return made
}

function recoveryCall(name, backups) {
  const isOn = recoveryOf(backups)?.PointInTimeRecoveryStatus === 'ENABLED'
  return ['UpdateContinuousBackups', { TableName: name, PointInTimeRecoverySpecification: { PointInTimeRecoveryEnabled: !isOn } }]
}

function expiryCall(name, ttl, attribute) {
  return ['UpdateTimeToLive', { TableName: name, TimeToLiveSpecification: { Enabled: ttl?.TimeToLiveDescription?.TimeToLiveStatus !== 'ENABLED', AttributeName: attribute } }]
}

/** Where the keys that are used most are counted. */
function insights({ name, table, insights: found, refresh }, line) {
  if (found?.error) return line('Contributor insights', found.error.isDenied ? 'not allowed to be seen' : found.error.message)
  const indexes = (table.GlobalSecondaryIndexes ?? []).map(({ IndexName }) => IndexName)
  const states = new Map((found?.ContributorInsightsSummaries ?? []).map(({ IndexName, ContributorInsightsStatus: state }) => [IndexName ?? '', state]))
  const isOn = (of) => ['ENABLED', 'ENABLING'].includes(states.get(of))
  const shown = ['', ...indexes].filter(isOn).map((of) => (of === '' ? 'the table' : of))
  const change = () => {
    const of = select([['', 'The table'], ...indexes], '')
    const which = select([
      ['ACCESSED_AND_THROTTLED_KEYS', 'Accessed and throttled keys'],
      ['THROTTLED_KEYS', 'Throttled keys alone'],
    ])
    const action = select([
      ['ENABLE', 'Count'],
      ['DISABLE', 'Do not count'],
    ], isOn('') ? 'DISABLE' : 'ENABLE')
    const request = () => {
      const made = { TableName: name, ContributorInsightsAction: action.value }
      if (of.value) made.IndexName = of.value
      if (action.value === 'ENABLE') made.ContributorInsightsMode = which.value
      return ['UpdateContributorInsights', made]
    }
    callDialog(`Contributor insights of ${name}`, {
      content: [h('p.muted', 'The keys that are used most are shown on the page Now.'), h('div.fields', field('Of', of), field('What to do', action), field('Which keys', which))],
      request,
      verb: 'Change',
      done: refresh,
    })
  }
  return line('Contributor insights', shown.length > 0 ? `on: ${shown.join(', ')}` : 'off', button('Change', change, { label: 'Change contributor insights' }))
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
    return limit ? `on demand, at most ${shownLimit(limit.MaxReadRequestUnits)} read and ${shownLimit(limit.MaxWriteRequestUnits)} write units` : 'on demand'
  }
  const { ReadCapacityUnits: read, WriteCapacityUnits: write } = table.ProvisionedThroughput
  return `provisioned: ${read} read and ${write} write units`
}

/** What can be taken at once, without growing first. */
function warmText(warm) {
  if (!warm) return '–'
  const state = warm.Status && warm.Status !== 'ACTIVE' ? `, ${warm.Status.toLowerCase()}` : ''
  return `${count(warm.ReadUnitsPerSecond)} read and ${count(warm.WriteUnitsPerSecond)} write units a second at once${state}`
}

function ttlText(ttl) {
  if (ttl.error) return ttl.error.isDenied ? 'not allowed to be seen' : ttl.error.message
  const { TimeToLiveStatus: status, AttributeName: attribute } = ttl.TimeToLiveDescription
  return attribute ? `${status.toLowerCase()}, by ${attribute}` : status.toLowerCase()
}

function timeToLive({ name, ttl, refresh }) {
  const now = ttl.TimeToLiveDescription ?? {}
  const isOn = now.TimeToLiveStatus === 'ENABLED'
  const attribute = input({ placeholder: 'attribute', value: now.AttributeName ?? '', disabled: isOn, required: true, 'aria-label': 'Attribute that has the time', size: 12 })
  return [
    attribute,
    button(isOn ? 'Switch off' : 'Switch on', async () => {
      // The browser says what is missing, and goes there.
      if (!attribute.reportValidity()) return
      await perform(...expiryCall(name, ttl, attribute.value))
      note('Changed')
      await refresh()
    }),
  ]
}

function recoveryText(backups) {
  if (backups.error) return backups.error.isDenied ? 'not allowed to be seen' : backups.error.message
  const pitr = recoveryOf(backups)
  return pitr?.PointInTimeRecoveryStatus === 'ENABLED' ? `on, from ${moment(pitr.EarliestRestorableDateTime)}` : 'off'
}

function recoverySwitch({ name, backups, refresh }) {
  const isOn = recoveryOf(backups)?.PointInTimeRecoveryStatus === 'ENABLED'
  return button(isOn ? 'Switch off' : 'Switch on', async () => {
    await perform(...recoveryCall(name, backups))
    note('Changed')
    await refresh()
  })
}

/** How a table can be restored to a moment, of DescribeContinuousBackups' answer. */
export function recoveryOf(backups) {
  return backups?.ContinuousBackupsDescription?.PointInTimeRecoveryDescription
}

/** What a global index may take. */
export function indexCapacityText(table, index) {
  if (table.BillingModeSummary?.BillingMode !== 'PAY_PER_REQUEST') {
    const { ReadCapacityUnits: read, WriteCapacityUnits: write } = index.ProvisionedThroughput ?? {}
    return `${read} read, ${write} write`
  }
  const limit = index.OnDemandThroughput
  return limit ? `at most ${shownLimit(limit.MaxReadRequestUnits)} read, ${shownLimit(limit.MaxWriteRequestUnits)} write` : 'on demand'
}

function shownLimit(units) {
  return units > 0 ? units : '∞'
}
