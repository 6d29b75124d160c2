// One item: as a form and as DynamoDB JSON. What is saved holds only if the item is still what was loaded.

import { Placeholders, unchanged } from '../expressions.js'
import * as session from '../session.js'
import { sameElsewhere } from '../snippets.js'
import { button, bytes, copy, dialog, failure, field, fill, h, input, note, select, tabs } from '../ui.js'
import { of, parseItem, same, sizeOf, typed, TYPES, typeOf, untyped } from '../values.js'

/** Attributes that a condition names at most: an expression has 4 KB. */
const COMPARED_MAX = 150

/** Opens an item that was found; it is read anew, whole. */
export async function editItem(table, found, done) {
  const key = keyOf(table, found)
  const missing = table.KeySchema.some(({ AttributeName }) => !of(found, AttributeName))
  if (missing) throw new Error('This row has not the whole key, so its item cannot be opened.')
  const { Item: item } = await session.call('GetItem', { TableName: table.TableName, Key: key, ConsistentRead: true })
  if (!item) throw new Error('The item is not there any more.')
  open(table, item, item, done)
}

/** Opens a new item with the table's keys. */
export function newItem(table, done) {
  const item = {}
  for (const { AttributeName } of table.KeySchema) {
    const type = table.AttributeDefinitions.find((each) => each.AttributeName === AttributeName).AttributeType
    item[AttributeName] = { [type]: '' }
  }
  open(table, null, item, done)
}

function keyOf(table, item) {
  return Object.fromEntries(table.KeySchema.map(({ AttributeName }) => [AttributeName, item[AttributeName]]))
}

/** The request that makes what was loaded into what is wanted. */
export function saving(table, loaded, wanted) {
  const TableName = table.TableName
  const placeholders = new Placeholders()
  if (!loaded) {
    const first = placeholders.name(table.KeySchema[0].AttributeName)
    return ['PutItem', placeholders.into({ TableName, Item: wanted, ConditionExpression: `attribute_not_exists(${first})` })]
  }
  const key = keyOf(table, loaded)
  if (!same(key, keyOf(table, wanted))) throw new Error('A key cannot be changed. Save it as a new item and delete this one.')
  const keys = Object.keys(key)
  const added = Object.keys(wanted).filter((name) => !Object.hasOwn(loaded, name))
  const changed = Object.keys(wanted).filter((name) => Object.hasOwn(loaded, name) && !keys.includes(name) && !same(wanted[name], loaded[name]))
  const removed = Object.keys(loaded).filter((name) => !Object.hasOwn(wanted, name))
  if (added.length + changed.length + removed.length === 0) throw new Error('Nothing is changed.')
  const set = [...added, ...changed].map((name) => `${placeholders.name(name)} = ${placeholders.value(wanted[name])}`)
  const parts = []
  if (set.length > 0) parts.push(`SET ${set.join(', ')}`)
  if (removed.length > 0) parts.push(`REMOVE ${removed.map((name) => placeholders.name(name)).join(', ')}`)
  return [
    'UpdateItem',
    placeholders.into({
      TableName,
      Key: key,
      UpdateExpression: parts.join(' '),
      ConditionExpression: unchanged(placeholders, compared(loaded, [...changed, ...removed], keys), added),
    }),
  ]
}

/** The request that deletes what was loaded. */
function deleting(table, loaded) {
  const placeholders = new Placeholders()
  const key = keyOf(table, loaded)
  const ConditionExpression = unchanged(placeholders, compared(loaded, [], Object.keys(key)), [])
  return ['DeleteItem', placeholders.into({ TableName: table.TableName, Key: key, ConditionExpression })]
}

/** What of a loaded item a condition names: its key, what is touched, and of the rest as much as an expression takes. */
function compared(loaded, touched, keys) {
  const names = [...keys, ...touched, ...Object.keys(loaded)]
  const chosen = [...new Set(names)].slice(0, Math.max(COMPARED_MAX, keys.length + touched.length))
  return Object.fromEntries(chosen.map((name) => [name, loaded[name]]))
}

function open(table, loadedAtFirst, item, done) {
  let loaded = loadedAtFirst
  let draft = item
  dialog(
    loaded ? 'Item' : 'New item',
    (close) => {
      const failed = h('div')
      const size = h('span.muted')
      let read = () => draft
      const take = () => {
        draft = read()
        fill(size, `${bytes(sizeOf(draft))} of 400 KB`)
        return draft
      }
      const body = h('div')
      const draw = () => {
        fill(
          body,
          tabs(
            [
              ['Form', () => view((now) => formView(table, now, Boolean(loaded)))],
              ['DynamoDB JSON', () => view(textView)],
            ],
            { label: 'How the item is shown' },
          ),
        )
      }
      // What was typed goes along from one view to the other; what is no item has to be mended first.
      const view = (next) => {
        try {
          take()
        } catch (error) {
          fill(failed, failure(error))
          return null
        }
        const made = next(draft)
        read = made.read
        return made.element
      }
      draw()
      const send = async ([operation, request], said) => {
        try {
          await session.call(operation, { ...request, ReturnValuesOnConditionCheckFailure: 'ALL_OLD' })
          note(said)
          close()
          await done?.()
        } catch (error) {
          if (error.kind === 'ConditionalCheckFailedException') conflict(error.more.Item)
          else fill(failed, failure(error))
          failed.scrollIntoView({ block: 'nearest' })
        }
      }
      const conflict = (now) => {
        if (!loaded) {
          fill(failed, failure({ message: 'There is an item with this key already.' }))
          return
        }
        const reload = () => {
          if (!now) {
            close()
            return done?.()
          }
          loaded = now
          draft = now
          read = () => draft
          fill(failed)
          draw()
        }
        fill(
          failed,
          h(
            'div.failure',
            { role: 'alert' },
            h('strong', now ? 'Somebody changed this item since you loaded it. ' : 'Somebody deleted this item since you loaded it. '),
            'Nothing was saved.',
          ),
          now ? compare(loaded, now) : null,
          h(
            'div.row',
            button('Take theirs', reload),
            now ? button('Save mine over theirs', () => ((loaded = now), save()), { tone: 'danger' }) : null,
          ),
        )
      }
      const save = async () => {
        fill(failed)
        let made
        try {
          made = saving(table, loaded, take())
        } catch (error) {
          fill(failed, failure(error))
          return
        }
        await send(made, 'Saved')
      }
      const remove = () => send(deleting(table, loaded), 'Deleted')
      const saveAs = async () => {
        fill(failed)
        try {
          const made = saving(table, null, take())
          await session.call(...made)
          note('Saved')
          close()
          await done?.()
        } catch (error) {
          fill(failed, error.kind === 'ConditionalCheckFailedException' ? failure({ message: 'There is an item with this key already.' }) : failure(error))
        }
      }
      take()
      return [
        body,
        size,
        failed,
        sameElsewhere(() => {
          const wanted = read()
          if (!loaded) return saving(table, null, wanted)
          return same(wanted, loaded) ? ['GetItem', { TableName: table.TableName, Key: keyOf(table, loaded), ConsistentRead: true }] : saving(table, loaded, wanted)
        }),
        h(
          'div.actions',
          loaded ? armed('Delete', remove) : null,
          button('Copy JSON', () => copy(JSON.stringify(read(), null, 2))),
          loaded ? button('Save as new', saveAs) : null,
          button('Cancel', close),
          button('Save', save, { tone: 'primary' }),
        ),
      ]
    },
    { wide: true },
  )
}

/** A button that has to be pressed twice. */
function armed(text, act) {
  let ready = false
  const element = button(
    text,
    async () => {
      if (ready) return act()
      ready = true
      fill(element, `${text}? Press again`)
      setTimeout(() => {
        ready = false
        fill(element, text)
      }, 4000)
    },
    { tone: 'danger' },
  )
  return element
}

function textView(item) {
  const text = h('textarea.code', { rows: 18, spellcheck: 'false' })
  text.value = JSON.stringify(item, null, 2)
  return { element: field('The whole item', text), read: () => parseItem(text.value) }
}

function formView(table, item, isLoaded) {
  const keys = table.KeySchema.map(({ AttributeName }) => AttributeName)
  const rows = []
  const list = h('div')
  const addRow = (name, value) => {
    const row = attributeRow(name, value, {
      isKey: keys.includes(name),
      isLoaded,
      gone: () => {
        rows.splice(rows.indexOf(row), 1)
        row.element.remove()
      },
    })
    rows.push(row)
    list.append(row.element)
    return row
  }
  for (const name of [...keys, ...Object.keys(item).filter((each) => !keys.includes(each))]) addRow(name, item[name])
  const more = button('Add an attribute', () => addRow('', { S: '' }).focus())
  const read = () => {
    const made = new Map()
    for (const row of rows) {
      const [name, value] = row.read()
      if (name === '') throw new Error('An attribute has no name.')
      if (made.has(name)) throw new Error(`There are two attributes called ${name}.`)
      made.set(name, value)
    }
    return Object.fromEntries(made)
  }
  return { element: h('div.stack', list, more), read }
}

function attributeRow(name, value, { isKey, isLoaded, gone }) {
  const title = input({ value: name, 'aria-label': 'Name', disabled: isKey, placeholder: 'name' })
  const type = select(Object.entries(TYPES), typeOf(value), { 'aria-label': `Type of ${name || 'the attribute'}`, disabled: isKey })
  const holder = h('div')
  let control
  const draw = (from) => {
    control = controlFor(type.value, from, `Value of ${name || 'the attribute'}`, isKey && isLoaded)
    fill(holder, control)
  }
  draw(untyped(value))
  type.addEventListener('change', () => draw({ M: '{}', L: '[]', BOOL: 'false' }[type.value] ?? (typeof control?.value === 'string' ? control.value : '')))
  const read = () => {
    try {
      return [title.value, typed(type.value, control.value)]
    } catch (error) {
      throw new Error(`${title.value}: ${error.message}`)
    }
  }
  const element = h('div.attribute', title, type, holder, isKey ? h('span.type.mono', 'key') : button('✕', gone, { tone: 'plain', label: `Take ${name || 'the attribute'} away` }))
  return { element, read, focus: () => title.focus() }
}

function controlFor(type, text, label, isFixed) {
  if (type === 'BOOL') return select(['true', 'false'], text === 'true' ? 'true' : 'false', { 'aria-label': label })
  if (type === 'NULL') return input({ value: 'null', disabled: true, 'aria-label': label })
  const isLong = type === 'M' || type === 'L' || type.length === 2 || text.length > 60 || text.includes('\n')
  if (!isLong && type === 'N') return input({ value: text, inputmode: 'decimal', 'aria-label': label, disabled: isFixed })
  const rows = Math.min(12, Math.max(type === 'S' && !isLong ? 1 : 2, text.slice(0, 2000).split('\n').length))
  const hint = { SS: 'one on each line', NS: 'one on each line', BS: 'Base64, one on each line', B: 'Base64' }[type]
  const area = h('textarea.code', { rows, spellcheck: 'false', 'aria-label': label, placeholder: hint, disabled: isFixed })
  area.value = text
  return area
}

/** Two versions of an item beside one another, what differs marked. */
export function compare(before, after, titles = ['As you loaded it', 'As it is now']) {
  const names = [...new Set([...Object.keys(before ?? {}), ...Object.keys(after ?? {})])]
  const differs = names.filter((name) => !same(of(before, name) ?? null, of(after, name) ?? null))
  const side = (item, title, tone) =>
    h(
      'div',
      h('div.hint', title),
      item
        ? h(
            'pre.command',
            { tabindex: '0' },
            names
              .filter((name) => Object.hasOwn(item, name))
              .map((name) => h(`span${differs.includes(name) ? `.${tone}` : ''}`, `${name}: ${cut(JSON.stringify(item[name]))}\n`)),
          )
        : h('p.muted', '–'),
    )
  return h('div.sides', side(before, titles[0], 'removed'), side(after, titles[1], 'added'))
}

/** How much of a value a comparison shows. */
const SHOWN_MAX = 2000
function cut(text) {
  return text.length > SHOWN_MAX ? `${text.slice(0, SHOWN_MAX)}… (${text.length.toLocaleString('en-US')} characters)` : text
}
