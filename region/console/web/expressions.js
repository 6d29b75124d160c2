// Conditions that a person put together, as DynamoDB's expressions.

/** What may be asked of a sort key: [operator, text, number of values]. */
export const KEY_OPERATORS = [
  ['=', '=', 1],
  ['<', '<', 1],
  ['<=', '≤', 1],
  ['>', '>', 1],
  ['>=', '≥', 1],
  ['begins_with', 'begins with', 1],
  ['between', 'between', 2],
]

/** What may be asked of an attribute. */
export const OPERATORS = [
  ['=', '=', 1],
  ['<>', '≠', 1],
  ['<', '<', 1],
  ['<=', '≤', 1],
  ['>', '>', 1],
  ['>=', '≥', 1],
  ['begins_with', 'begins with', 1],
  ['contains', 'contains', 1],
  ['not contains', 'does not contain', 1],
  ['between', 'between', 2],
  ['attribute_exists', 'exists', 0],
  ['attribute_not_exists', 'does not exist', 0],
]

/** Names and values of one request's expressions, each with a placeholder. */
export class Placeholders {
  names = {}
  values = {}

  /** A path such as `a.b[2]`, each name with its placeholder. */
  path(path) {
    return path
      .split('.')
      .map((part) => {
        const [, name, index] = /^(.*?)((?:\[\d+\])*)$/.exec(part)
        return this.name(name) + index
      })
      .join('.')
  }

  /** One name, dots and all. */
  name(name) {
    const known = Object.keys(this.names).find((each) => this.names[each] === name)
    const placeholder = known ?? `#n${Object.keys(this.names).length}`
    this.names[placeholder] = name
    return placeholder
  }

  value(value) {
    const placeholder = `:v${Object.keys(this.values).length}`
    this.values[placeholder] = value
    return placeholder
  }

  /** Into a request. */
  into(request) {
    if (Object.keys(this.names).length > 0) request.ExpressionAttributeNames = this.names
    if (Object.keys(this.values).length > 0) request.ExpressionAttributeValues = this.values
    return request
  }
}

/** One condition: { attribute, operator, values }. `isKey` takes the attribute as one name. */
export function condition(placeholders, { attribute, operator, values }, isKey = false) {
  const path = isKey ? placeholders.name(attribute) : placeholders.path(attribute)
  const [first, second] = values.map((value) => placeholders.value(value))
  switch (operator) {
    case 'begins_with':
    case 'contains':
      return `${operator}(${path}, ${first})`
    case 'not contains':
      return `NOT contains(${path}, ${first})`
    case 'between':
      return `${path} BETWEEN ${first} AND ${second}`
    case 'attribute_exists':
    case 'attribute_not_exists':
      return `${operator}(${path})`
    default:
      return `${path} ${operator} ${first}`
  }
}

/** Holds only while an item is what was loaded: every attribute of it, and none of those that are to be added. */
export function unchanged(placeholders, loaded, added) {
  const parts = Object.entries(loaded).map(
    ([name, value]) => `${placeholders.name(name)} = ${placeholders.value(value)}`,
  )
  for (const name of added) parts.push(`attribute_not_exists(${placeholders.name(name)})`)
  return parts.join(' AND ')
}
