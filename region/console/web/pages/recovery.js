// Recovery: from which moments tables can be restored, backups, exports and imports.

import { callConfirm, callDialog } from '../forms.js'
import * as metrics from '../metrics.js'
import * as session from '../session.js'
import { sameElsewhere } from '../snippets.js'
import { badge, button, bytes, card, confirm, count, every, failure, field, fill, grid, h, input, moment, note, refill, s, seconds, select, stateBadge } from '../ui.js'
import { tableNames } from './tables.js'

const LOOK_EVERY_MS = 2000
/** Changes of so many seconds are exported at least. */
const CHANGES_LEAST_S = 900

export async function render(main, { signal }) {
  const windows = h('div')
  const backups = h('div')
  const transfers = h('div')
  const progress = h('div')
  fill(
    main,
    progress,
    card('Restore to a moment', h('p.muted', 'A table with point-in-time recovery can be restored, as another table, to any moment of its window, to the second.'), windows),
    card('Backups', backups),
    card('Exports and imports', h('p.muted', 'A table with point-in-time recovery is exported from its archive, at no cost to itself. A bucket is a folder of this region’s --s3-dir, or one of the server of S3 that its configuration names.'), h('div.row', button('Import a table …', () => importTable(refresh))), transfers),
  )
  const refresh = async () => {
    const [, tables, list, jobs] = await Promise.all([running(progress, signal), windowsOf(), backupsOf(), transfersOf()])
    refill(windows, windowList(tables, list.backups ?? [], refresh))
    refill(backups, backupList(list, tables, refresh))
    refill(transfers, transferList(jobs))
  }
  await every(LOOK_EVERY_MS, signal, refresh, (error) => {
    fill(windows, failure(error))
    fill(backups)
  })
}

/** Restores under way in this region, from its metrics. */
async function running(element, signal) {
  const samples = metrics.parse(await session.admin(session.region(), 'metrics', signal))
  const restores = metrics.value(samples, 'geodynamo_restores') ?? 0
  if (restores === 0) {
    fill(element)
    return
  }
  const done = metrics.value(samples, 'geodynamo_restores_items') ?? 0
  const all = metrics.value(samples, 'geodynamo_restores_base_items') ?? 0
  const bar = h('progress', { max: Math.max(all, done, 1), 'aria-label': 'Items restored' })
  bar.value = done
  fill(element, card('Restores under way', h('div.row', badge(`${restores}`, 'warn'), bar, `${count(done)} of about ${count(all)} items`)))
}

async function windowsOf() {
  const names = await tableNames()
  return Promise.all(
    names.map(async (name) => {
      try {
        const { ContinuousBackupsDescription: described } = await session.call('DescribeContinuousBackups', { TableName: name })
        return { name, ...described.PointInTimeRecoveryDescription }
      } catch (error) {
        return { name, error: error.message }
      }
    }),
  )
}

async function backupsOf() {
  try {
    const pages = await session.collect(
      (last) => session.call('ListBackups', { BackupType: 'ALL', ...(last ? { ExclusiveStartBackupArn: last.LastEvaluatedBackupArn } : {}) }),
      (answer) => answer.LastEvaluatedBackupArn,
    )
    return { backups: pages.flatMap(({ BackupSummaries }) => BackupSummaries) }
  } catch (error) {
    return { error: { kind: error.kind, message: error.message, isDenied: error.isDenied } }
  }
}

function windowList(tables, backups, refresh) {
  return grid(
    [
      { title: 'Table', cell: ({ name }) => h('a', { href: `#/tables/${encodeURIComponent(name)}` }, name) },
      { title: 'State', cell: ({ PointInTimeRecoveryStatus: status, error }) => (error ? h('span.muted', error) : status === 'ENABLED' ? badge('on', 'good') : badge('off')) },
      { title: 'Window', cell: (table) => timeLine(table, backups.filter(({ TableName }) => TableName === table.name)) },
      { title: 'From', cell: ({ EarliestRestorableDateTime: from }) => moment(from) },
      { title: 'Until', cell: ({ LatestRestorableDateTime: until }) => moment(until) },
      {
        title: '',
        cell: (table) =>
          h(
            'div.row',
            table.PointInTimeRecoveryStatus === 'ENABLED'
              ? [
                  button('Restore …', () => restoreToMoment(table, refresh), { label: `Restore ${table.name} to a moment` }),
                  button('Export …', () => exportTable(table, refresh), { label: `Export ${table.name}` }),
                ]
              : button('Switch on', () => switchOn(table, refresh), { label: `Switch on point-in-time recovery of ${table.name}`, disabled: Boolean(table.error) }),
            button('Back up', () => backUp(table.name, refresh), { label: `Back up ${table.name}` }),
          ),
      },
    ],
    tables,
    { empty: 'No tables yet.', label: 'Windows of recovery' },
  )
}

/** The last 35 days, what of them can be restored, and where the backups are. */
function timeLine({ EarliestRestorableDateTime: from, LatestRestorableDateTime: until, name }, backups) {
  const now = Date.now() / 1000
  const times = [from, ...backups.map(({ BackupCreationDateTime }) => BackupCreationDateTime)].filter(Boolean)
  if (times.length === 0) return h('span.muted', '–')
  const begin = Math.min(...times, now - 60) - 5
  const x = (time) => (240 * (time - begin)) / (now - begin)
  return s(
    'svg.window',
    { viewBox: '0 0 240 26', role: 'img', 'aria-label': `${name}: ${from ? `restorable from ${moment(from)} until ${moment(until)}` : 'no window'}, ${backups.length} backups` },
    s('rect.past', { x: 0, y: 9, width: 240, height: 8, rx: 4 }),
    from ? s('rect.open', { x: x(from), y: 9, width: Math.max(x(until) - x(from), 3), height: 8, rx: 4 }) : null,
    backups.map((backup) => s('circle.backup', { cx: x(backup.BackupCreationDateTime), cy: 13, r: 4 }, s('title', `${backup.BackupName}, ${moment(backup.BackupCreationDateTime)}`))),
  )
}

function switchOn({ name }, refresh) {
  callConfirm(`Switch on point-in-time recovery of ${name}?`, 'All changes are kept in the archive from now on, for 35 days.', {
    request: ['UpdateContinuousBackups', { TableName: name, PointInTimeRecoverySpecification: { PointInTimeRecoveryEnabled: true } }],
    verb: 'Switch on',
    said: `${name} has point-in-time recovery`,
    done: refresh,
  })
}

function backUp(name, refresh) {
  const title = input({ value: `${name}-${new Date().toISOString().slice(0, 16).replace(/[:T]/g, '-')}` })
  callDialog(`Back up ${name}`, {
    content: field('Name of the backup', title),
    request: () => ['CreateBackup', { TableName: name, BackupName: title.value }],
    verb: 'Back up',
    said: 'The backup is being made',
    done: refresh,
  })
}

/** A moment of a window, to the second; the latest unless it is moved, or as long before that as `before` says. */
function momentField(label, from, until, before = 0) {
  const [first, last] = [Math.ceil(from), Math.floor(until)]
  const slider = h('input', { type: 'range', min: first, max: last, step: 1, value: Math.max(last - before, first) })
  const chosen = h('output.mono')
  const draw = () => fill(chosen, `${moment(Number(slider.value))} (${seconds(last - Number(slider.value))} before the latest)`)
  slider.addEventListener('input', draw)
  draw()
  return { element: h('div', field(label, slider), chosen), read: () => Number(slider.value) }
}

function restoreToMoment({ name, EarliestRestorableDateTime: from, LatestRestorableDateTime: until }, refresh) {
  const target = input({ value: `${name}-restored` })
  const which = select(
    [
      ['latest', `The latest: ${moment(until)}`],
      ['moment', 'Another moment'],
    ],
    'latest',
  )
  const chosen = momentField('Moment', from, until)
  chosen.element.hidden = true
  which.addEventListener('change', () => (chosen.element.hidden = which.value !== 'moment'))
  const request = () => {
    const when = which.value === 'latest' ? { UseLatestRestorableTime: true } : { RestoreDateTime: chosen.read() }
    return ['RestoreTableToPointInTime', { SourceTableName: name, TargetTableName: target.value, ...when }]
  }
  callDialog(`Restore ${name}`, {
    content: [field('Name of the new table', target), field('As it was at', which), chosen.element],
    request,
    verb: 'Restore',
    said: 'The restore has begun',
    done: refresh,
  })
}

function backupList({ backups, error }, tables, refresh) {
  if (error) return failure(error)
  const remove = (backup) => {
    const request = ['DeleteBackup', { BackupArn: backup.BackupArn }]
    confirm(`Delete the backup ${backup.BackupName}?`, 'It cannot be brought back.', {
      code: sameElsewhere(() => request),
      act: async () => {
        await session.call(...request)
        note('The backup is deleted')
        await refresh()
      },
    })
  }
  const restore = (backup) => {
    const target = input({ value: `${backup.TableName}-restored` })
    callDialog(`Restore ${backup.BackupName}`, {
      content: field('Name of the new table', target),
      request: () => ['RestoreTableFromBackup', { TargetTableName: target.value, BackupArn: backup.BackupArn }],
      verb: 'Restore',
      said: 'The restore has begun',
      done: refresh,
    })
  }
  return grid(
    [
      { title: 'Name', cell: ({ BackupName }) => BackupName },
      { title: 'Table', cell: ({ TableName }) => TableName },
      { title: 'Made', cell: ({ BackupCreationDateTime }) => moment(BackupCreationDateTime) },
      { title: 'Kind', cell: ({ BackupType }) => BackupType.toLowerCase() },
      { title: 'Size', number: true, cell: ({ BackupSizeBytes }) => bytes(BackupSizeBytes) },
      { title: 'Status', cell: ({ BackupStatus }) => stateBadge(BackupStatus) },
      {
        title: '',
        cell: (backup) =>
          h(
            'div.row',
            button('Restore …', () => restore(backup), { label: `Restore backup ${backup.BackupName}`, disabled: backup.BackupStatus !== 'AVAILABLE' }),
            // What a vault has, it alone deletes.
            backup.BackupType === 'AWS_BACKUP' ? h('a', { href: '#/vaults' }, 'in a vault') : button('Delete', () => remove(backup), { tone: 'plain', label: `Delete backup ${backup.BackupName}` }),
          ),
      },
    ],
    backups,
    { empty: 'No backups.', label: 'Backups' },
  )
}

/** Exports and imports, the newest first. What an export or import is doing is told by its description alone. */
async function transfersOf() {
  try {
    const [exports, imports] = await Promise.all([
      session.collect(
        (last) => session.call('ListExports', last ? { NextToken: last.NextToken } : {}),
        (answer) => answer.NextToken,
      ),
      session.collect(
        (last) => session.call('ListImports', last ? { NextToken: last.NextToken } : {}),
        (answer) => answer.NextToken,
      ),
    ])
    const described = await Promise.all([
      ...exports.flatMap(({ ExportSummaries }) => ExportSummaries).map(({ ExportArn }) => session.call('DescribeExport', { ExportArn })),
      ...imports.flatMap(({ ImportSummaryList }) => ImportSummaryList).map(({ ImportArn }) => session.call('DescribeImport', { ImportArn })),
    ])
    const jobs = described.map(({ ExportDescription: out, ImportTableDescription: into }) => (out ? exported(out) : imported(into)))
    for (const job of jobs.filter(({ status, taken }) => status === 'IN_PROGRESS' && taken === undefined)) {
      job.about = await session.call('DescribeTable', { TableName: job.table }).then(({ Table }) => Table.ItemCount, () => undefined)
    }
    return { jobs: jobs.sort((a, b) => b.began - a.began) }
  } catch (error) {
    return { error: { kind: error.kind, message: error.message, isDenied: error.isDenied } }
  }
}

function exported(out) {
  return {
    what: `Export${out.ExportType === 'INCREMENTAL_EXPORT' ? ' of changes' : ''}`,
    table: tableOf(out.TableArn),
    place: [out.S3Bucket, out.S3Prefix, out.ExportManifest].filter(Boolean).join(' / '),
    began: out.StartTime,
    status: out.ExportStatus,
    why: out.FailureMessage,
    items: out.ItemCount,
    ended: out.EndTime,
  }
}

function imported(into) {
  const { S3Bucket, S3KeyPrefix } = into.S3BucketSource ?? {}
  return {
    what: 'Import',
    table: into.TableCreationParameters?.TableName ?? tableOf(into.TableArn),
    place: [S3Bucket, S3KeyPrefix].filter(Boolean).join(' / '),
    began: into.StartTime,
    status: into.ImportStatus,
    why: into.FailureMessage,
    items: into.ImportedItemCount,
    taken: into.ProcessedItemCount,
    ended: into.EndTime,
    bytes: into.ProcessedSizeBytes,
    bad: into.ErrorCount,
  }
}

function tableOf(arn = '') {
  return arn.split(':table/')[1]?.split('/')[0] ?? arn
}

function transferList({ jobs, error }) {
  if (error) return failure(error)
  return grid(
    [
      { title: 'What', cell: ({ what }) => what },
      { title: 'Table', cell: ({ table }) => table },
      { title: 'Where', cell: ({ place }) => h('span.mono', place) },
      { title: 'Begun', cell: ({ began }) => moment(began) },
      { title: 'Items', number: true, cell: ({ items }) => (items === undefined ? '–' : count(items)) },
      { title: 'Read', number: true, cell: ({ bytes: read }) => bytes(read) },
      { title: 'Took', number: true, cell: ({ began, ended }) => seconds(Math.max((ended ?? Date.now() / 1000) - began, 0)) },
      { title: 'Status', cell: (job) => h('div', stateBadge(job.status), progressOf(job), job.bad > 0 ? h('div.hint', `${count(job.bad)} items had errors`) : null, job.why ? h('div.hint', job.why) : null) },
    ],
    jobs,
    { empty: 'Nothing was exported or imported yet.', label: 'Exports and imports' },
  )
}

/** How far a job is: of a table that is exported it is known how many items it has, of what is imported not. */
function progressOf({ what, table, status, taken, about }) {
  if (status !== 'IN_PROGRESS') return null
  const figure = taken === undefined ? (about === undefined ? 'writing' : `about ${count(about)} items to write`) : `${count(taken)} records taken so far`
  return [h('progress', { 'aria-label': `${what} of ${table}: ${figure}` }), h('div.hint', figure)]
}

const FORMATS = [
  ['DYNAMODB_JSON', 'DynamoDB JSON'],
  ['ION', 'Amazon Ion'],
]

function exportTable({ name, EarliestRestorableDateTime: from, LatestRestorableDateTime: until }, refresh) {
  const bucket = input({ required: true, placeholder: 'bucket' })
  const prefix = input({ placeholder: 'optional' })
  const format = select(FORMATS, 'DYNAMODB_JSON')
  const what = select(
    [
      ['now', 'The table as it is now'],
      ['moment', 'The table as it was'],
      ['changes', 'What changed between two moments'],
    ],
    'now',
  )
  const at = momentField('Moment', from, until)
  const start = momentField('From', from, until, CHANGES_LEAST_S)
  const end = momentField('Until', from, until)
  const view = select([
    ['NEW_AND_OLD_IMAGES', 'New and old images'],
    ['NEW_IMAGE', 'New images'],
  ])
  const changes = h('div.stack', start.element, end.element, field('Of each change', view, 'From a quarter of an hour to a day can be exported at once'))
  const draw = () => {
    at.element.hidden = what.value !== 'moment'
    changes.hidden = what.value !== 'changes'
  }
  what.addEventListener('change', draw)
  draw()
  const request = () => {
    const made = { TableArn: session.tableArn(name), S3Bucket: bucket.value, ...(prefix.value ? { S3Prefix: prefix.value } : {}), ExportFormat: format.value }
    if (what.value === 'moment') made.ExportTime = at.read()
    if (what.value === 'changes') {
      made.ExportType = 'INCREMENTAL_EXPORT'
      made.IncrementalExportSpecification = { ExportFromTime: start.read(), ExportToTime: end.read(), ExportViewType: view.value }
    }
    return ['ExportTableToPointInTime', made]
  }
  callDialog(`Export ${name}`, {
    content: [field('What', what), at.element, changes, h('div.fields', field('Bucket', bucket), field('Prefix', prefix), field('Format', format))],
    request,
    verb: 'Export',
    said: 'The export has begun',
    done: refresh,
  })
}

function importTable(refresh) {
  const name = input({ required: true })
  const bucket = input({ required: true, placeholder: 'bucket' })
  const prefix = input({ placeholder: 'optional' })
  const format = select([...FORMATS, ['CSV', 'CSV, with a header']], 'DYNAMODB_JSON')
  const compression = select([
    ['NONE', 'None'],
    ['GZIP', 'gzip'],
    ['ZSTD', 'Zstandard'],
  ])
  const types = [
    ['S', 'String'],
    ['N', 'Number'],
    ['B', 'Binary'],
  ]
  const partition = input({ required: true })
  const partitionType = select(types, 'S', { 'aria-label': 'Type of the partition key' })
  const sort = input({ placeholder: 'optional' })
  const sortType = select(types, 'S', { 'aria-label': 'Type of the sort key' })
  const request = () => {
    const keys = [
      [partition.value, partitionType.value, 'HASH'],
      [sort.value, sortType.value, 'RANGE'],
    ].filter(([key]) => key)
    return [
      'ImportTable',
      {
        S3BucketSource: { S3Bucket: bucket.value, ...(prefix.value ? { S3KeyPrefix: prefix.value } : {}) },
        InputFormat: format.value,
        InputCompressionType: compression.value,
        TableCreationParameters: {
          TableName: name.value,
          AttributeDefinitions: keys.map(([AttributeName, AttributeType]) => ({ AttributeName, AttributeType })),
          KeySchema: keys.map(([AttributeName, , KeyType]) => ({ AttributeName, KeyType })),
          BillingMode: 'PAY_PER_REQUEST',
        },
      },
    ]
  }
  const content = [
    field('Name of the new table', name),
    h('div.fields', field('Bucket', bucket), field('Prefix', prefix), field('Format', format), field('Compression', compression)),
    h('div.fields', field('Partition key', partition), field('Its type', partitionType), field('Sort key', sort), field('Its type', sortType)),
  ]
  callDialog('Import a table', { content, request, verb: 'Import', said: 'The import has begun', done: refresh })
}
