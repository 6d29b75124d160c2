// AWS's signature, version 4.

import { hex, hmac, sha256 } from './sha256.js'

const encoder = new TextEncoder()
/** The last signing key, which serves for a day, a region and a service. */
let last = { of: '', key: null }

/** A text as URIs have it, with nothing left plain but what RFC 3986 leaves so. */
export function encoded(text) {
  return encodeURIComponent(text).replace(/[!'()*]/g, (sign) => `%${sign.charCodeAt(0).toString(16).toUpperCase()}`)
}

/** The headers that sign a request, those that were given among them. Path and query are as they are sent; the query is sorted. */
export async function sign({ method = 'POST', path = '/', query = '', host, headers, body, service, region, keys, now }) {
  const date = now.toISOString().replace(/[-:]|\.\d{3}/g, '')
  const all = { ...headers, 'x-amz-date': date }
  if (keys.token) all['x-amz-security-token'] = keys.token
  const named = { ...all, host }
  const names = Object.keys(named).sort()
  const canonical = [
    method,
    path.split('/').map(encoded).join('/'),
    query,
    ...names.map((name) => `${name}:${named[name].trim().replace(/ +/g, ' ')}`),
    '',
    names.join(';'),
    hex(await sha256(encoder.encode(body))),
  ].join('\n')
  const scope = [date.slice(0, 8), region, service, 'aws4_request']
  const text = ['AWS4-HMAC-SHA256', date, scope.join('/'), hex(await sha256(encoder.encode(canonical)))].join('\n')
  const signature = hex(await hmac(await signingKey(keys.secret, scope), encoder.encode(text)))
  all.authorization =
    `AWS4-HMAC-SHA256 Credential=${keys.id}/${scope.join('/')}, ` +
    `SignedHeaders=${names.join(';')}, Signature=${signature}`
  return all
}

async function signingKey(secret, scope) {
  const of = JSON.stringify([secret, scope])
  if (last.of !== of) {
    let key = encoder.encode(`AWS4${secret}`)
    for (const part of scope) key = await hmac(key, encoder.encode(part))
    last = { of, key }
  }
  return last.key
}
