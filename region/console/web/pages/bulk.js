// Bulk operations: objects of a bucket put into a table that serves. What there was, how far they are, and the form that begins one.

import { callConfirm, callDialog } from '../forms.js'
import * as session from '../session.js'
import { sameElsewhere } from '../snippets.js'
import { button, bytes, check, count, dialog, facts, failure, field, grid, h, input, moment, seconds, select, some, stateBadge } from '../ui.js'
import { noTables, tableNames } from './tables.js'
import { BUCKET, COMPRESSIONS, FORMATS } from './transfers.js'

/** What the service takes as the least rate, in write units a second. */
const RATE_LEAST = 1024

/** Bulk operations, the newest first. What one is doing is told by its description alone. */
export async function bulkOf() {
  try {
    const pages = await session.collect(
      (last) => session.call('ListBulkOperations', { MaxResults: 25, ...(last ? { NextToken: last.NextToken } : {}) }),
      (answer) => answer.NextToken,
    )
    const arns = pages.flatMap(({ BulkOperationsSummaryList }) => BulkOperationsSummaryList).map(({ BulkOperationArn }) => BulkOperationArn)
    const described = await Promise.all(arns.map((BulkOperationArn) => session.call('DescribeBulkOperation', { BulkOperationArn })))
    return { operations: described.map(({ BulkOperationDescription: each }) => each).sort((a, b) => b.StartTime - a.StartTime) }
  } catch (error) {
    return { error: { kind: error.kind, message: error.message, isDenied: error.isDenied } }
  }
}

export function bulkList({ operations, error }, refresh) {
  if (error) return failure(error)
  const named = (each) => `the bulk operation on ${tableOf(each)} of ${moment(each.StartTime)}`
  return grid(
    [
      { title: 'Table', cell: tableOf },
      { title: 'From', cell: ({ InputS3Configuration: from }) => h('span.mono', placeOf(from)) },
      { title: 'Begun', cell: ({ StartTime }) => moment(StartTime) },
      { title: 'Items', number: true, cell: ({ ProcessedItemCount: items }) => count(items) },
      { title: 'Read', number: true, cell: ({ ProcessedInputBytes: read }) => bytes(read) },
      { title: 'Took', number: true, cell: ({ StartTime, EndTime }) => seconds(Math.max((EndTime ?? Date.now() / 1000) - StartTime, 0)) },
      { title: 'Status', cell: (each) => h('div', stateBadge(each.BulkOperationStatus), progressOf(each), failedOf(each)) },
      {
        title: '',
        cell: (each) =>
          h(
            'div.row',
            button('Details', () => details(each), { tone: 'plain', label: `Details of ${named(each)}` }),
            each.BulkOperationStatus === 'IN_PROGRESS' ? button('Cancel …', () => cancel(each, refresh), { tone: 'plain', label: `Cancel ${named(each)}` }) : null,
          ),
      },
    ],
    operations,
    { empty: 'There was no bulk operation yet. “Put items …” begins one.', label: 'Bulk operations' },
  )
}

function tableOf({ TableDetails: [table] }) {
  return session.tableOf(table.TableName)
}

function placeOf({ S3Bucket, S3KeyPrefix }) {
  return [S3Bucket, S3KeyPrefix].filter(Boolean).join(' / ')
}

function failedOf({ FailedItemCount: failed, FailureMessage: why }) {
  return [failed > 0 ? h('div.hint', `${some(failed, 'item')} not put`) : null, why ? h('div.hint', why) : null]
}

/** How many of the objects' bytes are read. How many those are is known a moment after the beginning. */
function progressOf(each) {
  const { BulkOperationStatus: status, ProcessedInputBytes: read, TotalInputBytes: all } = each
  if (!['IN_PROGRESS', 'CANCELLING'].includes(status)) return null
  const figure = all ? `${bytes(read)} of ${bytes(all)} read` : 'looking for objects'
  const bar = h('progress', { 'aria-label': `Bulk operation on ${tableOf(each)}: ${figure}`, ...(all ? { max: all } : {}) })
  if (all) bar.value = read
  return [bar, h('div.hint', figure)]
}

/** All that the service tells of an operation, in words. */
function details(each) {
  const { InputS3Configuration: from, OutputS3Configuration: to, BulkOperationUsage: [usage] = [] } = each
  const indexes = Object.entries({ ...usage?.LocalSecondaryIndexes, ...usage?.GlobalSecondaryIndexes })
  dialog(
    `Bulk operation on ${tableOf(each)}`,
    () => [
      facts([
        ['Status', stateBadge(each.BulkOperationStatus)],
        ['Begun', moment(each.StartTime)],
        ['Ended', moment(each.EndTime)],
        each.EndTime ? ['Took', seconds(Math.max(each.EndTime - each.StartTime, 0))] : null,
        ['From', h('span.mono', placeOf(from))],
        ['Format', [from.InputFormat, from.InputCompressionType === 'NONE' ? null : from.InputCompressionType].filter(Boolean).join(', ')],
        ['Reports', h('span.mono', placeOf(to))],
        ['What they tell', to.OutputType.map((type) => (type === 'ERROR' ? 'errors' : 'failed conditions')).join(', ')],
        ['Items', count(each.ProcessedItemCount)],
        ['Items not put', count(each.FailedItemCount)],
        ['Read', each.TotalInputBytes === undefined ? bytes(each.ProcessedInputBytes) : `${bytes(each.ProcessedInputBytes)} of ${bytes(each.TotalInputBytes)}`],
        ['Written', bytes(usage?.BulkPutBytes)],
        ...indexes.map(([name, { BulkPutBytes }]) => [`Of it in ${name}`, bytes(BulkPutBytes)]),
        ['Tier', each.PerformanceTier.toLowerCase()],
        each.MaxWriteRequestUnits === undefined ? null : ['At most', `${count(each.MaxWriteRequestUnits)} write units a second`],
      ]),
      each.FailureMessage ? h('div.failure', each.FailureCode ? h('strong', `${each.FailureCode}: `) : null, each.FailureMessage) : null,
      h('p', h('a', { href: `#/tables/${encodeURIComponent(tableOf(each))}` }, 'The table')),
      h('p.hint', h('span.mono', each.BulkOperationArn)),
      sameElsewhere(() => ['DescribeBulkOperation', { BulkOperationArn: each.BulkOperationArn }]),
    ],
    { wide: true },
  )
}

function cancel(each, refresh) {
  callConfirm(`Cancel the bulk operation on ${tableOf(each)}?`, 'Items that it has put stay. It cannot be taken up again.', {
    request: ['CancelBulkOperation', { BulkOperationArn: each.BulkOperationArn }],
    verb: 'Cancel it',
    said: 'The bulk operation is being cancelled',
    done: refresh,
  })
}

/** StartBulkPutItems. */
export async function putItems(refresh) {
  const names = await tableNames()
  if (names.length === 0) return void dialog('Put items of a bucket', () => noTables())
  const table = select(names)
  const bucket = input(BUCKET)
  const prefix = input({ placeholder: 'optional' })
  const format = select(FORMATS)
  const compression = select(COMPRESSIONS)
  const reports = input(BUCKET)
  const reportsPrefix = input({ placeholder: 'optional' })
  const errors = check('Errors', true)
  const conditions = check('Failed conditions', true)
  const tier = select([
    ['STANDARD', 'Standard'],
    ['ACCELERATED', 'Accelerated'],
  ])
  const rate = h('input', { type: 'number', min: RATE_LEAST, step: 1 })
  const request = () => {
    const told = [errors.box.checked && 'ERROR', conditions.box.checked && 'CONDITION_CHECK_FAILURE'].filter(Boolean)
    const place = (of, below) => ({ S3Bucket: of.value, ...(below.value ? { S3KeyPrefix: below.value } : {}) })
    return [
      'StartBulkPutItems',
      {
        TableName: table.value,
        InputS3Configuration: { ...place(bucket, prefix), InputFormat: format.value, InputCompressionType: compression.value },
        OutputS3Configuration: { ...place(reports, reportsPrefix), OutputType: told },
        ...(rate.value ? { MaxWriteRequestUnits: Number(rate.value) } : {}),
        PerformanceTier: tier.value,
      },
    ]
  }
  const content = [
    field('Table', table),
    h('div.fields', field('Bucket', bucket), field('Prefix', prefix), field('Format', format), field('Compression', compression)),
    h('div.fields', field('Bucket of reports', reports), field('Prefix of reports', reportsPrefix)),
    h('div.row', h('span', 'Reports have'), errors, conditions),
    h('div.fields', field('Tier', tier), field('Most write units a second', rate, 'Empty: as fast as it goes')),
  ]
  callDialog('Put items of a bucket', { content, request, verb: 'Put', said: 'The bulk operation has begun', done: refresh, wide: true })
}
