// Auto scaling of a table's provisioned capacity, and of its global indexes': targets, what they track, and what was done.

import { everything, maybe } from '../api.js'
import { callConfirm, callDialog } from '../forms.js'
import * as session from '../session.js'
import { button, failure, field, fill, grid, h, moment, refill, select, stateBadge } from '../ui.js'

/** Activities that are shown. */
const ACTIVITIES_MAX = 20
const KINDS = {
  ReadCapacityUnits: 'DynamoDBReadCapacityUtilization',
  WriteCapacityUnits: 'DynamoDBWriteCapacityUtilization',
}

/** The tab of a table's page. */
export function scalingView({ name, table }) {
  const body = h('div', h('p.muted', 'Loading …'))
  const refresh = async () => {
    const [targets, policies, activities] = await Promise.all([
      maybe(everything('DescribeScalableTargets', 'ScalableTargets', { ResourceIds: resources(name, table) }, 'scaling')),
      maybe(everything('DescribeScalingPolicies', 'ScalingPolicies', {}, 'scaling')),
      maybe(everything('DescribeScalingActivities', 'ScalingActivities', { MaxResults: ACTIVITIES_MAX }, 'scaling')),
    ])
    if (targets.error) fill(body, failure(targets.error))
    else refill(body, view(name, table, targets.found, policies.found ?? [], activities.found ?? [], refresh))
  }
  refresh()
  return body
}

function resources(name, table) {
  return [`table/${name}`, ...(table.GlobalSecondaryIndexes ?? []).map(({ IndexName }) => `table/${name}/index/${IndexName}`)]
}

/** All that could be scaled: [resource, dimension]. */
function dimensions(name, table) {
  return resources(name, table).flatMap((resource) => ['ReadCapacityUnits', 'WriteCapacityUnits'].map((units) => [resource, `dynamodb:${resource.includes('/index/') ? 'index' : 'table'}:${units}`]))
}

function shown(resource, dimension) {
  const index = resource.split('/index/')[1]
  return `${dimension.endsWith('ReadCapacityUnits') ? 'Reads' : 'Writes'}${index ? ` of ${index}` : ''}`
}

function view(name, table, targets, policies, activities, refresh) {
  const policyOf = ({ ResourceId, ScalableDimension }) => policies.find((each) => each.ResourceId === ResourceId && each.ScalableDimension === ScalableDimension)
  const mine = activities.filter(({ ResourceId }) => resources(name, table).includes(ResourceId)).slice(0, ACTIVITIES_MAX)
  const isOnDemand = table.BillingModeSummary?.BillingMode === 'PAY_PER_REQUEST'
  return [
    isOnDemand ? h('p.muted', 'The table is on demand: there is nothing to scale until its capacity is provisioned.') : null,
    grid(
      [
        { title: 'Of', cell: ({ ResourceId, ScalableDimension }) => shown(ResourceId, ScalableDimension) },
        { title: 'Least', number: true, cell: ({ MinCapacity }) => MinCapacity },
        { title: 'Most', number: true, cell: ({ MaxCapacity }) => MaxCapacity },
        { title: 'Kept at', cell: (target) => tracked(policyOf(target)) },
        { title: '', cell: (target) => h('div.row', button('Change …', () => change(name, table, target, policyOf(target), refresh), { tone: 'plain', label: `Change scaling of ${shown(target.ResourceId, target.ScalableDimension)}` }), stop(target, refresh)) },
      ],
      targets,
      { empty: 'Nothing is scaled: capacity stays as it was set.', label: 'Scaled capacities' },
    ),
    h('div.row', button('Scale a capacity …', () => change(name, table, undefined, undefined, refresh)), (table.Replicas ?? []).length > 0 ? button('Scale the replicas …', () => changeReplicas(name, table, refresh)) : null),
    mine.length > 0 ? h('h2', 'What was done') : null,
    mine.length > 0
      ? grid(
          [
            { title: 'When', cell: ({ StartTime }) => moment(StartTime) },
            { title: 'Of', cell: ({ ResourceId, ScalableDimension }) => shown(ResourceId, ScalableDimension) },
            { title: 'What', cell: ({ Description, Cause }) => [Description, h('div.hint', Cause)] },
            { title: 'Status', cell: ({ StatusCode, StatusMessage }) => [stateBadge(StatusCode), StatusMessage ? h('div.hint', StatusMessage) : null] },
          ],
          mine,
          { label: 'Scaling activities' },
        )
      : null,
  ]
}

function tracked(policy) {
  const goal = policy?.TargetTrackingScalingPolicyConfiguration?.TargetValue
  return goal === undefined ? h('span.muted', 'no policy: only least and most hold') : `${goal} % used`
}

function stop({ ResourceId, ScalableDimension }, refresh) {
  const what = shown(ResourceId, ScalableDimension)
  return button(
    'Stop',
    () => callConfirm(`Stop scaling ${what.toLowerCase()}?`, 'The capacity stays as it is now.', { request: ['DeregisterScalableTarget', { ServiceNamespace: 'dynamodb', ResourceId, ScalableDimension }, 'scaling'], verb: 'Stop', said: 'It is scaled no more', done: refresh }),
    { tone: 'plain', label: `Stop scaling ${what}` },
  )
}

function change(name, table, target, policy, refresh) {
  const all = dimensions(name, table).map(([resource, dimension]) => [`${resource} ${dimension}`, shown(resource, dimension)])
  const which = select(all, target ? `${target.ResourceId} ${target.ScalableDimension}` : undefined, { disabled: Boolean(target) })
  const number = (value, max) => h('input', { type: 'number', min: 1, max, step: 1, value, required: true })
  const least = number(target?.MinCapacity ?? 5)
  const most = number(target?.MaxCapacity ?? 100)
  const goal = h('input', { type: 'number', min: 20, max: 90, step: 1, value: policy?.TargetTrackingScalingPolicyConfiguration?.TargetValue ?? 70, required: true })
  const request = () => {
    const [ResourceId, ScalableDimension] = which.value.split(' ')
    const of = { ServiceNamespace: 'dynamodb', ResourceId, ScalableDimension }
    return [
      ['RegisterScalableTarget', { ...of, MinCapacity: Number(least.value), MaxCapacity: Number(most.value) }, 'scaling'],
      [
        'PutScalingPolicy',
        {
          ...of,
          PolicyName: policy?.PolicyName ?? `${name}-${ScalableDimension.endsWith('ReadCapacityUnits') ? 'reads' : 'writes'}`,
          PolicyType: 'TargetTrackingScaling',
          TargetTrackingScalingPolicyConfiguration: { TargetValue: Number(goal.value), PredefinedMetricSpecification: { PredefinedMetricType: KINDS[ScalableDimension.split(':')[2]] } },
        },
        'scaling',
      ],
    ]
  }
  callDialog('Scale a capacity', {
    content: [field('Capacity', which), h('div.fields', field('Least units', least), field('Most units', most), field('Percent used', goal, 'What is aimed at, 20 to 90'))],
    request,
    verb: 'Scale',
    said: 'It is scaled',
    done: refresh,
  })
}

/** UpdateTableReplicaAutoScaling: writes in all regions alike, reads in one or in all. */
function changeReplicas(name, table, refresh) {
  const EVERYWHERE = ''
  const regions = [...new Set([session.region(), ...table.Replicas.map(({ RegionName }) => RegionName)])]
  const where = select([[EVERYWHERE, 'All regions'], ...regions])
  const number = (value, max) => h('input', { type: 'number', min: 1, max, step: 1, value, required: true })
  const range = (what) => {
    const [least, most, goal] = [number(5), number(100), h('input', { type: 'number', min: 20, max: 90, step: 1, value: 70, required: true })]
    const read = () => ({
      MinimumUnits: Number(least.value),
      MaximumUnits: Number(most.value),
      ScalingPolicyUpdate: { TargetTrackingScalingPolicyConfiguration: { TargetValue: Number(goal.value) } },
    })
    return { element: h('fieldset', h('legend', what), h('div.fields', field('Least units', least), field('Most units', most), field('Percent used', goal))), read }
  }
  const [writes, reads] = [range('Writes, everywhere'), range('Reads')]
  const request = () => [
    'UpdateTableReplicaAutoScaling',
    {
      TableName: name,
      ProvisionedWriteCapacityAutoScalingUpdate: writes.read(),
      ReplicaUpdates: (where.value === EVERYWHERE ? regions : [where.value]).map((RegionName) => ({ RegionName, ReplicaProvisionedReadCapacityAutoScalingUpdate: reads.read() })),
    },
  ]
  callDialog('Scale the replicas', {
    content: [writes.element, reads.element, field('Reads are scaled in', where)],
    request,
    verb: 'Scale',
    said: 'The replicas are scaled',
    done: refresh,
  })
}
