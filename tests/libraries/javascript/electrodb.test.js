// ElectroDB: several entities in one table, a collection over them, a service.
'use strict'

const assert = require('node:assert/strict')
const { randomUUID } = require('node:crypto')
const { describe, it } = require('node:test')
const { CreateTableCommand, waitUntilTableExists } = require('@aws-sdk/client-dynamodb')
const { Entity, Service } = require('electrodb')
const { client, documents, tableName } = require('./shared.js')

/** The single table that ElectroDB's guide describes, and two entities in it. */
async function service(t) {
  const table = tableName(t)
  const keys = (pk, sk) => [
    { AttributeName: pk, KeyType: 'HASH' },
    { AttributeName: sk, KeyType: 'RANGE' },
  ]
  await client.send(
    new CreateTableCommand({
      TableName: table,
      BillingMode: 'PAY_PER_REQUEST',
      AttributeDefinitions: ['pk', 'sk', 'gsi1pk', 'gsi1sk'].map((AttributeName) => ({ AttributeName, AttributeType: 'S' })),
      KeySchema: keys('pk', 'sk'),
      GlobalSecondaryIndexes: [
        { IndexName: 'gsi1', KeySchema: keys('gsi1pk', 'gsi1sk'), Projection: { ProjectionType: 'ALL' } },
      ],
    }),
  )
  await waitUntilTableExists({ client, maxWaitTime: 60, minDelay: 1 }, { TableName: table })
  const employee = new Entity(
    {
      model: { entity: 'employee', version: '1', service: 'hr' },
      attributes: {
        id: { type: 'string' },
        team: { type: 'string', required: true },
        name: { type: 'string', required: true },
        salary: { type: 'number', default: 100 },
        skills: { type: 'set', items: 'string' },
        history: { type: 'list', items: { type: 'map', properties: { year: { type: 'number' }, note: { type: 'string' } } } },
        level: { type: ['junior', 'senior'] },
      },
      indexes: {
        byId: { pk: { field: 'pk', composite: ['id'] }, sk: { field: 'sk', composite: [] } },
        byTeam: {
          collection: 'assignments',
          index: 'gsi1',
          pk: { field: 'gsi1pk', composite: ['team'] },
          sk: { field: 'gsi1sk', composite: ['name'] },
        },
      },
    },
    { client: documents, table },
  )
  const task = new Entity(
    {
      model: { entity: 'task', version: '1', service: 'hr' },
      attributes: {
        project: { type: 'string' },
        number: { type: 'number', padding: { length: 5, char: '0' } },
        team: { type: 'string' },
        points: { type: 'number' },
      },
      indexes: {
        byProject: { pk: { field: 'pk', composite: ['project'] }, sk: { field: 'sk', composite: ['number'] } },
        byTeam: {
          collection: 'assignments',
          index: 'gsi1',
          pk: { field: 'gsi1pk', composite: ['team'] },
          sk: { field: 'gsi1sk', composite: ['project'] },
        },
      },
    },
    { client: documents, table },
  )
  return new Service({ employee, task }, { client: documents, table })
}

describe('ElectroDB', () => {
  it('creates, reads, patches and removes', async (t) => {
    const { employee } = (await service(t)).entities
    const ada = { id: 'ada', team: 'engine', name: 'Ada', skills: ['math'], history: [{ year: 1843, note: 'G' }], level: 'senior' }
    const { data } = await employee.create(ada).go()
    assert.deepEqual(data, { ...ada, salary: 100 })
    await assert.rejects(employee.create(ada).go(), /The conditional request failed/)
    const { data: changed } = await employee
      .patch({ id: 'ada' })
      .set({ name: 'Ada L.', team: 'engine' })
      .add({ salary: 50, skills: ['poetry'] })
      .append({ history: [{ year: 1852, note: 'end' }] })
      .where(({ salary }, { lt }) => lt(salary, 200))
      .go({ response: 'all_new' })
    assert.deepEqual([changed.name, changed.salary, changed.skills, changed.history.map(({ note }) => note)], [
      'Ada L.',
      150,
      ['math', 'poetry'],
      ['G', 'end'],
    ])
    const renamed = await employee
      .patch({ id: 'ada' })
      .data(({ history }, { set }) => set(history[0].note, 'Note G'))
      .go({ response: 'updated_new' })
    assert.deepEqual(renamed.data.history, [{ note: 'Note G' }])
    await assert.rejects(employee.patch({ id: 'nobody' }).set({ salary: 1 }).go(), /The conditional request failed/)
    await employee.update({ id: 'ada' }).remove(['level']).subtract({ salary: 25 }).delete({ skills: ['math'] }).go()
    const { data: after } = await employee.get({ id: 'ada' }).go({ consistent: true })
    assert.deepEqual([after.salary, after.skills, after.level], [125, ['poetry'], undefined])
    await assert.rejects(employee.remove({ id: 'ada' }).where(({ salary }, { eq }) => eq(salary, 1)).go())
    const { data: removed } = await employee.remove({ id: 'ada' }).go({ response: 'all_old' })
    assert.equal(removed.salary, 125)
    assert.equal((await employee.get({ id: 'ada' }).go()).data, null)
  })

  it('puts and gets batches, pages through queries, reads collections', async (t) => {
    const hr = await service(t)
    const { employee, task } = hr.entities
    const people = Array.from({ length: 60 }, (_, n) => ({ id: `e${n}`, team: ['red', 'blue'][n % 2], name: `n${100 + n}`, salary: n }))
    assert.deepEqual((await employee.put(people).go({ concurrency: 2 })).unprocessed, [])
    await task.put(Array.from({ length: 10 }, (_, n) => ({ project: 'p', number: n, team: 'red', points: n * n }))).go()

    const { data: got } = await employee.get(people.slice(0, 30).map(({ id }) => ({ id }))).go()
    assert.equal(got.length, 30)
    const { data: page, cursor } = await employee.query.byTeam({ team: 'red' }).gte({ name: 'n120' }).go({ limit: 5 })
    assert.deepEqual(page.map(({ name }) => name), ['n120', 'n122', 'n124', 'n126', 'n128'])
    const { data: next } = await employee.query.byTeam({ team: 'red' }).gte({ name: 'n120' }).go({ limit: 2, cursor })
    assert.deepEqual(next.map(({ name }) => name), ['n130', 'n132'])
    const { data: rich } = await employee.query
      .byTeam({ team: 'blue' })
      .where(({ salary }, { between }) => between(salary, 50, 55))
      .go({ order: 'desc' })
    assert.deepEqual(rich.map(({ salary }) => salary), [55, 53, 51])
    const { data: tasks } = await task.query.byProject({ project: 'p' }).between({ number: 3 }, { number: 6 }).go()
    assert.deepEqual(tasks.map(({ points }) => points), [9, 16, 25, 36])
    const { data: all } = await hr.collections.assignments({ team: 'red' }).go({ pages: 'all' })
    assert.deepEqual([all.employee.length, all.task.length], [30, 10])
    assert.equal((await employee.scan.go({ pages: 'all' })).data.length, 60)
    await employee.delete(people.map(({ id }) => ({ id }))).go()
    assert.deepEqual((await employee.scan.go({ pages: 'all' })).data, [])
  })

  it('writes and reads transactions', async (t) => {
    const hr = await service(t)
    const first = await hr.transaction
      .write(({ employee, task }) => [
        employee.create({ id: 'a', team: 'red', name: 'A' }).commit(),
        task.put({ project: 'p', number: 1, team: 'red', points: 3 }).commit(),
      ])
      .go({ token: randomUUID() })
    assert.equal(first.canceled, false)
    const second = await hr.transaction
      .write(({ employee, task }) => [
        task.patch({ project: 'p', number: 1 }).add({ points: 1 }).commit(),
        employee.create({ id: 'a', team: 'red', name: 'A' }).commit({ response: 'all_old' }),
      ])
      .go()
    assert.equal(second.canceled, true)
    assert.deepEqual(second.data.map(({ rejected, code }) => [rejected, code]), [
      [false, 'None'],
      [true, 'ConditionalCheckFailed'],
    ])
    const { data } = await hr.transaction
      .get(({ employee, task }) => [employee.get({ id: 'a' }).commit(), task.get({ project: 'p', number: 1 }).commit()])
      .go()
    assert.deepEqual(data.map(({ item }) => item.points ?? item.name), ['A', 3])
  })
})
