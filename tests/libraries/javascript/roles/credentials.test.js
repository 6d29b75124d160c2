// The AWS SDK with no keys of its own: its default credential chain takes a role's session from STS. scripts/libraries.py says in
// the AWS_… variables where the server is and who the program is.
'use strict'

const assert = require('node:assert/strict')
const path = require('node:path')
const { describe, it } = require('node:test')
const { DynamoDBClient, GetItemCommand, PutItemCommand } = require('@aws-sdk/client-dynamodb')
const { GetCallerIdentityCommand, STSClient } = require('@aws-sdk/client-sts')

const { AWS_WEB_IDENTITY_TOKEN_FILE, GEODYNAMO_ASSUMED_ROLE } = process.env
const item = { pk: { S: '1' } }
const get = (TableName) => new GetItemCommand({ TableName, Key: item })

describe('the credential chain', () => {
  it('assumes the role', async () => {
    const { Arn } = await new STSClient().send(new GetCallerIdentityCommand())
    assert.equal(Arn, GEODYNAMO_ASSUMED_ROLE)
  })

  it('may read the table of the role, and nothing else', async () => {
    const client = new DynamoDBClient()
    const { Item } = await client.send(get('ours'))
    assert.deepEqual(Item, { ...item, v: { S: 'ours' } })
    const denied = { name: 'AccessDeniedException' }
    await assert.rejects(client.send(new PutItemCommand({ TableName: 'ours', Item: item })), denied)
    await assert.rejects(client.send(get('theirs')), denied)
  })

  it('has no session without a token of the provider', { skip: !AWS_WEB_IDENTITY_TOKEN_FILE }, async (t) => {
    process.env.AWS_WEB_IDENTITY_TOKEN_FILE = path.join(path.dirname(AWS_WEB_IDENTITY_TOKEN_FILE), 'forged')
    t.after(() => (process.env.AWS_WEB_IDENTITY_TOKEN_FILE = AWS_WEB_IDENTITY_TOKEN_FILE))
    await assert.rejects(new DynamoDBClient().send(get('ours')), { name: 'InvalidIdentityTokenException' })
  })
})
