// Who is signed in, where the regions are, and calls to them. Keys are kept for this tab only, until it is closed.

import { encoded, sign } from './sigv4.js'

const KEYS = 'geodynamo.keys'
const REGION = 'geodynamo.region'
/** How long a call may take. */
const CALL_MS = 65_000
/** What was refused is asked for again only after so long: policies change seldom, and pages ask every other second. */
export const REFUSED_MS = 30_000
/** Refusals that are remembered at most. */
const REFUSALS_MAX = 200

/** A refusal or a fault, as the service words it. */
export class ServiceError extends Error {
  constructor(kind, message, operation, more = {}) {
    super(message || kind)
    this.kind = kind
    this.operation = operation
    this.more = more
  }

  get isDenied() {
    return this.kind === 'AccessDeniedException' || this.kind === 'AccessDenied'
  }
}

/** What `/console.json` said. */
export let facts = null
let keys = null
let regionName = null
/** How far this browser's clock is behind the servers', in milliseconds. */
let skew = 0
const listeners = new Set()
/** What was refused: by address, to whom, when, and how. */
const refusals = new Map()

/** Asks where everything is and brings back the keys of this tab. */
export async function start() {
  const answer = await fetch('/console.json').catch(() => {
    throw new ServiceError('Unreachable', `The admin port at ${location.host} does not answer.`, 'console.json')
  })
  if (!answer.ok) throw new Error(`The admin port at ${location.host} answered ${answer.status}.`)
  facts = await answer.json()
  const kept = sessionStorage.getItem(KEYS)
  if (kept) keys = JSON.parse(kept)
  const region = sessionStorage.getItem(REGION)
  regionName = facts.regions.some((known) => known.name === region) ? region : facts.region
}

/** Whether somebody is signed in. */
export function isSignedIn() {
  return keys !== null
}

/** The id of the key that signs. */
export function keyId() {
  return keys?.id ?? ''
}

/** Signs in, if the key is one: a call that everybody may make proves it. */
export async function signIn(candidate) {
  const before = keys
  keys = candidate
  try {
    const caller = await query('sts', 'GetCallerIdentity', {})
    keys = { ...candidate, arn: caller.querySelector('Arn')?.textContent ?? '' }
    sessionStorage.setItem(KEYS, JSON.stringify(keys))
  } catch (error) {
    keys = before
    throw error
  }
}

/** Who is signed in. */
export function callerArn() {
  return keys?.arn ?? ''
}

/** Forgets the key. */
export function signOut() {
  keys = null
  sessionStorage.removeItem(KEYS)
}

/** The region that pages are about. */
export function region() {
  return regionName
}

/** Makes pages be about another region. */
export function useRegion(name) {
  regionName = name
  sessionStorage.setItem(REGION, name)
  for (const listener of listeners) listener(name)
}

/** Calls back whenever the region changes. */
export function onRegion(listener) {
  listeners.add(listener)
}

/** A region's data port. */
export function endpoint(name = regionName) {
  return facts.regions.find((known) => known.name === name)?.endpoint
}

/** Calls DynamoDB in a region. */
export function call(operation, input = {}, options = {}) {
  return json(`DynamoDB_20120810.${operation}`, operation, input, options)
}

/** Calls DynamoDB Streams in a region. */
export function streams(operation, input = {}, options = {}) {
  return json(`DynamoDBStreams_20120810.${operation}`, operation, input, options)
}

/** Calls Application Auto Scaling in a region. */
export function scaling(operation, input = {}, options = {}) {
  return json(`AnyScaleFrontendService.${operation}`, operation, { ServiceNamespace: 'dynamodb', ...input }, { ...options, service: 'application-autoscaling', version: '1.1' })
}

/** Calls a service that has a REST API, `lambda` or `backup`. Parts of the path are encoded already; the query is an object. */
export async function rest(service, operation, method, path, { query = {}, body, region: name = regionName, signal } = {}) {
  const pairs = Object.entries(query).map(([key, value]) => `${encoded(key)}=${encoded(String(value))}`)
  const headers = { 'content-type': 'application/json' }
  const request = { method, path, query: pairs.sort().join('&'), headers, body: body === undefined ? '' : JSON.stringify(body) }
  return parsed(await send(name, service, request, operation, signal), operation)
}

async function json(target, operation, input, { region: name = regionName, signal, service = 'dynamodb', version = '1.0' } = {}) {
  const headers = { 'content-type': `application/x-amz-json-${version}`, 'x-amz-target': target }
  return parsed(await send(name, service, { headers, body: JSON.stringify(input) }, operation, signal), operation)
}

function parsed({ status, text, kind: named }, operation) {
  let answer = {}
  try {
    answer = text ? JSON.parse(text) : {}
  } catch {
    throw new ServiceError('InvalidAnswer', `The answer is no JSON: ${text.slice(0, 200)}`, operation)
  }
  if (status >= 200 && status < 300) return answer
  const kind = String(answer.__type ?? named ?? answer.Code ?? `HTTP ${status}`).split('#').pop().split(':')[0]
  throw new ServiceError(kind, answer.message ?? answer.Message, operation, answer)
}

const VERSIONS = { iam: '2010-05-08', sts: '2011-06-15' }

/** Calls IAM or STS by the Query protocol; gives the answer's XML document. */
export async function query(service, action, parameters, { signal } = {}) {
  const form = new URLSearchParams({ Action: action, Version: VERSIONS[service] })
  flatten(form, '', parameters)
  const headers = { 'content-type': 'application/x-www-form-urlencoded; charset=utf-8' }
  const { status, text } = await send(regionName, service, { headers, body: form.toString() }, action, signal)
  const document = new DOMParser().parseFromString(text, 'text/xml')
  if (status >= 200 && status < 300) return document
  const part = (name) => document.querySelector(`Error > ${name}`)?.textContent
  throw new ServiceError(part('Code') ?? `HTTP ${status}`, part('Message') ?? text.slice(0, 300), action)
}

function flatten(form, prefix, value) {
  if (value === undefined || value === null || value === '') return
  if (Array.isArray(value)) value.forEach((each, i) => flatten(form, `${prefix}.member.${i + 1}`, each))
  else if (typeof value === 'object') {
    for (const [name, each] of Object.entries(value)) flatten(form, prefix ? `${prefix}.${name}` : name, each)
  } else form.set(prefix, String(value))
}

async function send(name, service, request, operation, signal, again = true) {
  const { method = 'POST', path = '/', query = '', headers, body } = request
  if (!keys) throw new ServiceError('NotSignedIn', 'Sign in with an access key first.', operation)
  const base = endpoint(name)
  const host = new URL(base).host
  const now = new Date(Date.now() + skew)
  const signed = await sign({ method, path, query, host, headers, body, service, region: name, keys, now })
  const limit = AbortSignal.timeout(CALL_MS)
  let answer
  try {
    answer = await fetch(`${base}${path}${query ? `?${query}` : ''}`, {
      method,
      headers: signed,
      body: method === 'GET' ? undefined : body,
      signal: signal ? AbortSignal.any([signal, limit]) : limit,
      credentials: 'omit',
      cache: 'no-store',
      referrerPolicy: 'no-referrer',
    })
  } catch (error) {
    if (signal?.aborted) throw error
    const why = error.name === 'TimeoutError' ? 'did not answer in time' : 'cannot be reached from this browser'
    throw new ServiceError('Unreachable', `${name} at ${base} ${why}.`, operation)
  }
  const text = await answer.text()
  // A browser whose clock is wrong would be refused for ever: the answer's date says what time it is.
  const theirs = Date.parse(answer.headers.get('date') ?? '')
  if (again && (answer.status === 400 || answer.status === 403) && Math.abs(theirs - now.getTime()) > 120_000) {
    skew = theirs - Date.now()
    return send(name, service, request, operation, signal, false)
  }
  return { status: answer.status, text, kind: answer.headers.get('x-amzn-errortype') ?? undefined }
}

/** Asks the port that these pages come from, signed: from elsewhere than its own machine it takes nothing else. */
async function ask(method, target, { body, signal } = {}) {
  const [path, query] = target.split('?')
  const headers = body === undefined ? {} : { 'content-type': 'application/json' }
  const request = { method, path, query, host: location.host, headers, body: body ?? '', service: 'geodynamo', region: facts.region, keys, now: new Date(Date.now() + skew) }
  try {
    return await fetch(target, { method, headers: keys ? await sign(request) : headers, body, signal, cache: 'no-store' })
  } catch (error) {
    if (signal?.aborted) throw error
    throw new ServiceError('Unreachable', `The admin port at ${location.host}, which these pages come from, does not answer.`, path)
  }
}

/** What a region's admin port answers; other regions' are asked for by this one. */
export async function admin(name, path, signal) {
  return unlessRefused(adminPath(name, path), async (target) => told(name, path, await ask('GET', target, { signal })))
}

async function unlessRefused(target, look) {
  const before = refusals.get(target)
  if (before?.key === keyId() && performance.now() - before.at < REFUSED_MS) throw before.error
  try {
    return await look(target)
  } catch (error) {
    if (refusals.size >= REFUSALS_MAX) refusals.clear()
    if (error.isDenied) refusals.set(target, { key: keyId(), at: performance.now(), error })
    throw error
  }
}

/** Has a region's admin port do something. Other regions' are asked by this one, and only for what it passes on. */
export async function adminDo(name, path, { method = 'POST', body = {} } = {}) {
  return told(name, path, await ask(method, adminPath(name, path), { body: JSON.stringify(body) }))
}

function adminPath(name, path) {
  return name === facts.region ? `/${path}` : `/regions/${encodeURIComponent(name)}/${path}`
}

async function told(name, path, answer) {
  const text = await answer.text()
  if (answer.ok) return text
  const kind = answer.status === 403 ? 'AccessDenied' : 'Unreachable'
  throw new ServiceError(kind, reason(text) || `${name}'s admin port answered ${answer.status}`, path)
}

/** The WAN emulator's links. */
export async function wanLinks(signal) {
  return JSON.parse(await unlessRefused('/wan/links', async (target) => told('the WAN emulator', 'links', await ask('GET', target, { signal }))))
}

/** Changes one of the WAN emulator's links. */
export async function changeWan(from, to, change) {
  const answer = await ask('PUT', `/wan/links/${encodeURIComponent(from)}/${encodeURIComponent(to)}`, { body: JSON.stringify(change) })
  if (!answer.ok) throw new ServiceError('Refused', reason(await answer.text()), 'links')
  return answer.json()
}

function reason(text) {
  try {
    return JSON.parse(text).error ?? text
  } catch {
    return text.trim()
  }
}

/** The account that the caller is of. */
export function account() {
  return callerArn().split(':')[4] || '000000000000'
}

/** A table's ARN in a region. */
export function tableArn(name, region = regionName) {
  return `arn:aws:dynamodb:${region}:${account()}:table/${name}`
}

/** The table that an ARN is of, or of whose parts it is. */
export function tableOf(arn = '') {
  return arn.split(':table/')[1]?.split('/')[0] ?? arn
}

/** All pages of a list: `step` gets the last answer (or undefined) and gives the next; `more` says whether there is one. */
export async function collect(step, more, most = 50) {
  const answers = []
  let answer
  do {
    answer = await step(answer)
    answers.push(answer)
  } while (more(answer) && answers.length < most)
  return answers
}
