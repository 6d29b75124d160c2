// dynamoose: models that make their own tables.
'use strict'

const assert = require('node:assert/strict')
const { describe, it } = require('node:test')
const { DeleteTableCommand, DescribeTableCommand, ListTagsOfResourceCommand } = require('@aws-sdk/client-dynamodb')
const dynamoose = require('dynamoose')
const { client, tableName, waitUntilItemsExpire } = require('./shared.js')

dynamoose.aws.ddb.set(new dynamoose.aws.ddb.DynamoDB({ maxAttempts: 1 }))

function model(t, options = {}) {
  const schema = new dynamoose.Schema(
    {
      user: { type: String, hashKey: true },
      id: { type: Number, rangeKey: true },
      kind: { type: String, index: { name: 'by-kind', type: 'global', rangeKey: 'id' } },
      rank: { type: Number, index: { name: 'by-rank', type: 'local' } },
      tags: { type: Set, schema: [String] },
      made: Date,
      inner: { type: Object, schema: { list: { type: Array, schema: [Number] }, on: Boolean } },
    },
    { timestamps: true },
  )
  const name = tableName(t)
  const Model = dynamoose.model(name, schema)
  const table = new dynamoose.Table(name, [Model], {
    throughput: 'ON_DEMAND',
    waitForActive: { enabled: true, check: { frequency: 20, timeout: 60_000 } },
    ...options,
  })
  return { Model, table, name }
}

describe('dynamoose', () => {
  it('makes the table with its indexes, and removes it', async (t) => {
    const { Model, table, name } = model(t, { initialize: false })
    await table.initialize()
    await Model.create({ user: 'u', id: 1 })
    const { Table } = await client.send(new DescribeTableCommand({ TableName: name }))
    assert.equal(Table.BillingModeSummary.BillingMode, 'PAY_PER_REQUEST')
    assert.deepEqual(
      [...Table.GlobalSecondaryIndexes, ...Table.LocalSecondaryIndexes].map(({ IndexName }) => IndexName),
      ['by-kind', 'by-rank'],
    )
    await client.send(new DeleteTableCommand({ TableName: name }))
  })

  it('saves, reads, queries, scans, updates and deletes', async (t) => {
    const { Model } = model(t)
    const made = new Date('2026-01-02T03:04:05Z')
    await Model.create({ user: 'u', id: 1, kind: 'a', rank: 5, tags: new Set(['x', 'y']), made, inner: { list: [1, 2.5], on: true } })
    const one = await Model.get({ user: 'u', id: 1 })
    assert.deepEqual([one.made, [...one.tags], one.inner], [made, ['x', 'y'], { list: [1, 2.5], on: true }])
    assert.ok(one.createdAt instanceof Date)
    await assert.rejects(Model.create({ user: 'u', id: 1 }), { name: 'ConditionalCheckFailedException' })

    const rest = Array.from({ length: 20 }, (_, n) => ({ user: 'u', id: n + 2, kind: ['a', 'b'][n % 2], rank: 100 - n }))
    const { unprocessedItems } = await Model.batchPut(rest)
    assert.deepEqual(unprocessedItems, [])
    const latest = await Model.query('user').eq('u').where('id').ge(10).sort('descending').limit(3).exec()
    assert.deepEqual(latest.map(({ id }) => id), [21, 20, 19])
    assert.deepEqual(latest.lastKey, { user: 'u', id: 19 })
    const ofKind = await Model.query('kind').eq('b').using('by-kind').filter('rank').between(85, 95).all().exec()
    assert.deepEqual(ofKind.map(({ rank }) => rank), [95, 93, 91, 89, 87, 85])
    const ranked = await Model.query('user').eq('u').where('rank').lt(84).using('by-rank').exec()
    assert.deepEqual(ranked.map(({ rank }) => rank), [5, 81, 82, 83])
    assert.equal((await Model.scan('kind').eq('a').count().exec()).count, 11)
    assert.equal((await Model.scan().parallel(3).exec()).length, 21)
    assert.equal((await Model.batchGet([{ user: 'u', id: 1 }, { user: 'u', id: 2 }, { user: 'u', id: 99 }])).length, 2)

    const after = await Model.update({ user: 'u', id: 1 }, { $SET: { kind: 'c' }, $ADD: { rank: 10 }, $REMOVE: ['inner'] })
    assert.deepEqual([after.kind, after.rank, after.inner], ['c', 15, undefined])
    const condition = new dynamoose.Condition().where('rank').gt(1000)
    await assert.rejects(Model.update({ user: 'u', id: 1 }, { kind: 'd' }, { condition }), { name: 'ConditionalCheckFailedException' })
    one.kind = 'saved'
    await one.save()
    await one.delete()
    assert.equal(await Model.get({ user: 'u', id: 1 }), undefined)
    await Model.batchDelete([{ user: 'u', id: 2 }, { user: 'u', id: 3 }])
    assert.equal((await Model.scan().all().exec()).length, 18)
  })

  it('writes transactions', async (t) => {
    const { Model } = model(t)
    await Model.create({ user: 'u', id: 1, rank: 1 })
    await dynamoose.transaction([
      Model.transaction.create({ user: 'u', id: 2 }),
      Model.transaction.update({ user: 'u', id: 1 }, { $ADD: { rank: 5 } }),
      Model.transaction.condition({ user: 'u', id: 3 }, new dynamoose.Condition().attribute('user').not().exists()),
    ])
    const both = await dynamoose.transaction([Model.transaction.get({ user: 'u', id: 1 }), Model.transaction.get({ user: 'u', id: 2 })])
    assert.deepEqual(both.map(({ id, rank }) => [id, rank]), [[1, 6], [2, undefined]])
    const again = [Model.transaction.delete({ user: 'u', id: 1 }), Model.transaction.create({ user: 'u', id: 2 })]
    await assert.rejects(dynamoose.transaction(again), { name: 'TransactionCanceledException' })
    assert.equal((await Model.get({ user: 'u', id: 1 })).rank, 6)
  })

  it('sets time to live, tags and streams', async (t) => {
    const { Model, name } = model(t, {
      expires: 3_600_000,
      tags: { team: 'a' },
      streamOptions: { enabled: true, type: 'NEW_IMAGE' },
      update: true,
    })
    await Model.create({ user: 'u', id: 1 })
    const { ttl } = await Model.get({ user: 'u', id: 1 })
    assert.ok(ttl instanceof Date && Math.abs(ttl - Date.now() - 3_600_000) < 60_000)
    await waitUntilItemsExpire(name, 'ttl')
    const { Table } = await client.send(new DescribeTableCommand({ TableName: name }))
    assert.equal(Table.StreamSpecification.StreamViewType, 'NEW_IMAGE')
    const { Tags } = await client.send(new ListTagsOfResourceCommand({ ResourceArn: Table.TableArn }))
    assert.deepEqual(Tags, [{ Key: 'team', Value: 'a' }])
  })

  it('brings a table up to its model: an index more, an index less', async (t) => {
    const name = tableName(t)
    const options = { throughput: 'ON_DEMAND', update: true, waitForActive: { enabled: true, check: { frequency: 20, timeout: 60_000 } } }
    const indexed = (attribute) => {
      const attributes = { id: { type: String, hashKey: true }, a: String, b: String }
      attributes[attribute] = { type: String, index: { name: `by-${attribute}`, type: 'global' } }
      const Model = dynamoose.model(name, new dynamoose.Schema(attributes))
      new dynamoose.Table(name, [Model], options)
      return Model
    }
    const First = indexed('a')
    await First.create({ id: '1', a: 'x', b: 'y' })
    assert.equal((await First.query('a').eq('x').exec()).length, 1)
    const Second = indexed('b')
    assert.equal((await Second.query('b').eq('y').exec()).length, 1)
    const { Table } = await client.send(new DescribeTableCommand({ TableName: name }))
    assert.deepEqual(Table.GlobalSecondaryIndexes.map(({ IndexName }) => IndexName), ['by-b'])
  })
})
