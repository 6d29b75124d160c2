// The tail of a table's stream: what changed, old and new side by side; and of a global table's second one, what lost to what.

import * as session from '../session.js'
import { sameElsewhere } from '../snippets.js'
import { badge, button, card, check, confirm, failure, fill, grid, h, moment, note, pause, select, some } from '../ui.js'
import { keyText } from '../values.js'
import { kept } from './conflicts.js'
import { compare } from './editor.js'
import { openByName, tableNames } from './tables.js'

/** Changes that are shown; older ones go. */
const SHOWN_MAX = 300
const ASK_EVERY_MS = 700
/** How often new shards are looked for. */
const SHARDS_EVERY_MS = 15_000

export async function render(main, context) {
  const name = context.parts[0]
  if (!name) {
    await choose(main)
    return
  }
  if (context.parts[1] === 'kept') {
    context.title(`Conflicts of ${name}`)
    await kept(main, context, name)
    return
  }
  context.title(`Stream of ${name}`)
  const { Table: table } = await session.call('DescribeTable', { TableName: name })
  if (!table.StreamSpecification?.StreamEnabled) {
    fill(main, card(name, h('p', 'This table has no stream. Its settings can switch one on.'), h('a.button', { href: `#/tables/${encodeURIComponent(name)}` }, 'The table')))
    return
  }
  const { Streams: streams } = await session.streams('ListStreams', { TableName: name })
  const conflicts = streams.find(({ StreamLabel }) => StreamLabel.endsWith('.conflicts'))?.StreamArn
  await tail(main, context, table, conflicts)
}

async function choose(main) {
  try {
    const found = []
    for (const name of await tableNames()) {
      const { Table: table } = await session.call('DescribeTable', { TableName: name }).catch(() => ({ Table: null }))
      if (table?.StreamSpecification?.StreamEnabled) found.push(table)
    }
    fill(
      main,
      card(
        'Tables with a stream',
        grid(
          [
            { title: 'Table', cell: ({ TableName }) => h('a', { href: `#/streams/${encodeURIComponent(TableName)}` }, TableName) },
            { title: 'What records have', cell: ({ StreamSpecification }) => StreamSpecification.StreamViewType },
            { title: 'Since', cell: ({ LatestStreamLabel }) => LatestStreamLabel },
            // Only replicas can contradict each other.
            { title: 'What lost to what', cell: ({ TableName, Replicas }) => (Replicas?.length > 0 ? h('a', { href: `#/streams/${encodeURIComponent(TableName)}/conflicts`, 'aria-label': `Conflicts of ${TableName}` }, 'Conflicts') : '–') },
          ],
          found,
          { empty: ['No table here has a stream. One is switched on by the settings of ', h('a', { href: '#/tables' }, 'a table'), ', or when a table gets a replica.'], label: 'Streams' },
        ),
      ),
    )
  } catch (error) {
    fill(main, card('Which table?', failure(error), openByName('streams')))
  }
}

async function tail(main, { signal, parts }, table, conflicts) {
  const list = h('div', { role: 'log', 'aria-label': 'Changes', 'aria-live': 'off' })
  // A table whose replicas can contradict each other has a second stream.
  const streams = [
    [table.LatestStreamArn, 'Changes'],
    [conflicts, 'Conflicts'],
  ].filter(([arn]) => arn)
  const stream = select(streams, parts[1] === 'conflicts' && conflicts ? conflicts : table.LatestStreamArn, { 'aria-label': 'Stream' })
  stream.hidden = !conflicts
  const state = h('span.muted', 'Opening the stream …')
  const failed = h('div')
  const idle = h('div.empty')
  const kind = select([['', 'All changes'], 'INSERT', 'MODIFY', 'REMOVE'], '', { 'aria-label': 'Kind of change' })
  const from = select(
    [
      ['LATEST', 'From now on'],
      ['TRIM_HORIZON', 'From the beginning'],
    ],
    'LATEST',
    { 'aria-label': 'Where to begin' },
  )
  const paused = check('Hold')
  let seen = 0
  let stop = new AbortController()
  const show = (records) => {
    for (const record of records) {
      seen++
      if (kind.value && record.eventName !== kind.value) continue
      list.prepend(record.userIdentity?.Type === 'Conflict' ? conflict(table.TableName, record) : change(record))
    }
    while (list.children.length > SHOWN_MAX) list.lastChild.remove()
  }
  const begin = () => {
    stop.abort()
    stop = new AbortController()
    signal.addEventListener('abort', () => stop.abort(), { once: true })
    fill(list)
    fill(failed)
    idle.hidden = true
    seen = 0
    const here = stop.signal
    follow(stream.value, from.value, here, {
      records: show,
      isHeld: () => paused.box.checked,
      state: (shards) => {
        fill(state, `${some(seen, stream.value === conflicts ? 'conflict' : 'change')} from ${some(shards, 'open shard')}`)
        idle.hidden = seen > 0
        fill(idle, from.value === 'LATEST' ? 'Nothing was written since this page was opened. “From the beginning” has the last 24 hours.' : 'There was nothing in the last 24 hours.')
      },
    }).catch((error) => !here.aborted && fill(failed, failure(error)))
  }
  from.addEventListener('change', begin)
  stream.addEventListener('change', () => {
    // Conflicts are few: who looks for them wants those that were.
    from.value = stream.value === conflicts ? 'TRIM_HORIZON' : 'LATEST'
    begin()
  })
  if (stream.value === conflicts) from.value = 'TRIM_HORIZON'
  const clear = button('Clear', () => fill(list))
  fill(
    main,
    card(null, h('div.row.spread', h('div.row', stream, from, kind, paused, clear, conflicts ? h('a', { href: `#/streams/${encodeURIComponent(table.TableName)}/kept` }, 'Older conflicts') : null), h('div.row', badge(table.StreamSpecification.StreamViewType), state)), failed),
    idle,
    list,
  )
  begin()
}

/** Reads all shards, each from its iterator, and children of those that have ended. */
async function follow(arn, begin, signal, { records, isHeld, state }) {
  const iterators = new Map()
  const known = new Set()
  let first = true
  let lookedAt = 0
  while (!signal.aborted) {
    if (performance.now() - lookedAt > SHARDS_EVERY_MS || first) {
      for (const shard of await shardsOf(arn, signal)) {
        if (known.has(shard.ShardId)) continue
        known.add(shard.ShardId)
        const hasEnded = Boolean(shard.SequenceNumberRange?.EndingSequenceNumber)
        if (first && begin === 'LATEST' && hasEnded) continue
        // A shard that came later is read from its beginning: nothing of it was seen.
        const kind = first ? begin : 'TRIM_HORIZON'
        const { ShardIterator } = await session.streams('GetShardIterator', { StreamArn: arn, ShardId: shard.ShardId, ShardIteratorType: kind }, { signal })
        iterators.set(shard.ShardId, ShardIterator)
      }
      first = false
      lookedAt = performance.now()
    }
    if (!isHeld()) {
      const found = []
      await Promise.all(
        [...iterators].map(async ([shard, iterator]) => {
          const answer = await session.streams('GetRecords', { ShardIterator: iterator, Limit: 200 }, { signal })
          found.push(...answer.Records)
          if (answer.NextShardIterator) iterators.set(shard, answer.NextShardIterator)
          else {
            iterators.delete(shard)
            lookedAt = -Infinity
          }
        }),
      )
      found.sort((a, b) => a.dynamodb.ApproximateCreationDateTime - b.dynamodb.ApproximateCreationDateTime)
      records(found)
      state(iterators.size)
    }
    await pause(ASK_EVERY_MS, signal)
  }
}

async function shardsOf(arn, signal) {
  const pages = await session.collect(
    (last) => session.streams('DescribeStream', { StreamArn: arn, ...(last ? { ExclusiveStartShardId: last.StreamDescription.LastEvaluatedShardId } : {}) }, { signal }),
    (answer) => answer.StreamDescription.LastEvaluatedShardId,
  )
  return pages.flatMap(({ StreamDescription }) => StreamDescription.Shards)
}

/** A line that opens to show what `content` makes, once. */
function opens(kind, summary, content) {
  const inside = h('div')
  const details = h('details', { ontoggle: () => details.open && inside.children.length === 0 && fill(inside, content()) }, h('summary', h('span.row', summary)), inside)
  return h(`div.change.${kind}`, details)
}

/** A write that lost to a concurrent one: both sides, and the way back. */
function conflict(table, { dynamodb, userIdentity }) {
  const { Keys, OldImage: lost, NewImage: won, ApproximateCreationDateTime: seen } = dynamodb
  const { loser, winner } = Object.fromEntries(userIdentity.PrincipalId.split(';').map((part) => part.split('=')))
  const by = (version = '') => version.split('@')[0]
  const at = (version = '') => version.split('@')[1] ?? ''
  const request = lost ? ['PutItem', { TableName: table, Item: lost }] : ['DeleteItem', { TableName: table, Key: Keys }]
  const restore = () =>
    confirm(`Write what ${by(loser)} wrote anew?`, 'All regions get it, in place of what the item is now.', {
      verb: 'Restore',
      code: sameElsewhere(() => request),
      act: async () => {
        await session.call(...request)
        note('The version that lost is written anew')
      },
    })
  return opens('CONFLICT', [badge('CONFLICT', 'warn'), h('span.mono', keyText(Keys)), h('span.muted', moment(seen)), h('span', `${by(loser)}’s ${lost ? 'write' : 'delete'} lost to ${by(winner)}’s`)], () => [
    compare(lost, won, [`Lost: ${by(loser)}, ${at(loser)}`, `Won: ${by(winner)}, ${at(winner)}`]),
    button('Restore the loser …', restore),
  ])
}

function change({ eventName, dynamodb, userIdentity }) {
  const { Keys, OldImage, NewImage, ApproximateCreationDateTime, SequenceNumber } = dynamodb
  const tone = { INSERT: 'good', REMOVE: 'bad' }[eventName] ?? ''
  const summary = [badge(eventName, tone), h('span.mono', keyText(Keys)), h('span.muted', moment(ApproximateCreationDateTime)), userIdentity ? badge('expired') : null]
  return opens(eventName, summary, () => [compare(OldImage, NewImage, ['Old', 'New']), h('div.hint', `sequence number ${SequenceNumber}`)])
}
