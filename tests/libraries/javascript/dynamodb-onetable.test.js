// dynamodb-onetable: a schema of models in one table; unique attributes by transactions.
'use strict'

const assert = require('node:assert/strict')
const { describe, it } = require('node:test')
const { DescribeTableCommand } = require('@aws-sdk/client-dynamodb')
const { Table } = require('dynamodb-onetable')
const { client, tableName, waitUntil, waitUntilItemsExpire } = require('./shared.js')

const schema = {
  format: 'onetable:1.1.0',
  version: '0.0.1',
  indexes: {
    primary: { hash: 'pk', sort: 'sk' },
    gs1: { hash: 'gs1pk', sort: 'gs1sk', follow: true },
    ls1: { type: 'local', sort: 'name', project: 'keys' },
  },
  models: {
    Account: {
      pk: { type: String, value: 'account:${id}' },
      sk: { type: String, value: 'account:' },
      id: { type: String, required: true },
      name: { type: String, required: true },
      balance: { type: Number, default: 0 },
      founded: { type: Date },
      address: { type: Object, schema: { city: { type: String }, zip: { type: String } } },
      roles: { type: Array },
    },
    User: {
      pk: { type: String, value: 'account:${account}' },
      sk: { type: String, value: 'user:${email}' },
      gs1pk: { type: String, value: 'user-email:${email}' },
      gs1sk: { type: String, value: 'user:' },
      account: { type: String, required: true },
      email: { type: String, required: true },
      age: { type: Number },
      tags: { type: Set },
    },
    Login: {
      pk: { type: String, value: 'login:${name}' },
      sk: { type: String, value: 'login:' },
      name: { type: String, required: true },
      handle: { type: String, unique: true, required: true },
      expires: { type: Date, ttl: true },
    },
  },
  params: { isoDates: true, timestamps: true },
}

async function table(t, more = {}) {
  const table = new Table({ name: tableName(t), client, schema, partial: true, logger: () => {} })
  assert.equal(await table.exists(), false)
  await table.createTable({ wait: 60, ...more })
  assert.equal(await table.exists(), true)
  return table
}

describe('dynamodb-onetable', () => {
  it('creates, gets, updates, upserts and removes', async (t) => {
    const Account = (await table(t)).getModel('Account')
    const founded = new Date('1999-12-31T00:00:00Z')
    await Account.create({ id: 'a', name: 'Acme', founded, address: { city: 'Paris', zip: '75000' }, roles: ['x'] })
    const acme = await Account.get({ id: 'a' })
    assert.deepEqual([acme.name, acme.balance, acme.founded, acme.address], ['Acme', 0, founded, { city: 'Paris', zip: '75000' }])
    assert.ok(acme.created instanceof Date)
    await assert.rejects(Account.create({ id: 'a', name: 'Again' }), { code: 'ConditionalCheckFailedException' })
    await assert.rejects(Account.update({ id: 'none', name: 'x' }), { code: 'ConditionalCheckFailedException' })

    const changed = await Account.update(
      { id: 'a', address: { city: 'Lyon' } },
      { add: { balance: 10.5 }, push: { roles: ['y'] }, remove: ['founded'], where: '${balance} < {5}' },
    )
    assert.deepEqual([changed.balance, changed.address, changed.roles, changed.founded], [
      10.5,
      { city: 'Lyon', zip: '75000' },
      ['x', 'y'],
      undefined,
    ])
    await assert.rejects(Account.update({ id: 'a' }, { add: { balance: 1 }, where: '${balance} < {5}' }))
    await Account.upsert({ id: 'b', name: 'Born' })
    assert.equal((await Account.scan()).length, 2)
    const removed = await Account.remove({ id: 'a' }, { return: 'ALL_OLD' })
    assert.equal(removed.balance, 10.5)
    assert.equal(await Account.get({ id: 'a' }), undefined)
  })

  it('finds by key, by index, by condition, page by page, and in batches', async (t) => {
    const one = await table(t)
    const [Account, User] = [one.getModel('Account'), one.getModel('User')]
    const batch = {}
    await Account.create({ id: 'a', name: 'Acme' }, { batch })
    for (let n = 0; n < 20; n++) {
      const email = `u${String(n).padStart(2, '0')}@x`
      await User.create({ account: 'a', email, age: 20 + n, tags: new Set(['t', `t${n % 2}`]) }, { batch })
    }
    await one.batchWrite(batch)
    assert.equal((await User.find({ account: 'a' })).length, 20)
    const old = await User.find({ account: 'a' }, { where: '(${age} >= {35}) and contains(${tags}, {t1})' })
    assert.deepEqual(old.map(({ age }) => age), [35, 37, 39])
    const some = await User.find({ account: 'a', sk: { begins_with: 'user:u1' } }, { reverse: true, limit: 4 })
    assert.deepEqual(some.map(({ email }) => email), ['u19@x', 'u18@x', 'u17@x', 'u16@x'])
    const more = await User.find({ account: 'a', sk: { begins_with: 'user:u1' } }, { reverse: true, next: some.next })
    assert.equal(more.length, 6)
    assert.deepEqual((await User.get({ email: 'u07@x' }, { index: 'gs1', follow: true })).tags, new Set(['t', 't1']))
    assert.equal((await User.find({ account: 'a' }, { count: true })).count, 20)
    const all = await one.fetch(['Account', 'User'], { pk: 'account:a' })
    assert.deepEqual([all.Account.length, all.User.length], [1, 20])
    const gets = {}
    for (const n of [3, 4]) await User.get({ account: 'a', email: `u0${n}@x` }, { batch: gets })
    assert.deepEqual((await one.batchGet(gets, { parse: true, hidden: false })).map(({ age }) => age).sort(), [23, 24])
    await User.remove({ account: 'a' }, { many: true })
    assert.equal((await User.find({ account: 'a' })).length, 0)
  })

  it('writes transactions and keeps attributes unique', async (t) => {
    const one = await table(t)
    const [Account, Login] = [one.getModel('Account'), one.getModel('Login')]
    const transaction = {}
    await Account.create({ id: 'a', name: 'A' }, { transaction })
    await Account.create({ id: 'b', name: 'B' }, { transaction })
    await one.transact('write', transaction)
    const reads = {}
    for (const id of ['a', 'b']) await Account.get({ id }, { transaction: reads })
    assert.deepEqual((await one.transact('get', reads, { parse: true, hidden: false })).map(({ name }) => name), ['A', 'B'])

    await Login.create({ name: 'ada', handle: 'countess' })
    await assert.rejects(Login.create({ name: 'bob', handle: 'countess' }), { code: 'UniqueError' })
    assert.equal(await Login.get({ name: 'bob' }), undefined)
    await Login.update({ name: 'ada', handle: 'lovelace' })
    await Login.create({ name: 'bob', handle: 'countess' })
    await Login.remove({ name: 'ada' })
    await Login.create({ name: 'carl', handle: 'lovelace' })
    assert.deepEqual((await Login.scan()).map(({ name }) => name).sort(), ['bob', 'carl'])
  })

  it('changes the table: time to live, an index less, the index again', async (t) => {
    const one = await table(t, { TimeToLiveSpecification: { AttributeName: 'expires', Enabled: true } })
    const TableName = one.name
    await waitUntilItemsExpire(TableName, 'expires')
    const expires = new Date(Math.ceil(Date.now() / 1000 + 3600) * 1000)
    await one.getModel('Login').create({ name: 'ada', handle: 'h', expires })
    assert.deepEqual((await one.getModel('Login').get({ name: 'ada' })).expires, expires)

    const indexes = async () => (await client.send(new DescribeTableCommand({ TableName }))).Table.GlobalSecondaryIndexes ?? []
    await one.updateTable({ remove: { name: 'gs1' } })
    await waitUntil('the index is gone', async () => (await indexes()).length === 0)
    const User = one.getModel('User')
    await User.create({ account: 'a', email: 'u@x' })
    await one.updateTable({ create: { name: 'gs1', hash: 'gs1pk', sort: 'gs1sk' } })
    await waitUntil('the index is there', async () => (await indexes())[0]?.IndexStatus === 'ACTIVE')
    assert.equal((await User.find({ email: 'u@x' }, { index: 'gs1' })).length, 1)
    await one.deleteTable('DeleteTableForever')
    await waitUntil('the table is gone', async () => !(await one.exists()))
  })
})
