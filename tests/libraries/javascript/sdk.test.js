// AWS SDK for JavaScript v3: the client, the document client, its paginators and waiters, the streams client.
'use strict'

const assert = require('node:assert/strict')
const { describe, it } = require('node:test')
const dynamodb = require('@aws-sdk/client-dynamodb')
const streams = require('@aws-sdk/client-dynamodb-streams')
const lib = require('@aws-sdk/lib-dynamodb')
const { client, documents, tableName, waitUntil, waitUntilItemsExpire } = require('./shared.js')

const waiting = { client, maxWaitTime: 60, minDelay: 1, maxDelay: 2 }

/** A table with sort key "sk" and the global index "by-kind". */
async function table(t, more = {}) {
  const TableName = tableName(t)
  const created = await client.send(
    new dynamodb.CreateTableCommand({
      TableName,
      BillingMode: 'PAY_PER_REQUEST',
      AttributeDefinitions: [
        { AttributeName: 'pk', AttributeType: 'S' },
        { AttributeName: 'sk', AttributeType: 'N' },
        { AttributeName: 'kind', AttributeType: 'S' },
      ],
      KeySchema: [
        { AttributeName: 'pk', KeyType: 'HASH' },
        { AttributeName: 'sk', KeyType: 'RANGE' },
      ],
      GlobalSecondaryIndexes: [
        { IndexName: 'by-kind', KeySchema: [{ AttributeName: 'kind', KeyType: 'HASH' }], Projection: { ProjectionType: 'ALL' } },
      ],
      ...more,
    }),
  )
  assert.equal(created.TableDescription.TableStatus, 'CREATING')
  const { state } = await dynamodb.waitUntilTableExists(waiting, { TableName })
  assert.equal(state, 'SUCCESS')
  return TableName
}

describe('AWS SDK for JavaScript', () => {
  it('makes, describes, tags, lists and removes a table', async (t) => {
    const TableName = await table(t)
    const { Table } = await client.send(new dynamodb.DescribeTableCommand({ TableName }))
    assert.equal(Table.TableStatus, 'ACTIVE')
    assert.ok(Table.CreationDateTime instanceof Date && Math.abs(Date.now() - Table.CreationDateTime) < 600_000)
    await client.send(new dynamodb.TagResourceCommand({ ResourceArn: Table.TableArn, Tags: [{ Key: 'team', Value: 'a' }] }))
    const { Tags } = await client.send(new dynamodb.ListTagsOfResourceCommand({ ResourceArn: Table.TableArn }))
    assert.deepEqual(Tags, [{ Key: 'team', Value: 'a' }])
    const names = []
    for await (const page of dynamodb.paginateListTables({ client, pageSize: 1 }, {})) names.push(...page.TableNames)
    assert.ok(names.includes(TableName))
    await assert.rejects(table({ after() {} }, { TableName }), dynamodb.ResourceInUseException)
    await client.send(new dynamodb.DeleteTableCommand({ TableName }))
    await dynamodb.waitUntilTableNotExists(waiting, { TableName })
    await assert.rejects(client.send(new dynamodb.DescribeTableCommand({ TableName })), dynamodb.ResourceNotFoundException)
  })

  it('carries every type, in attribute values and in documents', async (t) => {
    const TableName = await table(t)
    const Item = {
      pk: { S: 'ü' },
      sk: { N: '-1.5' },
      text: { S: '' },
      number: { N: '12345678901234567890123456789012345678' },
      bytes: { B: Uint8Array.from([0, 255, 128]) },
      yes: { BOOL: true },
      nothing: { NULL: true },
      texts: { SS: ['a', 'b'] },
      numbers: { NS: ['1', '2.5'] },
      many: { BS: [Uint8Array.from([1]), Uint8Array.from([2])] },
      list: { L: [{ S: 'x' }, { L: [] }] },
      map: { M: { a: { M: {} } } },
    }
    await client.send(new dynamodb.PutItemCommand({ TableName, Item }))
    const Key = { pk: Item.pk, sk: Item.sk }
    const back = await client.send(new dynamodb.GetItemCommand({ TableName, Key, ConsistentRead: true }))
    assert.deepEqual(back.Item, Item)

    const document = { pk: 'd', sk: 1, list: [1, 'two', null, { three: true }], set: new Set(['x', 'y']), bytes: Uint8Array.from([7]) }
    await documents.send(new lib.PutCommand({ TableName, Item: { ...document, left: undefined } }))
    assert.deepEqual((await documents.send(new lib.GetCommand({ TableName, Key: { pk: 'd', sk: 1 } }))).Item, document)
  })

  it('updates and deletes under conditions', async (t) => {
    const TableName = await table(t)
    const Key = { pk: 'a', sk: 1 }
    const capacity = await documents.send(
      new lib.PutCommand({ TableName, Item: { ...Key, n: 1, tags: ['x'] }, ReturnConsumedCapacity: 'TOTAL' }),
    )
    assert.deepEqual(capacity.ConsumedCapacity, { TableName, CapacityUnits: 1 })
    const change = new lib.UpdateCommand({
      TableName,
      Key,
      UpdateExpression: 'SET n = n + :one, tags = list_append(tags, :more), made = if_not_exists(made, :one) REMOVE #gone',
      ConditionExpression: 'n = :one AND size(tags) = :one',
      ExpressionAttributeNames: { '#gone': 'gone' },
      ExpressionAttributeValues: { ':one': 1, ':more': ['y'] },
      ReturnValues: 'ALL_NEW',
    })
    assert.deepEqual((await documents.send(change)).Attributes, { ...Key, n: 2, tags: ['x', 'y'], made: 1 })
    await assert.rejects(documents.send(change), dynamodb.ConditionalCheckFailedException)
    const refused = new lib.DeleteCommand({
      TableName,
      Key,
      ConditionExpression: 'n > :ten',
      ExpressionAttributeValues: { ':ten': 10 },
      ReturnValuesOnConditionCheckFailure: 'ALL_OLD',
    })
    await assert.rejects(documents.send(refused), (error) => {
      assert.ok(error instanceof dynamodb.ConditionalCheckFailedException)
      assert.equal(error.message, 'The conditional request failed')
      assert.deepEqual(error.Item.n, { N: '2' })
      return true
    })
    const removed = await documents.send(new lib.DeleteCommand({ TableName, Key, ReturnValues: 'ALL_OLD' }))
    assert.equal(removed.Attributes.n, 2)
    await assert.rejects(documents.send(new lib.GetCommand({ TableName, Key: { pk: 'a' } })), {
      name: 'ValidationException',
      message: 'The provided key element does not match the schema',
    })
  })

  it('batches, and pages through queries and scans', async (t) => {
    const TableName = await table(t)
    for (let batch = 0; batch < 4; batch++) {
      const puts = Array.from({ length: 25 }, (_, n) => ({
        PutRequest: { Item: { pk: `p${n % 2}`, sk: batch * 25 + n, kind: ['odd', 'even'][n % 2], text: 'x'.repeat(30_000) } },
      }))
      const { UnprocessedItems } = await documents.send(new lib.BatchWriteCommand({ RequestItems: { [TableName]: puts } }))
      assert.deepEqual(UnprocessedItems, {})
    }
    // 52 items of 30 kB: more than one page of 1 MB.
    const query = { TableName, KeyConditionExpression: 'pk = :p', ExpressionAttributeValues: { ':p': 'p0' }, ScanIndexForward: false }
    const pages = []
    for await (const page of lib.paginateQuery({ client: documents }, query)) pages.push(page.Items)
    assert.deepEqual([pages.length, pages.flat().length, pages[0][0].sk], [2, 52, 99])
    let scanned = 0
    for await (const page of lib.paginateScan({ client: documents, pageSize: 7 }, { TableName, IndexName: 'by-kind' })) {
      assert.ok(page.Count <= 7)
      scanned += page.Count
    }
    assert.equal(scanned, 100)
    const Keys = pages.flat().map(({ pk, sk }) => ({ pk, sk }))
    const got = await documents.send(new lib.BatchGetCommand({ RequestItems: { [TableName]: { Keys, ProjectionExpression: 'sk' } } }))
    assert.equal(got.Responses[TableName].length, 52)
  })

  it('writes and reads transactions', async (t) => {
    const TableName = await table(t)
    const put = (sk, more) => ({ Put: { TableName, Item: { pk: 'a', sk, n: 0 }, ...more } })
    await documents.send(new lib.TransactWriteCommand({ TransactItems: [put(1), put(2), put(3)] }))
    const change = {
      TransactItems: [
        { Update: { TableName, Key: { pk: 'a', sk: 1 }, UpdateExpression: 'ADD n :n', ExpressionAttributeValues: { ':n': 5 } } },
        { Delete: { TableName, Key: { pk: 'a', sk: 2 } } },
        { ConditionCheck: { TableName, Key: { pk: 'a', sk: 3 }, ConditionExpression: 'attribute_exists(pk)' } },
      ],
      ClientRequestToken: TableName,
    }
    await documents.send(new lib.TransactWriteCommand(change))
    await documents.send(new lib.TransactWriteCommand(change))
    const get = (sk) => ({ Get: { TableName, Key: { pk: 'a', sk } } })
    const { Responses } = await documents.send(new lib.TransactGetCommand({ TransactItems: [get(1), get(2)] }))
    assert.deepEqual(Responses.map(({ Item }) => Item?.n), [5, undefined])
    const refused = put(1, { ConditionExpression: 'attribute_not_exists(pk)', ReturnValuesOnConditionCheckFailure: 'ALL_OLD' })
    await assert.rejects(documents.send(new lib.TransactWriteCommand({ TransactItems: [put(9), refused] })), (error) => {
      assert.ok(error instanceof dynamodb.TransactionCanceledException)
      assert.deepEqual(error.CancellationReasons.map(({ Code }) => Code), ['None', 'ConditionalCheckFailed'])
      return true
    })
    assert.equal((await documents.send(new lib.GetCommand({ TableName, Key: { pk: 'a', sk: 9 } }))).Item, undefined)
  })

  it('speaks PartiQL', async (t) => {
    const TableName = await table(t)
    const run = (Statement, ...Parameters) =>
      documents.send(new lib.ExecuteStatementCommand({ Statement, Parameters: Parameters.length ? Parameters : undefined }))
    await run(`INSERT INTO "${TableName}" VALUE {'pk': ?, 'sk': ?, 'n': 1}`, 'a', 1)
    await run(`INSERT INTO "${TableName}" VALUE {'pk': 'a', 'sk': 2, 'n': 2}`)
    await run(`UPDATE "${TableName}" SET n = n + ? WHERE pk = 'a' AND sk = 2`, 40)
    const { Items } = await run(`SELECT sk, n FROM "${TableName}" WHERE pk = ? ORDER BY sk DESC`, 'a')
    assert.deepEqual(Items, [{ sk: 2, n: 42 }, { sk: 1, n: 1 }])
    await assert.rejects(run(`INSERT INTO "${TableName}" VALUE {'pk': 'a', 'sk': 1}`), dynamodb.DuplicateItemException)
    const batch = await documents.send(
      new lib.BatchExecuteStatementCommand({
        Statements: [{ Statement: `SELECT * FROM "${TableName}" WHERE pk = 'a' AND sk = 1` }, { Statement: 'SELECT nonsense' }],
      }),
    )
    assert.deepEqual(batch.Responses.map(({ Item, Error }) => Item?.n ?? Error.Code), [1, 'ValidationError'])
    await documents.send(
      new lib.ExecuteTransactionCommand({
        TransactStatements: [1, 2].map((sk) => ({ Statement: `DELETE FROM "${TableName}" WHERE pk = 'a' AND sk = ?`, Parameters: [sk] })),
      }),
    )
    assert.deepEqual((await run(`SELECT * FROM "${TableName}"`)).Items, [])
  })

  it('reads a stream from its start', async (t) => {
    const view = { StreamSpecification: { StreamEnabled: true, StreamViewType: 'NEW_AND_OLD_IMAGES' } }
    const TableName = await table(t, view)
    const Key = { pk: 'a', sk: 1 }
    await documents.send(new lib.PutCommand({ TableName, Item: { ...Key, n: 1 } }))
    await documents.send(new lib.PutCommand({ TableName, Item: { ...Key, n: 1 } }))
    await documents.send(new lib.PutCommand({ TableName, Item: { ...Key, n: 2 } }))
    await documents.send(new lib.DeleteCommand({ TableName, Key }))

    const reader = new streams.DynamoDBStreamsClient({ maxAttempts: 1 })
    const { Streams } = await reader.send(new streams.ListStreamsCommand({ TableName }))
    const { StreamArn } = Streams[0]
    const { StreamDescription } = await reader.send(new streams.DescribeStreamCommand({ StreamArn }))
    assert.equal(StreamDescription.StreamViewType, 'NEW_AND_OLD_IMAGES')
    const iterators = await Promise.all(
      StreamDescription.Shards.map(async ({ ShardId }) => {
        const start = { StreamArn, ShardId, ShardIteratorType: 'TRIM_HORIZON' }
        return (await reader.send(new streams.GetShardIteratorCommand(start))).ShardIterator
      }),
    )
    const records = []
    await waitUntil('three records', async () => {
      for (const [n, ShardIterator] of iterators.entries()) {
        if (!ShardIterator) continue
        const page = await reader.send(new streams.GetRecordsCommand({ ShardIterator }))
        iterators[n] = page.NextShardIterator
        records.push(...page.Records)
      }
      return records.length >= 3
    })
    // The second put changed nothing: no record.
    assert.deepEqual(
      records.map(({ eventName, dynamodb: { OldImage, NewImage } }) => [eventName, OldImage?.n.N, NewImage?.n.N]),
      [['INSERT', undefined, '1'], ['MODIFY', '1', '2'], ['REMOVE', '2', undefined]],
    )
  })

  it('changes time to live, an index and a table that grew', async (t) => {
    const TableName = await table(t)
    const spec = { AttributeName: 'expires', Enabled: true }
    const set = await client.send(new dynamodb.UpdateTimeToLiveCommand({ TableName, TimeToLiveSpecification: spec }))
    assert.deepEqual(set.TimeToLiveSpecification, spec)
    await waitUntilItemsExpire(TableName, 'expires')

    await documents.send(new lib.PutCommand({ TableName, Item: { pk: 'a', sk: 1, owner: 'me' } }))
    await client.send(
      new dynamodb.UpdateTableCommand({
        TableName,
        AttributeDefinitions: [{ AttributeName: 'owner', AttributeType: 'S' }],
        GlobalSecondaryIndexUpdates: [
          {
            Create: {
              IndexName: 'by-owner',
              KeySchema: [{ AttributeName: 'owner', KeyType: 'HASH' }],
              Projection: { ProjectionType: 'KEYS_ONLY' },
            },
          },
        ],
      }),
    )
    await waitUntil('the index is filled', async () => {
      const { Table } = await client.send(new dynamodb.DescribeTableCommand({ TableName }))
      return Table.GlobalSecondaryIndexes.find(({ IndexName }) => IndexName === 'by-owner').IndexStatus === 'ACTIVE'
    })
    const found = await documents.send(
      new lib.QueryCommand({
        TableName,
        IndexName: 'by-owner',
        KeyConditionExpression: '#o = :o',
        ExpressionAttributeNames: { '#o': 'owner' },
        ExpressionAttributeValues: { ':o': 'me' },
      }),
    )
    assert.deepEqual(found.Items, [{ pk: 'a', sk: 1, owner: 'me' }])
  })
})
