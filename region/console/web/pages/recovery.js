// Recovery: from which moments tables can be restored, and backups; exports, imports and bulk operations beside them.

import { callConfirm, callDialog } from '../forms.js'
import * as metrics from '../metrics.js'
import * as session from '../session.js'
import { sameElsewhere } from '../snippets.js'
import { badge, button, bytes, card, confirm, count, every, failure, field, fill, grid, h, input, moment, note, refill, s, select, stateBadge } from '../ui.js'
import { bulkList, bulkOf, putItems } from './bulk.js'
import { noTables, tableNames } from './tables.js'
import { exportTable, importTable, momentField, transferList, transfersOf } from './transfers.js'

const LOOK_EVERY_MS = 2000

export async function render(main, { signal }) {
  const windows = h('div')
  const backups = h('div')
  const transfers = h('div')
  const operations = h('div')
  const progress = h('div')
  fill(
    main,
    progress,
    card('Restore to a moment', h('p.muted', 'A table with point-in-time recovery can be restored, as another table, to any moment of its window, to the second.'), windows),
    card('Backups', backups),
    card('Exports and imports', h('p.muted', 'A table with point-in-time recovery is exported from its archive, at no cost to itself. A bucket is a folder of this region’s --s3-dir, or one of the server of S3 that its configuration names.'), h('div.row', button('Import a table …', () => importTable(refresh))), transfers),
    card('Bulk operations', h('p.muted', 'Objects of a bucket are put into a table that serves, under each record’s own condition. What was not put is told in another bucket.'), h('div.row', button('Put items …', () => putItems(refresh))), operations),
  )
  const refresh = async () => {
    const [, tables, list, jobs, bulk] = await Promise.all([running(progress, signal), windowsOf(), backupsOf(), transfersOf(), bulkOf()])
    refill(windows, windowList(tables, list.backups ?? [], refresh))
    refill(backups, backupList(list, tables, refresh))
    refill(transfers, transferList(jobs))
    refill(operations, bulkList(bulk, refresh))
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
                  // A window that was opened just now has no moments yet.
                  button('Restore …', () => restoreToMoment(table, refresh), { label: `Restore ${table.name} to a moment`, disabled: !table.EarliestRestorableDateTime }),
                  button('Export …', () => exportTable(table, refresh), { label: `Export ${table.name}`, disabled: !hasTwoMoments(table) }),
                ]
              : button('Switch on', () => switchOn(table, refresh), { label: `Switch on point-in-time recovery of ${table.name}`, disabled: Boolean(table.error) }),
            button('Back up', () => backUp(table.name, refresh), { label: `Back up ${table.name}` }),
          ),
      },
    ],
    tables,
    { empty: noTables(), label: 'Windows of recovery' },
  )
}

/** Whether changes can be exported: they are between two moments, to the second. A window that was opened just now has not two yet. */
function hasTwoMoments({ EarliestRestorableDateTime: from, LatestRestorableDateTime: until }) {
  return from !== undefined && Math.ceil(from) < Math.floor(until)
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
      { title: 'Kind', cell: ({ BackupType: kind }) => (kind === 'AWS_BACKUP' ? 'AWS\u00a0Backup' : kind.toLowerCase()) },
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
    { empty: 'No backups yet. “Back up” beside a table above makes one, and the page Vaults has plans that make them by themselves.', label: 'Backups' },
  )
}
