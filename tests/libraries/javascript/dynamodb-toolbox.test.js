// dynamodb-toolbox: entities by schema, commands built for them.
'use strict'

const assert = require('node:assert/strict')
const { randomUUID } = require('node:crypto')
const { describe, it } = require('node:test')
const { CreateTableCommand, waitUntilTableExists } = require('@aws-sdk/client-dynamodb')
const toolbox = require('dynamodb-toolbox')
const { client, documents, tableName } = require('./shared.js')

const { $add, $append, $delete, $get, $remove, $set, $sum, item, list, map, number, set, string, binary, boolean } = toolbox

async function entity(t) {
  const table = new toolbox.Table({
    documentClient: documents,
    name: tableName(t),
    partitionKey: { name: 'pk', type: 'string' },
    sortKey: { name: 'sk', type: 'number' },
    indexes: {
      byOwner: { type: 'global', partitionKey: { name: 'owner', type: 'string' }, sortKey: { name: 'sk', type: 'number' } },
      byWeight: { type: 'local', sortKey: { name: 'weight', type: 'number' } },
    },
  })
  const key = (hash, sort) => [
    { AttributeName: hash, KeyType: 'HASH' },
    { AttributeName: sort, KeyType: 'RANGE' },
  ]
  await client.send(
    new CreateTableCommand({
      TableName: table.getName(),
      BillingMode: 'PAY_PER_REQUEST',
      AttributeDefinitions: Object.entries({ pk: 'S', sk: 'N', owner: 'S', weight: 'N' }).map(([AttributeName, AttributeType]) => ({
        AttributeName,
        AttributeType,
      })),
      KeySchema: key('pk', 'sk'),
      GlobalSecondaryIndexes: [{ IndexName: 'byOwner', KeySchema: key('owner', 'sk'), Projection: { ProjectionType: 'ALL' } }],
      LocalSecondaryIndexes: [{ IndexName: 'byWeight', KeySchema: key('pk', 'weight'), Projection: { ProjectionType: 'ALL' } }],
    }),
  )
  await waitUntilTableExists({ client, maxWaitTime: 60, minDelay: 1 }, { TableName: table.getName() })
  const Pet = new toolbox.Entity({
    name: 'PET',
    table,
    timestamps: false,
    schema: item({
      pk: string().key(),
      sk: number().key(),
      owner: string().optional(),
      weight: number().default(1),
      tags: set(string()).optional(),
      log: list(string()).default([]),
      photo: binary().optional(),
      info: map({ good: boolean(), toys: list(map({ name: string() })).optional() }).optional(),
    }),
  })
  return { table, Pet }
}

describe('dynamodb-toolbox', () => {
  it('puts, gets, updates and deletes', async (t) => {
    const { Pet } = await entity(t)
    const rex = { pk: 'dog', sk: 1, owner: 'me', tags: new Set(['a', 'b']), photo: Uint8Array.from([1, 2]), info: { good: true } }
    await Pet.build(toolbox.PutItemCommand).item(rex).send()
    const get = Pet.build(toolbox.GetItemCommand).key({ pk: 'dog', sk: 1 })
    const { Item } = await get.options({ consistent: true }).send()
    assert.deepEqual([Item.weight, Item.log, Item.tags, Item.photo], [1, [], rex.tags, rex.photo])
    const { Item: part } = await get.options({ attributes: ['info.good', 'weight'] }).send()
    assert.deepEqual(part, { weight: 1, info: { good: true } })

    const taken = Pet.build(toolbox.PutItemCommand).item(rex).options({ condition: { attr: 'pk', exists: false } })
    await assert.rejects(taken.send(), (error) => toolbox.isConditionCheckFailed(error, Pet) || error.name === 'ConditionalCheckFailedException')
    const { Attributes } = await Pet.build(toolbox.UpdateItemCommand)
      .item({
        pk: 'dog',
        sk: 1,
        weight: $sum($get('weight', 10), 5),
        tags: $delete(new Set(['a'])),
        log: $append(['fed']),
        owner: $remove(),
        info: { toys: $set([{ name: 'ball' }]) },
      })
      .options({ returnValues: 'ALL_NEW', condition: { and: [{ attr: 'weight', lte: 1 }, { attr: 'tags', contains: 'a' }] } })
      .send()
    assert.deepEqual(
      [Attributes.weight, [...Attributes.tags], Attributes.log, Attributes.owner, Attributes.info],
      [6, ['b'], ['fed'], undefined, { good: true, toys: [{ name: 'ball' }] }],
    )
    await Pet.build(toolbox.UpdateItemCommand).item({ pk: 'dog', sk: 1, weight: $add(0.5) }).send()
    const heavy = Pet.build(toolbox.DeleteItemCommand).key({ pk: 'dog', sk: 1 }).options({ condition: { attr: 'weight', gt: 100 } })
    await assert.rejects(heavy.send(), { name: 'ConditionalCheckFailedException' })
    const gone = await Pet.build(toolbox.DeleteItemCommand).key({ pk: 'dog', sk: 1 }).options({ returnValues: 'ALL_OLD' }).send()
    assert.equal(gone.Attributes.weight, 6.5)
    assert.equal((await get.send()).Item, undefined)
  })

  it('queries, scans, and does both in batches', async (t) => {
    const { table, Pet } = await entity(t)
    const pets = Array.from({ length: 25 }, (_, n) => ({ pk: ['dog', 'cat'][n % 2], sk: n, owner: `o${n % 5}`, weight: 100 - n }))
    await toolbox.executeBatchWrite(
      table.build(toolbox.BatchWriteCommand).requests(...pets.map((pet) => Pet.build(toolbox.BatchPutRequest).item(pet))),
    )
    const query = (options) => table.build(toolbox.QueryCommand).entities(Pet).query(options)
    const sk = ({ Items }) => Items.map((pet) => pet.sk)
    assert.deepEqual(sk(await query({ partition: 'dog', range: { gte: 18 } }).options({ reverse: true }).send()), [24, 22, 20, 18])
    assert.deepEqual(sk(await query({ index: 'byOwner', partition: 'o3', range: { between: [8, 18] } }).send()), [8, 13, 18])
    assert.deepEqual(sk(await query({ index: 'byWeight', partition: 'cat', range: { lt: 81 } }).send()), [23, 21])
    const first = await query({ partition: 'cat' }).options({ limit: 4 }).send()
    const rest = await query({ partition: 'cat' }).options({ exclusiveStartKey: first.LastEvaluatedKey, maxPages: Infinity }).send()
    assert.equal(first.Items.length + rest.Items.length, 12)
    const filtered = await table
      .build(toolbox.ScanCommand)
      .entities(Pet)
      .options({ filters: { PET: { or: [{ attr: 'owner', eq: 'o1' }, { attr: 'weight', gte: 99 }] } } })
      .send()
    assert.deepEqual(sk(filtered).sort((a, b) => a - b), [0, 1, 6, 11, 16, 21])
    const { Responses } = await toolbox.executeBatchGet(
      table.build(toolbox.BatchGetCommand).requests(...[0, 1, 2].map((n) => Pet.build(toolbox.BatchGetRequest).key({ pk: pets[n].pk, sk: n }))),
    )
    assert.deepEqual(Responses[0].map((pet) => pet.weight), [100, 99, 98])
    await table.build(toolbox.DeletePartitionCommand).entities(Pet).query({ partition: 'dog' }).send()
    assert.equal((await table.build(toolbox.ScanCommand).entities(Pet).send()).Count, 12)
  })

  it('writes and reads transactions', async (t) => {
    const { Pet } = await entity(t)
    await toolbox.executeTransactWrite(
      Pet.build(toolbox.PutTransaction).item({ pk: 'dog', sk: 1 }),
      Pet.build(toolbox.PutTransaction).item({ pk: 'dog', sk: 2 }),
    )
    await toolbox.executeTransactWrite(
      { clientRequestToken: randomUUID() },
      Pet.build(toolbox.UpdateTransaction).item({ pk: 'dog', sk: 1, weight: $add(9) }),
      Pet.build(toolbox.DeleteTransaction).key({ pk: 'dog', sk: 2 }),
      Pet.build(toolbox.ConditionCheck).key({ pk: 'dog', sk: 3 }).condition({ attr: 'pk', exists: false }),
    )
    const { Responses } = await toolbox.executeTransactGet(
      ...[1, 2].map((sk) => Pet.build(toolbox.GetTransaction).key({ pk: 'dog', sk })),
    )
    assert.deepEqual(Responses.map(({ Item }) => Item?.weight), [10, undefined])
    const refused = toolbox.executeTransactWrite(
      Pet.build(toolbox.PutTransaction).item({ pk: 'cat', sk: 1 }),
      Pet.build(toolbox.ConditionCheck).key({ pk: 'dog', sk: 1 }).condition({ attr: 'weight', lt: 10 }),
    )
    await assert.rejects(refused, (error) => {
      assert.deepEqual(error.CancellationReasons.map(({ Code }) => Code), ['None', 'ConditionalCheckFailed'])
      return true
    })
  })
})
