// SHA-256 and HMAC: WebCrypto's where a page may use it, our own elsewhere. Browsers keep WebCrypto from pages that came by
// plain HTTP from another machine, and requests have to be signed there, too.

const K = new Uint32Array(64)
const INITIAL = new Uint32Array(8)

// The constants are the fractions of the first primes' cube and square roots.
{
  let found = 0
  for (let candidate = 2; found < 64; candidate++) {
    let prime = true
    for (let divisor = 2; divisor * divisor <= candidate; divisor++) prime &&= candidate % divisor !== 0
    if (!prime) continue
    if (found < 8) INITIAL[found] = fraction(Math.sqrt(candidate))
    K[found++] = fraction(Math.cbrt(candidate))
  }
}

function fraction(x) {
  return Math.floor((x - Math.floor(x)) * 2 ** 32)
}

/** Our own SHA-256, of bytes. */
export function digest(bytes) {
  const blocks = ((bytes.length + 8) >> 6) + 1
  const padded = new Uint8Array(blocks << 6)
  padded.set(bytes)
  padded[bytes.length] = 0x80
  const view = new DataView(padded.buffer)
  view.setUint32(padded.length - 8, Math.floor(bytes.length / 2 ** 29))
  view.setUint32(padded.length - 4, bytes.length << 3)
  const state = INITIAL.slice()
  const w = new Uint32Array(64)
  for (let start = 0; start < padded.length; start += 64) {
    for (let i = 0; i < 16; i++) w[i] = view.getUint32(start + 4 * i)
    for (let i = 16; i < 64; i++) {
      const s0 = rotate(w[i - 15], 7) ^ rotate(w[i - 15], 18) ^ (w[i - 15] >>> 3)
      const s1 = rotate(w[i - 2], 17) ^ rotate(w[i - 2], 19) ^ (w[i - 2] >>> 10)
      w[i] = w[i - 16] + s0 + w[i - 7] + s1
    }
    let [a, b, c, d, e, f, g, h] = state
    for (let i = 0; i < 64; i++) {
      const s1 = rotate(e, 6) ^ rotate(e, 11) ^ rotate(e, 25)
      const t1 = (h + s1 + ((e & f) ^ (~e & g)) + K[i] + w[i]) | 0
      const s0 = rotate(a, 2) ^ rotate(a, 13) ^ rotate(a, 22)
      const t2 = (s0 + ((a & b) ^ (a & c) ^ (b & c))) | 0
      h = g
      g = f
      f = e
      e = (d + t1) | 0
      d = c
      c = b
      b = a
      a = (t1 + t2) | 0
    }
    for (const [i, value] of [a, b, c, d, e, f, g, h].entries()) state[i] += value
  }
  const out = new DataView(new ArrayBuffer(32))
  state.forEach((word, i) => out.setUint32(4 * i, word))
  return new Uint8Array(out.buffer)
}

function rotate(word, by) {
  return (word >>> by) | (word << (32 - by))
}

/** Our own HMAC-SHA-256. */
export function hmacOf(key, bytes) {
  const block = new Uint8Array(64)
  block.set(key.length > 64 ? digest(key) : key)
  const inner = digest(join(block.map((byte) => byte ^ 0x36), bytes))
  return digest(join(block.map((byte) => byte ^ 0x5c), inner))
}

function join(a, b) {
  const out = new Uint8Array(a.length + b.length)
  out.set(a)
  out.set(b, a.length)
  return out
}

const subtle = globalThis.crypto?.subtle

/** SHA-256 of bytes. */
export async function sha256(bytes) {
  return subtle ? new Uint8Array(await subtle.digest('SHA-256', bytes)) : digest(bytes)
}

/** HMAC-SHA-256. */
export async function hmac(key, bytes) {
  if (!subtle) return hmacOf(key, bytes)
  const imported = await subtle.importKey('raw', key, { name: 'HMAC', hash: 'SHA-256' }, false, ['sign'])
  return new Uint8Array(await subtle.sign('HMAC', imported, bytes))
}

/** Bytes as hexadecimal digits. */
export function hex(bytes) {
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, '0')).join('')
}
