// Operations of all services by their names and inputs, as the SDKs have them, whatever a service's protocol is.

import { iam } from './iam.js'
import { encoded } from './sigv4.js'
import * as session from './session.js'

/** Pages that are followed at most. */
const PAGES_MAX = 50

/** Method and path of the operations with a REST API that pages call. What is in braces is the input's. */
const ROUTES = {
  lambda: {
    ListEventSourceMappings: ['GET', '/2015-03-31/event-source-mappings'],
    CreateEventSourceMapping: ['POST', '/2015-03-31/event-source-mappings'],
    UpdateEventSourceMapping: ['PUT', '/2015-03-31/event-source-mappings/{UUID}'],
    DeleteEventSourceMapping: ['DELETE', '/2015-03-31/event-source-mappings/{UUID}'],
  },
  backup: {
    ListBackupVaults: ['GET', '/backup-vaults/'],
    CreateBackupVault: ['PUT', '/backup-vaults/{BackupVaultName}'],
    DeleteBackupVault: ['DELETE', '/backup-vaults/{BackupVaultName}'],
    ListRecoveryPointsByBackupVault: ['GET', '/backup-vaults/{BackupVaultName}/recovery-points/'],
    DeleteRecoveryPoint: ['DELETE', '/backup-vaults/{BackupVaultName}/recovery-points/{RecoveryPointArn}'],
    ListBackupPlans: ['GET', '/backup/plans/'],
    GetBackupPlan: ['GET', '/backup/plans/{BackupPlanId}/'],
    CreateBackupPlan: ['PUT', '/backup/plans/'],
    DeleteBackupPlan: ['DELETE', '/backup/plans/{BackupPlanId}'],
    ListBackupSelections: ['GET', '/backup/plans/{BackupPlanId}/selections/'],
    CreateBackupSelection: ['PUT', '/backup/plans/{BackupPlanId}/selections/'],
    DeleteBackupSelection: ['DELETE', '/backup/plans/{BackupPlanId}/selections/{SelectionId}'],
    StartBackupJob: ['PUT', '/backup-jobs'],
    StartCopyJob: ['PUT', '/copy-jobs'],
    StartRestoreJob: ['PUT', '/restore-jobs'],
    ListBackupJobs: ['GET', '/backup-jobs/'],
    ListCopyJobs: ['GET', '/copy-jobs/'],
    ListRestoreJobs: ['GET', '/restore-jobs/'],
  },
}
/** How a query calls what an input calls otherwise. */
const QUERY = { NextToken: 'nextToken' }

/** One call: `perform('ListBackupVaults', {}, 'backup')`. */
export function perform(operation, input = {}, service = 'dynamodb', options = {}) {
  if (service === 'scaling') return session.scaling(operation, input, options)
  if (service === 'streams') return session.streams(operation, input, options)
  if (service === 'iam') return iam(operation, input)
  const route = ROUTES[service]?.[operation]
  if (!route) return session.call(operation, input, options)
  const [method, template] = route
  const left = { ...input }
  const path = template.replace(/\{(\w+)\}/g, (_, name) => {
    const value = encoded(left[name])
    delete left[name]
    return value
  })
  if (method !== 'GET') return session.rest(service, operation, method, path, { ...options, body: left })
  const query = Object.fromEntries(Object.entries(left).map(([name, value]) => [QUERY[name] ?? name, value]))
  return session.rest(service, operation, method, path, { ...options, query })
}

/** All members of a list, page by page. Lambda calls the next page `Marker`, the others `NextToken`. */
export async function everything(operation, member, input = {}, service = 'dynamodb', options = {}) {
  const found = []
  let next
  for (let page = 0; page < PAGES_MAX; page++) {
    const token = next === undefined ? {} : service === 'lambda' ? { Marker: next } : { NextToken: next }
    const answer = await perform(operation, { ...input, ...token }, service, options)
    found.push(...(answer[member] ?? []))
    next = answer.NextToken ?? answer.NextMarker
    if (!next) break
  }
  return found
}

/** A result, or the error in its place: what one may not see does not hide the rest. */
export async function maybe(promise) {
  try {
    return { found: await promise }
  } catch (error) {
    return { error }
  }
}
