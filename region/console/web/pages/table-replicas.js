// A table's replicas: what there is, what each has of its own, and how they come and go.

import { callConfirm } from '../forms.js'
import * as session from '../session.js'
import { sameElsewhere } from '../snippets.js'
import { button, confirm, grid, h, note, stateBadge } from '../ui.js'
import { addReplicaDialog, overrideDialog } from './table-forms.js'

/** The tab of a table's replicas. */
export function replicas(state) {
  const { name, table, refresh } = state
  const others = session.facts.regions.map(({ name: each }) => each).filter((each) => each !== session.region())
  const here = { RegionName: session.region(), ReplicaStatus: table.TableStatus, own: true }
  const rows = [here, ...(table.Replicas ?? []).filter(({ RegionName }) => RegionName !== session.region())]
  const remove = (region) => {
    const change = { TableName: name, ReplicaUpdates: [{ Delete: { RegionName: region } }] }
    confirm(`Remove the replica in ${region}?`, `Its data is deleted there; the other replicas keep theirs.`, {
      verb: 'Remove',
      word: region,
      code: sameElsewhere(() => ['UpdateTable', change]),
      act: async () => {
        await session.call('UpdateTable', change)
        note(`The replica in ${region} is being removed`)
        await refresh()
      },
    })
  }
  const missing = others.filter((region) => !rows.some(({ RegionName }) => RegionName === region))
  return [
    grid(
      [
        { title: 'Region', cell: ({ RegionName, own }) => [RegionName, own ? h('span.muted', ' (this one)') : null] },
        { title: 'Status', cell: ({ ReplicaStatus, ReplicaStatusDescription }) => [stateBadge(ReplicaStatus), ReplicaStatusDescription ? h('div.hint', ReplicaStatusDescription) : null] },
        { title: 'Of its own', cell: (replica) => ownSettings(replica) },
        {
          title: '',
          cell: (replica) =>
            replica.own
              ? rows.length > 1
                ? button('Leave …', () => leave(state), { tone: 'plain', label: `Take ${replica.RegionName} out of the group, with its data` })
                : null
              : button('Settings', () => overrideDialog(state, replica), { tone: 'plain', label: `Settings of the replica in ${replica.RegionName}` }),
        },
        { title: '', cell: ({ RegionName, own }) => (own ? null : button('Remove', () => remove(RegionName), { tone: 'plain', label: `Remove the replica in ${RegionName}` })) },
      ],
      rows,
      { label: 'Replicas' },
    ),
    others.length === 0 ? h('p.muted', 'This region is alone: there is nowhere to replicate to.') : h('div.row', rows.length > 1 ? h('a', { href: `#/streams/${encodeURIComponent(name)}/kept` }, 'Conflicts') : null, button('Add a replica', () => addReplicaDialog(state, missing), { disabled: missing.length === 0 })),
  ]
}

/** What a replica has otherwise than the table. */
function ownSettings({ ProvisionedThroughputOverride: provisioned, OnDemandThroughputOverride: onDemand, ReplicaTableClassSummary: own, KMSMasterKeyId: key }) {
  const told = [
    provisioned ? `${provisioned.ReadCapacityUnits} read units` : null,
    onDemand?.MaxReadRequestUnits > 0 ? `at most ${onDemand.MaxReadRequestUnits} read units` : null,
    own ? own.TableClass : null,
    key ? `key ${key}` : null,
  ].filter(Boolean)
  return told.length > 0 ? told.join(', ') : h('span.muted', 'as the table')
}

/** This region goes, with all that it has. */
function leave({ name, table, refresh }) {
  const region = session.region()
  const protection = table.DisassociationProtectionEnabled
  const text = 'It waits until the other regions have all that was written here; then this table is one of its own, with its data, and cannot get replicas again.'
  if (protection) {
    callConfirm(`Switch off ${name}'s protection?`, `This region is protected against being taken out of the group. ${text}`, {
      request: ['UpdateTable', { TableName: name, DisassociationProtectionEnabled: false }],
      verb: 'Switch it off',
      said: 'Leaving is allowed now',
      done: refresh,
    })
    return
  }
  callConfirm(`Take ${region} out of the group?`, text, {
    request: ['UpdateTable', { TableName: name, ReplicaUpdates: [{ Disassociate: { RegionName: region, DisassociationMode: 'WAIT_FOR_REPLICATION' } }] }],
    verb: 'Leave',
    word: region,
    said: `${region} is leaving`,
    done: refresh,
  })
}
