// AWS Backup's API: vaults, their recovery points, plans, and jobs with how far they are.

import { everything, maybe, perform } from '../api.js'
import { callConfirm, callDialog } from '../forms.js'
import * as session from '../session.js'
import { badge, button, bytes, card, count, every, failure, field, fill, grid, h, input, moment, refill, select, stateBadge } from '../ui.js'
import { tableNames } from './tables.js'

const LOOK_EVERY_MS = 3000
/** Jobs that are shown; older ones are not. */
const JOBS_SHOWN_MAX = 50
/** States of jobs that have not ended. */
const UNDER_WAY = ['CREATED', 'PENDING', 'RUNNING', 'ABORTING']

export async function render(main, { signal }) {
  const vaults = h('div')
  const points = h('div')
  const plans = h('div')
  const jobs = h('div')
  fill(main, card('Vaults', vaults), card('Recovery points', points), card('Plans', plans), card('Jobs', jobs))
  const refresh = async () => {
    const [listed, planned, worked] = await Promise.all([maybe(vaultsOf(signal)), maybe(plansOf(signal)), maybe(jobsOf(signal))])
    refill(vaults, listed.error ? failure(listed.error) : vaultList(listed.found, refresh))
    refill(points, listed.error ? null : pointList(listed.found, refresh))
    refill(plans, planned.error ? failure(planned.error) : planList(planned.found, listed.found?.vaults ?? [], refresh))
    refill(jobs, worked.error ? failure(worked.error) : jobList(worked.found))
  }
  await every(LOOK_EVERY_MS, signal, refresh, (error) => fill(vaults, failure(error)))
}

/** The role that calls name. Nothing is done as it, so it need not be there. */
function role() {
  return `arn:aws:iam::${session.account()}:role/backups`
}

function nameOf(arn = '') {
  return arn.split(':table/')[1]?.split('/')[0] ?? arn.split(':').pop()
}

async function vaultsOf(signal) {
  const vaults = await everything('ListBackupVaults', 'BackupVaultList', {}, 'backup', { signal })
  const points = await Promise.all(vaults.map(({ BackupVaultName }) => maybe(everything('ListRecoveryPointsByBackupVault', 'RecoveryPoints', { BackupVaultName }, 'backup', { signal }))))
  const refused = points.find(({ error }) => error)?.error
  const all = points.flatMap(({ found }) => found ?? [])
  return { vaults, refused, points: all.sort((a, b) => b.CreationDate - a.CreationDate) }
}

function vaultList({ vaults }, refresh) {
  return [
    grid(
      [
        { title: 'Vault', cell: ({ BackupVaultName }) => BackupVaultName },
        { title: 'Recovery points', number: true, cell: ({ NumberOfRecoveryPoints }) => count(NumberOfRecoveryPoints) },
        { title: 'Lock', cell: lockText },
        { title: 'Made', cell: ({ CreationDate }) => moment(CreationDate) },
        {
          title: '',
          cell: ({ BackupVaultName }) =>
            h(
              'div.row',
              button('Back up a table …', () => backUp(BackupVaultName, refresh), { label: `Back up a table into ${BackupVaultName}` }),
              button('Delete', () => callConfirm(`Delete the vault ${BackupVaultName}?`, 'Only an empty one can be deleted.', { request: ['DeleteBackupVault', { BackupVaultName }, 'backup'], said: 'The vault is deleted', done: refresh }), { tone: 'plain', label: `Delete the vault ${BackupVaultName}` }),
            ),
        },
      ],
      vaults,
      { empty: 'No vaults yet. A vault has recovery points of tables, and says how long they are kept.', label: 'Vaults' },
    ),
    h('div.row', button('New vault …', () => newVault(refresh))),
  ]
}

function lockText({ Locked, MinRetentionDays: min, MaxRetentionDays: max, LockDate: date }) {
  if (!Locked) return h('span.muted', 'none')
  const days = [min ? `${min} days at least` : null, max ? `${max} at most` : null].filter(Boolean).join(', ')
  return [badge('locked', 'good'), h('div.hint', [days, date ? `; for ever from ${moment(date)} on` : ''])]
}

function newVault(refresh) {
  const name = input({ required: true, placeholder: 'daily', pattern: '[A-Za-z0-9_\\-]{2,50}', title: '2 to 50 letters, digits, - and _' })
  callDialog('New vault', { content: field('Name', name), request: () => ['CreateBackupVault', { BackupVaultName: name.value.trim() }, 'backup'], verb: 'Make', said: 'The vault is made', done: refresh })
}

/** How many days something is kept; nothing for ever. */
function daysField(value = 35) {
  const days = h('input', { type: 'number', min: 1, step: 1, value })
  const read = () => (days.value ? { Lifecycle: { DeleteAfterDays: Number(days.value) } } : {})
  return { element: field('Days it is kept', days, 'Empty: until somebody deletes it'), read }
}

async function backUp(vault, refresh) {
  const table = select(await tableNames())
  const days = daysField()
  callDialog(`Back up into ${vault}`, {
    content: [field('Table', table), days.element],
    request: () => ['StartBackupJob', { BackupVaultName: vault, ResourceArn: session.tableArn(table.value), IamRoleArn: role(), ...days.read() }, 'backup'],
    verb: 'Back up',
    said: 'The backup has begun',
    done: refresh,
  })
}

function pointList({ points, refused, vaults }, refresh) {
  const what = (point) => `${nameOf(point.ResourceArn)} of ${moment(point.CreationDate)}`
  return [
    refused ? failure(refused) : null,
    grid(
      [
        { title: 'Table', cell: ({ ResourceArn }) => nameOf(ResourceArn) },
        { title: 'Vault', cell: ({ BackupVaultName }) => BackupVaultName },
        { title: 'Made', cell: ({ CreationDate }) => moment(CreationDate) },
        { title: 'Kept until', cell: ({ CalculatedLifecycle: life }) => (life?.DeleteAt ? moment(life.DeleteAt) : 'deleted') },
        { title: 'Size', number: true, cell: ({ BackupSizeInBytes }) => bytes(BackupSizeInBytes) },
        { title: 'Status', cell: ({ Status, StatusMessage }) => [stateBadge(Status), StatusMessage ? h('div.hint', StatusMessage) : null] },
        { title: 'From', cell: ({ CreatedBy, SourceBackupVaultArn: source }) => (source ? `copied, ${source.split(':')[3]}` : CreatedBy?.BackupPlanName ? `plan ${CreatedBy.BackupPlanName}` : 'by hand') },
        {
          title: '',
          cell: (point) =>
            h(
              'div.row',
              button('Restore …', () => restore(point, refresh), { label: `Restore ${what(point)}`, disabled: point.Status !== 'COMPLETED' }),
              session.facts.regions.length > 1 ? button('Copy …', () => copy(point, refresh), { label: `Copy ${what(point)}`, disabled: point.Status !== 'COMPLETED' }) : null,
              button(
                'Delete',
                () => callConfirm(`Delete the recovery point of ${what(point)}?`, 'It cannot be brought back.', { request: ['DeleteRecoveryPoint', { BackupVaultName: point.BackupVaultName, RecoveryPointArn: point.RecoveryPointArn }, 'backup'], said: 'The recovery point is deleted', done: refresh }),
                { tone: 'plain', label: `Delete ${what(point)}` },
              ),
            ),
        },
      ],
      points,
      { empty: vaults.length === 0 ? 'A vault comes first.' : 'No recovery points yet. “Back up a table” beside a vault makes one, and so do plans.', label: 'Recovery points' },
    ),
  ]
}

function restore(point, refresh) {
  const target = input({ required: true, value: `${nameOf(point.ResourceArn)}-restored` })
  callDialog(`Restore ${nameOf(point.ResourceArn)} of ${moment(point.CreationDate)}`, {
    content: field('Name of the new table', target),
    request: () => ['StartRestoreJob', { RecoveryPointArn: point.RecoveryPointArn, IamRoleArn: role(), Metadata: { targetTableName: target.value.trim() } }, 'backup'],
    verb: 'Restore',
    said: 'The restore has begun',
    done: refresh,
  })
}

function copy(point, refresh) {
  const others = session.facts.regions.map(({ name }) => name).filter((name) => name !== session.region())
  const region = select(others)
  const vault = input({ required: true, value: 'Default' })
  const days = daysField()
  callDialog(`Copy ${nameOf(point.ResourceArn)} of ${moment(point.CreationDate)}`, {
    content: [field('To the region', region), field('Into the vault', vault), days.element],
    request: () => [
      'StartCopyJob',
      {
        RecoveryPointArn: point.RecoveryPointArn,
        SourceBackupVaultName: point.BackupVaultName,
        DestinationBackupVaultArn: `arn:aws:backup:${region.value}:${session.account()}:backup-vault:${vault.value.trim()}`,
        IamRoleArn: role(),
        ...days.read(),
      },
      'backup',
    ],
    verb: 'Start copying',
    said: 'The copy has begun',
    done: refresh,
  })
}

async function plansOf(signal) {
  const plans = await everything('ListBackupPlans', 'BackupPlansList', {}, 'backup', { signal })
  return Promise.all(
    plans.map(async ({ BackupPlanId }) => {
      const [plan, selections] = await Promise.all([
        perform('GetBackupPlan', { BackupPlanId }, 'backup', { signal }),
        everything('ListBackupSelections', 'BackupSelectionsList', { BackupPlanId }, 'backup', { signal }),
      ])
      return { ...plan, selections }
    }),
  )
}

function planList(plans, vaults, refresh) {
  return [
    grid(
      [
        { title: 'Plan', cell: ({ BackupPlan }) => BackupPlan.BackupPlanName },
        { title: 'Rules', cell: ({ BackupPlan }) => BackupPlan.Rules.map(ruleText) },
        { title: 'Selections', cell: ({ selections }) => selections.map(({ SelectionName }) => SelectionName).join(', ') || h('span.muted', 'none: it does nothing') },
        { title: 'Ran last', cell: ({ LastExecutionDate }) => moment(LastExecutionDate) },
        { title: '', cell: (plan) => button('Delete', () => deletePlan(plan, refresh), { tone: 'plain', label: `Delete the plan ${plan.BackupPlan.BackupPlanName}` }) },
      ],
      plans,
      { empty: 'No plans: backups are made by hand.', label: 'Plans' },
    ),
    h('div.row', button('New plan …', () => newPlan(vaults, refresh), { disabled: vaults.length === 0 })),
  ]
}

function ruleText({ RuleName, ScheduleExpression, ScheduleExpressionTimezone: zone, TargetBackupVaultName, Lifecycle, CopyActions = [] }) {
  const kept = Lifecycle?.DeleteAfterDays ? `, ${Lifecycle.DeleteAfterDays} days` : ''
  const copies = CopyActions.map(({ DestinationBackupVaultArn: arn }) => `, copied to ${arn.split(':')[3]}`).join('')
  return h('div', `${RuleName}: `, h('span.mono', ScheduleExpression ?? '–'), zone ? ` (${zone})` : '', ` into ${TargetBackupVaultName}${kept}${copies}`)
}

function deletePlan({ BackupPlanId, BackupPlan, selections }, refresh) {
  const drops = selections.map(({ SelectionId }) => ['DeleteBackupSelection', { BackupPlanId, SelectionId }, 'backup'])
  callDialog(`Delete the plan ${BackupPlan.BackupPlanName}?`, {
    content: h('p', 'Its selections go with it. Backups that it made stay.'),
    request: () => [...drops, ['DeleteBackupPlan', { BackupPlanId }, 'backup']],
    verb: 'Delete',
    said: 'The plan is deleted',
    done: refresh,
  })
}

function newPlan(vaults, refresh) {
  const name = input({ required: true, placeholder: 'orders' })
  const schedule = input({ required: true, value: 'cron(0 5 * * ? *)' })
  const zone = input({ value: Intl.DateTimeFormat().resolvedOptions().timeZone || 'UTC' })
  const vault = select(vaults.map(({ BackupVaultName }) => BackupVaultName))
  const tables = input({ required: true, value: '*' })
  const days = daysField()
  const plan = () => [
    'CreateBackupPlan',
    {
      BackupPlan: {
        BackupPlanName: name.value.trim(),
        Rules: [
          {
            RuleName: 'rule',
            TargetBackupVaultName: vault.value,
            ScheduleExpression: schedule.value.trim(),
            ...(zone.value.trim() ? { ScheduleExpressionTimezone: zone.value.trim() } : {}),
            ...days.read(),
          },
        ],
      },
    },
    'backup',
  ]
  const selection = (BackupPlanId) => ['CreateBackupSelection', { BackupPlanId, BackupSelection: { SelectionName: 'tables', IamRoleArn: role(), Resources: [session.tableArn(tables.value.trim(), '*')] } }, 'backup']
  callDialog('New plan', {
    content: [
      h('div.fields', field('Name', name), field('Into the vault', vault), field('Tables', tables, '* stands for any text')),
      h('div.fields', field('When', schedule, 'cron(minutes hours day month weekday year), or rate(12 hours)'), field('Time zone', zone), days.element),
    ],
    request: () => [plan(), selection('ID')],
    follow: ({ BackupPlanId }) => [selection(BackupPlanId)],
    verb: 'Make',
    said: 'The plan is made',
    done: refresh,
    wide: true,
  })
}

async function jobsOf(signal) {
  const of = (operation, member) => everything(operation, member, {}, 'backup', { signal })
  const [backups, copies, restores] = await Promise.all([of('ListBackupJobs', 'BackupJobs'), of('ListCopyJobs', 'CopyJobs'), of('ListRestoreJobs', 'RestoreJobs')])
  const jobs = [
    ...backups.map((job) => ({ ...job, what: 'Backup', of: job.ResourceArn, to: job.BackupVaultName })),
    ...copies.map((job) => ({ ...job, what: 'Copy', of: job.ResourceArn, to: job.DestinationBackupVaultArn?.split(':').slice(3, 4).concat(job.DestinationBackupVaultArn.split(':').pop()).join(', ') })),
    ...restores.map((job) => ({ ...job, what: 'Restore', State: job.Status, of: job.SourceResourceArn ?? job.RecoveryPointArn, to: nameOf(job.CreatedResourceArn) })),
  ]
  return jobs.sort((a, b) => b.CreationDate - a.CreationDate).slice(0, JOBS_SHOWN_MAX)
}

function jobList(jobs) {
  return grid(
    [
      { title: 'What', cell: ({ what }) => what },
      { title: 'Of', cell: ({ of }) => nameOf(of) },
      { title: 'To', cell: ({ to }) => to || '–' },
      { title: 'Begun', cell: ({ CreationDate }) => moment(CreationDate) },
      { title: 'Ended', cell: ({ CompletionDate }) => moment(CompletionDate) },
      { title: 'State', cell: ({ State, StatusMessage }) => [stateBadge(State), StatusMessage ? h('div.hint', StatusMessage) : null] },
      { title: 'Done', cell: progress },
    ],
    jobs,
    { empty: 'No backup, copy or restore has begun yet.', label: 'Jobs' },
  )
}

function progress({ State, PercentDone, what, of }) {
  if (!UNDER_WAY.includes(State)) return State === 'COMPLETED' ? 'all of it' : '–'
  const done = Number.parseFloat(PercentDone)
  const bar = h('progress', { max: 100, 'aria-label': `${what} of ${nameOf(of)}` })
  // A job that tells nothing of how far it is has a bar that runs.
  if (done > 0) bar.value = done
  return bar
}
