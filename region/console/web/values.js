// Attribute values in DynamoDB JSON: what they are, how they are shown, and whether a text is some.

/** The types, as people call them. */
export const TYPES = {
  S: 'String',
  N: 'Number',
  B: 'Binary',
  BOOL: 'Boolean',
  NULL: 'Null',
  M: 'Map',
  L: 'List',
  SS: 'String set',
  NS: 'Number set',
  BS: 'Binary set',
}

/** How much of a value a cell shows. */
const PREVIEW_MAX = 100

/** An item's attribute. Attributes may be called `toString` or `__proto__`, and no item has what it does not hold. */
export function of(item, name) {
  return item && Object.hasOwn(item, name) ? item[name] : undefined
}

/** A value's type: `S`, `N`, … */
export function typeOf(value) {
  return Object.keys(value)[0]
}

/** A value as a short text. */
export function preview(value, most = PREVIEW_MAX) {
  const type = typeOf(value)
  const inner = value[type]
  switch (type) {
    case 'S':
    case 'N':
      return cut(inner, most)
    case 'B':
      return cut(`${inner}`, most)
    case 'BOOL':
      return String(inner)
    case 'NULL':
      return 'null'
    case 'M': {
      const names = Object.keys(inner)
      const shown = names.slice(0, 4).map((name) => `${cut(name, 20)}: ${preview(inner[name], 20)}`)
      return cut(`{${shown.join(', ')}${names.length > 4 ? ', …' : ''}}`, most)
    }
    case 'L': {
      const shown = inner.slice(0, 4).map((each) => preview(each, 20))
      return cut(`[${shown.join(', ')}${inner.length > 4 ? ', …' : ''}]`, most)
    }
    default:
      return cut(inner.slice(0, 8).join(', '), most)
  }
}

function cut(text, most) {
  return text.length > most ? `${text.slice(0, most)}…` : text
}

/** About how large an item is, as DynamoDB counts. */
export function sizeOf(item) {
  let size = 0
  for (const [name, value] of Object.entries(item)) size += bytesOf(name) + valueSize(value)
  return size
}

function valueSize(value) {
  const type = typeOf(value)
  const inner = value[type]
  switch (type) {
    case 'S':
      return bytesOf(inner)
    case 'N':
      return Math.ceil(inner.replace(/[-.]/g, '').length / 2) + 1
    case 'B':
      return Math.floor((inner.length * 3) / 4)
    case 'M':
      return 3 + Object.entries(inner).reduce((sum, [name, each]) => sum + 1 + bytesOf(name) + valueSize(each), 0)
    case 'L':
      return 3 + inner.reduce((sum, each) => sum + 1 + valueSize(each), 0)
    case 'SS':
    case 'NS':
    case 'BS':
      return inner.reduce((sum, each) => sum + bytesOf(each), 0)
    default:
      return 1
  }
}

const encoder = new TextEncoder()
function bytesOf(text) {
  // Most texts are ASCII, whose length is known.
  return /^[\x00-\x7f]*$/.test(text) ? text.length : encoder.encode(text).length
}

/** An item from its DynamoDB JSON; what is wrong is thrown, with the place. */
export function parseItem(text) {
  let item
  try {
    item = JSON.parse(text)
  } catch (error) {
    throw new Error(`This is no JSON: ${error.message}`)
  }
  if (!isPlain(item)) throw new Error('An item is an object: {"name": {"S": "value"}}')
  for (const [name, value] of Object.entries(item)) demand(value, name)
  return item
}

function demand(value, place) {
  if (!isPlain(value) || Object.keys(value).length !== 1) {
    throw new Error(`${place}: a value is an object with its type, such as {"S": "text"}`)
  }
  const type = typeOf(value)
  const inner = value[type]
  const wants = (right, what) => {
    if (!right) throw new Error(`${place}: ${type} has ${what}`)
  }
  switch (type) {
    case 'S':
    case 'N':
    case 'B':
      return wants(typeof inner === 'string', 'a text: numbers stand in quotes, too')
    case 'BOOL':
    case 'NULL':
      return wants(typeof inner === 'boolean', 'true or false')
    case 'SS':
    case 'NS':
    case 'BS':
      return wants(Array.isArray(inner) && inner.every((each) => typeof each === 'string'), 'a list of texts')
    case 'L':
      wants(Array.isArray(inner), 'a list')
      return inner.forEach((each, i) => demand(each, `${place}[${i}]`))
    case 'M':
      wants(isPlain(inner), 'an object')
      return Object.entries(inner).forEach(([name, each]) => demand(each, `${place}.${name}`))
    default:
      throw new Error(`${place}: there is no type ${type}`)
  }
}

function isPlain(value) {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

/** A value from what was typed, for a type that one line holds. */
export function typed(type, text) {
  switch (type) {
    case 'S':
    case 'B':
      return { [type]: text }
    case 'N':
      return { N: text.trim() }
    case 'BOOL':
      return { BOOL: text === 'true' }
    case 'NULL':
      return { NULL: true }
    case 'SS':
    case 'NS':
    case 'BS':
      return { [type]: text.split('\n').filter((line) => line !== '') }
    default: {
      const value = { [type]: JSON.parse(text) }
      demand(value, type)
      return value
    }
  }
}

/** The text that `typed` makes a value from. */
export function untyped(value) {
  const type = typeOf(value)
  const inner = value[type]
  if (type === 'M' || type === 'L') return JSON.stringify(inner, null, 2)
  if (Array.isArray(inner)) return inner.join('\n')
  return type === 'NULL' ? '' : String(inner)
}

/** Whether two values are the same. Sets and maps have no order. */
export function same(a, b) {
  return JSON.stringify(sorted(a)) === JSON.stringify(sorted(b))
}

function sorted(value) {
  if (Array.isArray(value)) return value.map(sorted)
  if (!isPlain(value)) return value
  const entries = Object.entries(value).map(([name, each]) => {
    const isSet = /^[SNB]S$/.test(name) && Array.isArray(each)
    return [name, isSet ? [...each].sort() : sorted(each)]
  })
  return Object.fromEntries(entries.sort(([a], [b]) => (a < b ? -1 : a > b ? 1 : 0)))
}

/** A value as plain JSON, for downloads. Numbers that a double does not hold stay texts. */
export function simple(value) {
  const type = typeOf(value)
  const inner = value[type]
  if (type === 'N') return exact(inner)
  if (type === 'NS') return inner.map(exact)
  if (type === 'NULL') return null
  if (type === 'L') return inner.map(simple)
  if (type === 'M') return Object.fromEntries(Object.entries(inner).map(([name, each]) => [name, simple(each)]))
  return inner
}

function exact(text) {
  const number = Number(text)
  return String(number) === text ? number : text
}

/** An item's key, short. */
export function keyText(key) {
  return Object.entries(key)
    .map(([name, value]) => `${name}: ${preview(value, 60)}`)
    .join(', ')
}
