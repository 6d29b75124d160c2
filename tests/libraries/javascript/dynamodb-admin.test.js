// dynamodb-admin, a web page over any DynamoDB, used as a person uses it: in a browser (Debian's Chromium, headless).
'use strict'

const assert = require('node:assert/strict')
const { spawn } = require('node:child_process')
const { after, before, describe, it } = require('node:test')
const { CreateTableCommand } = require('@aws-sdk/client-dynamodb')
const { GetCommand, PutCommand, ScanCommand } = require('@aws-sdk/lib-dynamodb')
const { chromium } = require('playwright-core')
const { client, documents, tableName, waitUntil } = require('./shared.js')

const item = (n) => ({ id: `item-${n}`, n, colour: ['red', 'green'][n % 2], deep: { list: [1, { two: true }] } })

/** A table of `items` items, with the index "by-colour". */
async function table(t, items) {
  const TableName = tableName(t)
  await client.send(
    new CreateTableCommand({
      TableName,
      BillingMode: 'PAY_PER_REQUEST',
      AttributeDefinitions: [
        { AttributeName: 'id', AttributeType: 'S' },
        { AttributeName: 'colour', AttributeType: 'S' },
      ],
      KeySchema: [{ AttributeName: 'id', KeyType: 'HASH' }],
      GlobalSecondaryIndexes: [
        { IndexName: 'by-colour', KeySchema: [{ AttributeName: 'colour', KeyType: 'HASH' }], Projection: { ProjectionType: 'ALL' } },
      ],
    }),
  )
  for (let n = 0; n < items; n++) await documents.send(new PutCommand({ TableName, Item: item(n) }))
  return TableName
}

describe('dynamodb-admin', () => {
  let admin, address, browser, page

  before(async () => {
    admin = spawn(process.execPath, [require.resolve('dynamodb-admin/dist/dynamodb-admin.js'), '--host', '127.0.0.1', '--port', '0'], {
      env: { ...process.env, DYNAMO_ENDPOINT: process.env.AWS_ENDPOINT_URL_DYNAMODB },
      stdio: ['ignore', 'pipe', 'inherit'],
    })
    address = await new Promise((resolve, reject) => {
      let said = ''
      admin.stdout.on('data', (bytes) => {
        said += bytes
        const found = /listening on (\S+)/.exec(said)
        if (found) resolve(found[1])
      })
      admin.on('exit', (code) => reject(new Error(`dynamodb-admin ended with ${code}: ${said}`)))
    })
    browser = await chromium.launch({ executablePath: '/usr/bin/chromium', args: ['--no-sandbox'] })
    page = await browser.newPage()
    page.setDefaultTimeout(30_000)
  })

  /**
   * Opens the list of tables; again if the page, which loads itself anew after what it did, came between, or if it is an
   * error: it describes every table that it was told of, and one of another suite's may be deleted in between.
   */
  async function listTables() {
    await waitUntil('the list of tables', async () => {
      try {
        // Nothing, where the page's own navigation to the same address was taken for this one.
        return (await page.goto(address))?.status() < 400
      } catch (error) {
        if (!/interrupted by another navigation|ERR_ABORTED/.test(error.message)) throw error
      }
    })
  }

  after(async () => {
    await browser?.close()
    admin?.kill()
  })

  it('lists tables, shows items, edits, adds and deletes an item', async (t) => {
    const TableName = await table(t, 40)
    await listTables()
    await page.getByRole('link', { name: TableName, exact: true }).click()
    const rows = page.locator('#items-container tr')
    await rows.first().waitFor()
    assert.equal(await rows.count(), 25)
    await page.getByRole('link', { name: 'Next Page' }).click()
    await page.getByText('Page 2').waitFor()
    await rows.first().waitFor()
    assert.equal(await rows.count(), 15)

    // A search through the index.
    await page.locator('select[name=queryableSelection]').selectOption('by-colour')
    await page.locator('select[name=operationType]').selectOption('query')
    await page.locator('#filters-table tr').filter({ has: page.locator('[required]') }).locator('.filter-row-value').fill('green')
    await page.getByRole('button', { name: 'Search' }).click()
    await rows.first().waitFor()
    assert.equal(await rows.count(), 20)

    // An edit, as the page's Save button does it.
    await page.goto(`${address}/tables/${TableName}/items/item-7`)
    await page.locator('.ace_content').waitFor()
    const shown = JSON.parse(await page.evaluate('editor.getValue()'))
    assert.deepEqual(shown, item(7))
    await page.evaluate(`editor.setValue(${JSON.stringify(JSON.stringify({ ...item(7), n: 70, added: ['x'] }))})`)
    await page.getByRole('button', { name: 'Save' }).click()
    await page.locator('#saveButton.btn-success').waitFor()
    const read = async (id) => (await documents.send(new GetCommand({ TableName, Key: { id }, ConsistentRead: true }))).Item
    assert.deepEqual(await read('item-7'), { ...item(7), n: 70, added: ['x'] })

    await page.goto(`${address}/tables/${TableName}/add-item`)
    await page.locator('.ace_content').waitFor()
    await page.evaluate(`editor.setValue('{"id": "new", "n": -1.5}')`)
    await page.getByRole('button', { name: 'Save' }).click()
    await page.waitForURL('**/items/new')
    assert.deepEqual(await read('new'), { id: 'new', n: -1.5 })
    await page.getByRole('button', { name: 'Delete' }).click()
    await page.waitForURL(`**/tables/${TableName}`)
    assert.equal(await read('new'), undefined)
  })

  it('shows, purges and deletes a table', async (t) => {
    const TableName = await table(t, 3)
    await page.goto(`${address}/tables/${TableName}/meta`)
    await page.locator('.ace_content').waitFor()
    assert.match(await page.evaluate('editor.getValue()'), /"IndexName": "by-colour"/)
    await page.goto(`${address}/tables/${TableName}/ttl`)
    await page.getByText('DISABLED', { exact: true }).waitFor()
    page.on('dialog', (dialog) => dialog.accept())
    const row = page.locator(`[data-table-name="${TableName}"]`)
    await listTables()
    await row.getByText('Purge').click()
    await waitUntil('the table is empty', async () => (await documents.send(new ScanCommand({ TableName }))).Count === 0)
    await listTables()
    await row.getByText('Delete').click()
    await waitUntil('the table is gone', async () => {
      await listTables()
      return (await row.count()) === 0
    })
  })

  it('passes on what DynamoDB says of its form for new tables', async () => {
    // The form sends capacities as strings (dynamodb-admin's issue 518), which DynamoDB refuses.
    await listTables()
    await page.getByRole('link', { name: 'Create table' }).click()
    await page.locator('#TableName').fill('made-by-the-form')
    await page.locator('#HashAttributeName').fill('id')
    await page.getByRole('button', { name: 'Submit' }).click()
    await page.getByText('STRING_VALUE cannot be converted to Long').waitFor()
  })
})
