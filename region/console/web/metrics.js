// OpenMetrics text, as far as the admin port writes it, and what can be worked out of it.

/** All samples by name: [{ labels, value }]. */
export function parse(text) {
  const samples = new Map()
  for (const line of text.split('\n')) {
    if (line === '' || line[0] === '#') continue
    const found = /^(\w+)(?:\{(.*)\})? ([^ ]+)/.exec(line)
    if (!found) continue
    const labels = {}
    for (const [, name, value] of (found[2] ?? '').matchAll(/(\w+)="((?:[^"\\]|\\.)*)"/g)) labels[name] = value
    if (!samples.has(found[1])) samples.set(found[1], [])
    samples.get(found[1]).push({ labels, value: Number(found[3].replace('+Inf', 'Infinity')) })
  }
  return samples
}

/** One sample's value: the first whose labels are these. */
export function value(samples, name, labels = {}) {
  const found = samples.get(name)?.find((sample) => matches(sample, labels))
  return found?.value
}

/** The sum of all samples with these labels. */
export function sum(samples, name, labels = {}) {
  return (samples.get(name) ?? []).filter((sample) => matches(sample, labels)).reduce((all, each) => all + each.value, 0)
}

function matches(sample, labels) {
  return Object.entries(labels).every(([name, wanted]) => sample.labels[name] === wanted)
}

/** A histogram's cumulative counts by bound, of all samples with these labels. */
export function histogram(samples, name, labels = {}) {
  const bounds = new Map()
  for (const { labels: has, value: count } of samples.get(`${name}_bucket`) ?? []) {
    if (!matches({ labels: has }, labels)) continue
    const bound = has.le === '+Inf' ? Infinity : Number(has.le)
    bounds.set(bound, (bounds.get(bound) ?? 0) + count)
  }
  return new Map([...bounds].sort(([a], [b]) => a - b))
}

/** What came to a histogram since an earlier reading. */
export function since(now, before) {
  if (!before) return now
  return new Map([...now].map(([bound, count]) => [bound, Math.max(count - (before.get(bound) ?? 0), 0)]))
}

/** A quantile, interpolated within its bucket; undefined where there is nothing. */
export function quantile(buckets, q) {
  const all = [...buckets.values()].at(-1) ?? 0
  if (all === 0) return undefined
  const rank = q * all
  let lower = 0
  let below = 0
  for (const [bound, count] of buckets) {
    if (count >= rank) {
      if (bound === Infinity) return lower
      const inside = count - below
      return inside === 0 ? bound : lower + ((bound - lower) * (rank - below)) / inside
    }
    lower = bound
    below = count
  }
  return lower
}
