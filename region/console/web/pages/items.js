// Items: queries, scans and PartiQL, their results in a grid.

import { condition, KEY_OPERATORS, OPERATORS, Placeholders } from '../expressions.js'
import * as session from '../session.js'
import { sameElsewhere } from '../snippets.js'
import { badge, button, card, check, count, download, failure, field, fill, grid, h, input, note, select, some, tabs } from '../ui.js'
import { of, preview, simple, typed, TYPES, typeOf } from '../values.js'
import { editItem, newItem } from './editor.js'
import { indexesOf, keyText, noTables, openByName, tableNames } from './tables.js'

/** The height of a row of results, in pixels; the style sheet has it, too. */
const ROW_PX = 34
/** Columns that the grid shows; an item's others are in its editor. */
const COLUMNS_MAX = 40
/** Results that are kept, in number and in characters of their JSON; past either, the earliest pages go. */
const KEPT_MAX = 50_000
const KEPT_CHARS_MAX = 64_000_000

export async function render(main, context) {
  const name = context.parts[0]
  if (!name) {
    await choose(main)
    return
  }
  context.title(name)
  const { Table: table } = await session.call('DescribeTable', { TableName: name }, { signal: context.signal })
  const keys = table.KeySchema.map(({ AttributeName }) => AttributeName)
  const results = new Results(table, keys)
  const views = [
    ['Query', () => builder(table, results, true)],
    ['Scan', () => builder(table, results, false)],
    ['PartiQL', () => partiql(table, results)],
  ]
  const create = button('Create item', () => newItem(table, () => results.again()), { tone: 'primary' })
  fill(
    main,
    h('div.row.spread', h('a', { href: `#/tables/${encodeURIComponent(name)}` }, '← The table'), create),
    h('section.card', tabs(views, { label: 'How to find items', chosen: context.search.get('view') === 'query' ? 0 : 1 })),
    results.element,
  )
}

async function choose(main) {
  try {
    const names = await tableNames()
    fill(
      main,
      card(
        'Which table?',
        grid([{ title: 'Table', cell: (name) => h('a', { href: `#/items/${encodeURIComponent(name)}` }, name) }], names, { empty: noTables(), label: 'Tables' }),
      ),
    )
  } catch (error) {
    fill(main, card('Which table?', failure(error), openByName('items')))
  }
}

/** The latest pages of items. A browser that held all of a large table would end: what has to go is the earliest, whole pages of it. */
export class Pages {
  constructor(itemsMax = KEPT_MAX, charsMax = KEPT_CHARS_MAX) {
    this.itemsMax = itemsMax
    this.charsMax = charsMax
    this.pages = []
    this.items = []
    /** How many items went. */
    this.gone = 0
  }

  add(items) {
    this.pages.push({ items, chars: JSON.stringify(items).length })
    const sum = (of) => this.pages.reduce((all, page) => all + of(page), 0)
    // The page that was asked for stays, whatever its size: an answer has 1 MB at most.
    while (this.pages.length > 1 && (sum((page) => page.items.length) > this.itemsMax || sum((page) => page.chars) > this.charsMax)) {
      this.gone += this.pages.shift().items.length
    }
    this.items = this.pages.flatMap((page) => page.items)
  }
}

/** What a query, a scan or a statement found. */
class Results {
  constructor(table, keys) {
    this.table = table
    this.keys = keys
    this.element = h('section.stack', { 'aria-label': 'Results' })
    this.kept = new Pages()
    this.step = null
  }

  /** Begins anew. `step(next)` asks for a page: { items, next, scanned, units }. */
  async run(step) {
    this.step = step
    this.kept = new Pages()
    this.next = undefined
    this.scanned = 0
    this.units = 0
    await this.more()
  }

  async again() {
    if (this.step) await this.run(this.step)
  }

  async more() {
    fill(this.element, h('p.empty', { 'aria-busy': 'true' }, 'Looking …'))
    try {
      const page = await this.step(this.next)
      this.kept.add(page.items)
      this.next = page.next
      this.scanned += page.scanned ?? 0
      this.units += page.units ?? 0
      this.draw()
    } catch (error) {
      fill(this.element, failure(error))
    }
  }

  get items() {
    return this.kept.items
  }

  columns() {
    const seen = new Map()
    for (const item of this.items) for (const name of Object.keys(item)) seen.set(name, (seen.get(name) ?? 0) + 1)
    const others = [...seen].filter(([name]) => !this.keys.includes(name)).sort((a, b) => b[1] - a[1])
    return [...this.keys.filter((name) => seen.has(name)), ...others.map(([name]) => name)]
  }

  draw() {
    const columns = this.columns()
    const shown = columns.slice(0, COLUMNS_MAX)
    const summary = [
      some(this.items.length, 'item'),
      this.kept.gone > 0 ? `${count(this.kept.gone)} before them are not kept` : null,
      this.scanned > this.items.length ? `${count(this.scanned)} looked at` : null,
      this.units > 0 ? `${this.units} read units` : null,
      columns.length > shown.length ? `${columns.length - shown.length} more attributes are in the items` : null,
    ].filter(Boolean)
    const name = this.table.TableName
    const csv = () => download(`${name}.csv`, 'text/csv', asCsv(columns, this.items))
    const json = () => download(`${name}.json`, 'application/json', JSON.stringify(this.items, null, 1))
    const open = (item) => editItem(this.table, item, () => this.again())
    fill(
      this.element,
      h(
        'div.row.spread',
        h('div.row', { role: 'status' }, summary.join(' · ')),
        h(
          'div.row',
          this.next ? button('Next page', () => this.more(), { tone: 'primary' }) : this.items.length > 0 ? badge('all of it') : null,
          button('CSV', csv, { disabled: this.items.length === 0, title: 'Texts that a spreadsheet would take for formulas get an apostrophe' }),
          button('JSON', json, { disabled: this.items.length === 0 }),
        ),
      ),
      this.items.length === 0 ? h('p.empty', this.next ? 'Nothing on this page matches; there are more pages.' : this.scanned > 0 ? 'No items match: the filters let none through.' : 'Nothing is there.') : virtual(shown, this.items, this.keys, open),
    )
  }
}

/** A table of which only the rows in sight are there. */
function virtual(columns, items, keys, open) {
  const body = h('tbody')
  const head = h('tr', columns.map((name) => h('th', { scope: 'col' }, name, keys.includes(name) ? h('span.type', 'key') : null)))
  const spacer = (rows) => {
    const cell = h('td', { colspan: columns.length })
    cell.style.height = `${rows * ROW_PX}px`
    return h('tr.spacer', { 'aria-hidden': 'true' }, cell)
  }
  const frame = h('div.scroll.grid', { tabindex: '0', role: 'region', 'aria-label': 'Items' }, h('table', { 'aria-rowcount': items.length + 1 }, h('thead', head), body))
  frame.style.height = `min(62vh, ${Math.min(items.length, 400) * ROW_PX + 56}px)`
  let from = -1
  const draw = () => {
    const inSight = Math.ceil((frame.clientHeight || 600) / ROW_PX)
    // By steps, so that scrolling a little draws nothing.
    const first = Math.max(0, Math.floor(frame.scrollTop / ROW_PX / 10) * 10 - 10)
    if (first === from) return
    from = first
    const until = Math.min(items.length, first + inSight + 30)
    const rows = []
    if (first > 0) rows.push(spacer(first))
    for (let at = first; at < until; at++) rows.push(row(columns, items[at], at, open))
    if (until < items.length) rows.push(spacer(items.length - until))
    fill(body, rows)
  }
  frame.addEventListener('scroll', draw, { passive: true })
  new ResizeObserver(() => ((from = -1), draw())).observe(frame)
  draw()
  return frame
}

function row(columns, item, at, open) {
  const act = () => open(item)
  return h(
    'tr',
    { 'aria-rowindex': at + 2, onclick: () => act().catch((error) => note(error.message, 'bad')) },
    columns.map((name, i) => {
      const value = of(item, name)
      if (!value) return h('td')
      const type = typeOf(value)
      const shown = [preview(value), type === 'S' ? null : h('span.type', { title: TYPES[type] }, type)]
      return i === 0 ? h('td', button(shown, act, { tone: 'plain' })) : h('td', shown)
    }),
  )
}

/** As RFC 4180 has it. */
function asCsv(columns, items) {
  const cell = (value) => {
    if (value === undefined) return ''
    const type = typeOf(value)
    let text = type === 'S' || type === 'N' || type === 'B' ? value[type] : JSON.stringify(simple(value))
    if (type === 'S' && /^[=+\-@\t\r]/.test(text)) text = `'${text}`
    return /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text
  }
  const header = columns.map((name) => cell({ S: name })).join(',')
  return [header, ...items.map((item) => columns.map((name) => cell(of(item, name))).join(','))].join('\r\n')
}

/** The form that makes a query or a scan. */
function builder(table, results, isQuery) {
  const indexes = indexesOf(table)
  const from = select(
    [['', `Table (${keyText(table)})`], ...indexes.map((index) => [index.IndexName, `${index.IndexName} (${keyText(table, index.KeySchema)})`])],
    '',
  )
  const keyBox = h('div.stack')
  const filters = h('div')
  const descending = check('Descending')
  const consistent = check('Consistent read')
  const limit = h('input', { type: 'number', min: 1, max: 10000, value: 100 })
  const wantedNames = input({ placeholder: 'all' })
  let keyRows = []
  const drawKeys = () => {
    const schema = from.value === '' ? table.KeySchema : indexes.find(({ IndexName }) => IndexName === from.value).KeySchema
    consistent.box.disabled = (table.GlobalSecondaryIndexes ?? []).some(({ IndexName }) => IndexName === from.value)
    if (consistent.box.disabled) consistent.box.checked = false
    keyRows = isQuery ? schema.map((key) => keyRow(table, key)) : []
    fill(keyBox, keyRows.map(({ element }) => element))
  }
  from.addEventListener('change', drawKeys)
  drawKeys()
  const rows = []
  const addFilter = button('Add a filter', () => {
    const made = filterRow(() => {
      rows.splice(rows.indexOf(made), 1)
      made.element.remove()
    })
    rows.push(made)
    filters.append(made.element)
    made.element.querySelector('input').focus()
  })
  const request = () => {
    const placeholders = new Placeholders()
    const made = { TableName: table.TableName }
    if (from.value) made.IndexName = from.value
    const keys = keyRows.map(({ read }) => read()).filter(Boolean)
    if (isQuery) {
      if (keys.length === 0) throw new Error('A query needs the partition key’s value.')
      made.KeyConditionExpression = keys.map((key) => condition(placeholders, key, true)).join(' AND ')
    }
    const wanted = rows.map(({ read }) => read()).filter(Boolean)
    if (wanted.length > 0) made.FilterExpression = wanted.map((each) => condition(placeholders, each)).join(' AND ')
    const attributes = wantedNames.value.split(',').map((each) => each.trim()).filter(Boolean)
    if (attributes.length > 0) made.ProjectionExpression = attributes.map((each) => placeholders.path(each)).join(', ')
    placeholders.into(made)
    if (isQuery && descending.box.checked) made.ScanIndexForward = false
    if (consistent.box.checked) made.ConsistentRead = true
    if (limit.value) made.Limit = Number(limit.value)
    return [isQuery ? 'Query' : 'Scan', made]
  }
  const failed = h('div')
  const run = async () => {
    fill(failed)
    let made
    try {
      made = request()
    } catch (error) {
      fill(failed, failure(error))
      return
    }
    const [operation, input] = made
    await results.run(async (next) => {
      const answer = await session.call(operation, { ...input, ReturnConsumedCapacity: 'TOTAL', ...(next ? { ExclusiveStartKey: next } : {}) })
      return { items: answer.Items, next: answer.LastEvaluatedKey, scanned: answer.ScannedCount, units: answer.ConsumedCapacity?.CapacityUnits }
    })
  }
  const code = sameElsewhere(request)
  const form = h(
    'form.stack',
    { onsubmit: (event) => (event.preventDefault(), run()), oninput: () => code.refresh() },
    h('div.fields', field(isQuery ? 'Query' : 'Scan', from), field('Items a page', limit), field('Only these attributes', wantedNames, 'Separated by commas; empty for all')),
    keyBox,
    filters,
    h('div.row', addFilter, isQuery ? descending : null, consistent, h('button.button.primary', { type: 'submit' }, 'Run')),
    failed,
    code,
  )
  return form
}

function keyRow(table, { AttributeName: attribute, KeyType: kind }) {
  const type = table.AttributeDefinitions.find((each) => each.AttributeName === attribute)?.AttributeType ?? 'S'
  const operator = kind === 'HASH' ? null : select(KEY_OPERATORS.map(([sign, text]) => [sign, text]), '=', { 'aria-label': `Comparison of ${attribute}` })
  const first = input({ 'aria-label': attribute, placeholder: kind === 'HASH' ? 'value' : 'any' })
  const second = input({ 'aria-label': `${attribute}, upper end`, placeholder: 'and' })
  second.hidden = true
  operator?.addEventListener('change', () => (second.hidden = operator.value !== 'between'))
  const element = h('div.row', h('strong', attribute), h('span.type.mono', type), operator ?? h('span', '='), first, second)
  const read = () => {
    if (first.value === '') return undefined
    const values = [typed(type, first.value)]
    if (operator?.value === 'between') values.push(typed(type, second.value))
    return { attribute, operator: operator?.value ?? '=', values }
  }
  return { element, read }
}

function filterRow(gone) {
  const attribute = input({ placeholder: 'attribute', 'aria-label': 'Attribute' })
  const operator = select(OPERATORS.map(([sign, text]) => [sign, text]), '=', { 'aria-label': 'Comparison' })
  const type = select(['S', 'N', 'B', 'BOOL', 'NULL', 'SS', 'NS', 'BS', 'L', 'M'], 'S', { 'aria-label': 'Type', title: 'Sets: values separated by commas. Lists and maps: DynamoDB JSON, such as [{"S": "a"}]' })
  const first = input({ placeholder: 'value', 'aria-label': 'Value' })
  const second = input({ placeholder: 'and', 'aria-label': 'Upper end' })
  const values = h('div.row', first, second)
  const draw = () => {
    const takes = OPERATORS.find(([sign]) => sign === operator.value)[2]
    type.hidden = takes === 0
    first.hidden = takes === 0
    second.hidden = takes < 2
  }
  operator.addEventListener('change', draw)
  draw()
  const element = h('div.condition', attribute, operator, type, values, button('✕', gone, { tone: 'plain', label: 'Take the filter away' }))
  const read = () => {
    if (attribute.value.trim() === '') return undefined
    const takes = OPERATORS.find(([sign]) => sign === operator.value)[2]
    const given = [first, second].slice(0, takes).map((each) => typed(type.value, /^[SNB]S$/.test(type.value) ? each.value.split(',').map((part) => part.trim()).join('\n') : each.value))
    return { attribute: attribute.value.trim(), operator: operator.value, values: given }
  }
  return { element, read }
}

/** PartiQL, with its results. */
function partiql(table, results) {
  const text = h('textarea.code', { rows: 4, spellcheck: 'false' })
  text.value = `SELECT * FROM "${table.TableName}"`
  const limit = h('input', { type: 'number', min: 1, max: 10000, value: 100 })
  const request = () => {
    const made = { Statement: text.value }
    // Only what reads has pages.
    if (/^\s*select\b/i.test(text.value) && limit.value) made.Limit = Number(limit.value)
    return ['ExecuteStatement', made]
  }
  const run = () =>
    results.run(async (next) => {
      const [operation, input] = request()
      const answer = await session.call(operation, { ...input, ReturnConsumedCapacity: 'TOTAL', ...(next ? { NextToken: next } : {}) })
      return { items: answer.Items ?? [], next: answer.NextToken, units: answer.ConsumedCapacity?.CapacityUnits }
    })
  const code = sameElsewhere(request)
  text.addEventListener('keydown', (event) => {
    if (event.key === 'Enter' && (event.ctrlKey || event.metaKey)) run()
  })
  return h(
    'form.stack',
    { onsubmit: (event) => (event.preventDefault(), run()), oninput: () => code.refresh() },
    field('Statement', text, 'Ctrl+Enter runs it'),
    h('div.row.end', field('Items a page', limit), h('button.button.primary', { type: 'submit' }, 'Run')),
    code,
  )
}
