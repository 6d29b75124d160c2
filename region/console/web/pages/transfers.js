// Exports of tables to S3 and imports from it: what there was, how far they are, and the forms that begin them.

import { callDialog } from '../forms.js'
import * as session from '../session.js'
import { sameElsewhere } from '../snippets.js'
import { button, bytes, count, dialog, facts, failure, field, fill, grid, h, input, moment, seconds, select, some, stateBadge } from '../ui.js'
import { capacityFields, indexListFields, keyFields } from './table-forms.js'

/** Changes of so many seconds are exported at least. */
const CHANGES_LEAST_S = 900

/** Exports and imports, the newest first. What an export or import is doing is told by its description alone. */
export async function transfersOf() {
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
    told: out,
    request: ['DescribeExport', { ExportArn: out.ExportArn }],
    what: `Export${out.ExportType === 'INCREMENTAL_EXPORT' ? ' of changes' : ''}`,
    table: session.tableOf(out.TableArn),
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
    told: into,
    request: ['DescribeImport', { ImportArn: into.ImportArn }],
    what: 'Import',
    table: into.TableCreationParameters?.TableName ?? session.tableOf(into.TableArn),
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

export function transferList({ jobs, error }) {
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
      { title: 'Status', cell: (job) => h('div', stateBadge(job.status), progressOf(job), job.bad > 0 ? h('div.hint', `${some(job.bad, 'item')} had errors`) : null, job.why ? h('div.hint', job.why) : null) },
      { title: '', cell: (job) => button('Details', () => details(job), { tone: 'plain', label: `Details of the ${job.what.toLowerCase()} of ${job.table} of ${moment(job.began)}` }) },
    ],
    jobs,
    { empty: 'Nothing was exported or imported yet. “Export” beside a table above begins an export.', label: 'Exports and imports' },
  )
}

/** All that the service tells of a job, in words, and where its files are. */
function details({ what, table, told, request, began, ended, items, bytes: read, bad, why }) {
  const csv = told.InputFormatOptions?.Csv
  const span = told.IncrementalExportSpecification
  dialog(
    `${what} of ${table}`,
    () => [
      facts([
        ['Status', stateBadge(told.ExportStatus ?? told.ImportStatus)],
        ['Begun', moment(began)],
        ['Ended', moment(ended)],
        ended ? ['Took', seconds(Math.max(ended - began, 0))] : null,
        ['Format', told.ExportFormat ?? [told.InputFormat, told.InputCompressionType === 'NONE' ? null : told.InputCompressionType].filter(Boolean).join(', ')],
        csv ? ['CSV', [`separated by ${csv.Delimiter ?? ','}`, csv.HeaderList ? `; columns ${csv.HeaderList.join(', ')}` : '']] : null,
        told.ExportTime ? ['As it was at', moment(told.ExportTime)] : null,
        span ? ['Changes from', moment(span.ExportFromTime)] : null,
        span ? ['Until', moment(span.ExportToTime)] : null,
        ['Bucket', h('span.mono', told.S3Bucket ?? told.S3BucketSource?.S3Bucket ?? '–')],
        told.S3Prefix || told.S3BucketSource?.S3KeyPrefix ? ['Prefix', h('span.mono', told.S3Prefix ?? told.S3BucketSource.S3KeyPrefix)] : null,
        told.ExportManifest ? ['Manifest', h('span.mono', told.ExportManifest)] : null,
        ['Items', count(items)],
        told.BilledSizeBytes === undefined ? null : ['Size', bytes(told.BilledSizeBytes)],
        read === undefined ? null : ['Read', bytes(read)],
        bad === undefined ? null : ['Items with errors', count(bad)],
      ]),
      why ? h('div.failure', told.FailureCode ? h('strong', `${told.FailureCode}: `) : null, why) : null,
      bad > 0 ? h('p', 'What was wrong with them is printed by ', h('span.mono', `geodynamo import errors ${told.ImportArn.split('/').pop()}`), '.') : null,
      told.ImportArn ? h('p', h('a', { href: `#/tables/${encodeURIComponent(table)}` }, 'The table')) : null,
      h('p.hint', h('span.mono', told.ExportArn ?? told.ImportArn)),
      sameElsewhere(() => request),
    ],
    { wide: true },
  )
}

/** How far a job is: of a table that is exported it is known how many items it has, of what is imported not. */
function progressOf({ what, table, status, taken, about }) {
  if (status !== 'IN_PROGRESS') return null
  const figure = taken === undefined ? (about === undefined ? 'writing' : `about ${count(about)} items to write`) : `${count(taken)} records taken so far`
  return [h('progress', { 'aria-label': `${what} of ${table}: ${figure}` }), h('div.hint', figure)]
}

/** A moment of a window, to the second; the latest unless it is moved, or as long before that as `before` says. */
export function momentField(label, from, until, before = 0) {
  const first = Math.ceil(from)
  const last = Math.max(Math.floor(until), first)
  const slider = h('input', { type: 'range', min: first, max: last, step: 1, value: Math.max(last - before, first) })
  const chosen = h('output.mono')
  const draw = () => fill(chosen, `${moment(Number(slider.value))} (${seconds(last - Number(slider.value))} before the latest)`)
  slider.addEventListener('input', draw)
  draw()
  return { element: h('div', field(label, slider), chosen), read: () => Number(slider.value) }
}

export const BUCKET = { required: true, placeholder: 'bucket', pattern: '[a-zA-Z0-9][\\w.\\-]*[a-zA-Z0-9]', title: 'letters, digits, and between them . _ -' }
export const FORMATS = [
  ['DYNAMODB_JSON', 'DynamoDB JSON'],
  ['ION', 'Amazon Ion'],
]
export const COMPRESSIONS = [
  ['NONE', 'None'],
  ['GZIP', 'gzip'],
  ['ZSTD', 'Zstandard'],
]

const DELIMITERS = [
  [',', 'comma'],
  [';', 'semicolon'],
  ['\t', 'tab'],
  [':', 'colon'],
  ['|', 'bar'],
  [' ', 'space'],
]

export function exportTable({ name, EarliestRestorableDateTime: from, LatestRestorableDateTime: until }, refresh) {
  const bucket = input(BUCKET)
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

export function importTable(refresh) {
  const name = input({ required: true })
  const bucket = input(BUCKET)
  const prefix = input({ placeholder: 'optional' })
  const format = select([...FORMATS, ['CSV', 'CSV']], 'DYNAMODB_JSON')
  const compression = select(COMPRESSIONS)
  const delimiter = select(DELIMITERS, ',')
  const header = input({ placeholder: 'as the first line has them' })
  const csv = h('div.fields', field('Separated by', delimiter), field('Columns', header, 'Separated by commas, where the files have no first line with names'))
  const draw = () => (csv.hidden = format.value !== 'CSV')
  format.addEventListener('change', draw)
  draw()
  const keys = keyFields('id')
  // What can be imported into: neither local indexes nor warmth.
  const capacity = capacityFields(undefined, { warms: false })
  const indexes = indexListFields(capacity, { warms: false })
  const request = () => {
    const { schema, definitions } = keys.read()
    const table = { TableName: name.value, AttributeDefinitions: definitions, KeySchema: schema, ...capacity.request() }
    indexes.addTo(table)
    return [
      'ImportTable',
      {
        S3BucketSource: { S3Bucket: bucket.value, ...(prefix.value ? { S3KeyPrefix: prefix.value } : {}) },
        InputFormat: format.value,
        InputCompressionType: compression.value,
        ...(format.value === 'CSV' ? csvOptions(delimiter.value, header.value) : {}),
        TableCreationParameters: table,
      },
    ]
  }
  const content = [
    field('Name of the new table', name),
    h('div.fields', field('Bucket', bucket), field('Prefix', prefix), field('Format', format), field('Compression', compression)),
    csv,
    keys.element,
    capacity.element,
    h('details', h('summary', 'Indexes'), indexes.element),
  ]
  callDialog('Import a table', { content, request, verb: 'Import', said: 'The import has begun', done: refresh, wide: true })
}

/** How CSV is read, where that is not as usual. */
function csvOptions(delimiter, header) {
  const columns = header.split(',').map((each) => each.trim()).filter(Boolean)
  const made = { ...(delimiter === ',' ? {} : { Delimiter: delimiter }), ...(columns.length > 0 ? { HeaderList: columns } : {}) }
  return Object.keys(made).length > 0 ? { InputFormatOptions: { Csv: made } } : {}
}
