// IAM by its Query protocol: answers become plain objects.

import { query } from './session.js'

/** Pages that are followed at most. */
const PAGES_MAX = 50

/** An element as an object: elements without children are texts, `member`s make lists. */
export function plain(element) {
  const children = [...element.children]
  if (children.length === 0) return element.textContent
  if (children.every((child) => child.tagName === 'member')) return children.map(plain)
  if (children.every((child) => child.tagName === 'entry')) return children.map(plain)
  return Object.fromEntries(children.map((child) => [child.tagName, plain(child)]))
}

/** One call; gives what is in the answer's result. */
export async function iam(action, parameters = {}) {
  const document = await query('iam', action, parameters)
  const result = document.documentElement.querySelector(`${action}Result`)
  return result && result.children.length > 0 ? plain(result) : {}
}

/** All pages of a list. */
export async function all(action, member, parameters = {}) {
  const found = []
  let marker
  for (let page = 0; page < PAGES_MAX; page++) {
    const answer = await iam(action, { ...parameters, Marker: marker })
    // An empty list has no children, so it reads as an empty text.
    if (Array.isArray(answer[member])) found.push(...answer[member])
    if (answer.IsTruncated !== 'true') break
    marker = answer.Marker
  }
  return found
}

/** A policy's document, which IAM gives percent-encoded. */
export function documentOf(text) {
  try {
    return JSON.stringify(JSON.parse(decodeURIComponent(text)), null, 2)
  } catch {
    return text
  }
}
