// What the tests of JavaScript libraries share. scripts/libraries.py starts the server and says where it is in the AWS_…
// variables, which the AWS SDK reads as it would in any program.
'use strict'

const assert = require('node:assert/strict')
const { randomUUID } = require('node:crypto')
const {
  DeleteTableCommand,
  DescribeTimeToLiveCommand,
  DynamoDBClient,
  ResourceInUseException,
  ResourceNotFoundException,
} = require('@aws-sdk/client-dynamodb')
const { DynamoDBDocumentClient } = require('@aws-sdk/lib-dynamodb')

const client = new DynamoDBClient({ maxAttempts: 1 })
const documents = DynamoDBDocumentClient.from(client, { marshallOptions: { removeUndefinedValues: true } })

/** A table name that no other test uses; the table is removed after the test if it is still there. */
function tableName(t) {
  const name = `javascript-${randomUUID().slice(0, 13)}`
  t.after(async () => {
    try {
      await client.send(new DeleteTableCommand({ TableName: name }))
    } catch (error) {
      // The test removed it, or is about to.
      if (!(error instanceof ResourceNotFoundException || error instanceof ResourceInUseException)) throw error
    }
  })
  return name
}

/** Waits until `state` gives something true, and gives it; fails after the deadline. */
async function waitUntil(what, state, deadlineMs = 60_000) {
  const end = Date.now() + deadlineMs
  for (;;) {
    const seen = await state()
    if (seen) return seen
    if (Date.now() > end) throw new Error(`after ${deadlineMs} ms still not: ${what}`)
    await new Promise((wake) => setTimeout(wake, 50))
  }
}

/** Waits until items of a table expire, by which attribute. */
async function waitUntilItemsExpire(TableName, AttributeName) {
  await waitUntil(`items expire by ${AttributeName}`, async () => {
    const { TimeToLiveDescription } = await client.send(new DescribeTimeToLiveCommand({ TableName }))
    assert.equal(TimeToLiveDescription.AttributeName, AttributeName)
    return TimeToLiveDescription.TimeToLiveStatus === 'ENABLED'
  })
}

module.exports = { client, documents, tableName, waitUntil, waitUntilItemsExpire }
