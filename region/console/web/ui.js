// What pages are built from. All texts go in as text nodes: nothing here, or in any page, parses HTML.

import { advice } from './advice.js'
import { REFUSED_MS } from './session.js'

const SVG = 'http://www.w3.org/2000/svg'

/** An element: `h('div.card', { title: 'x', onclick: f }, 'text', child)`. */
export function h(tag, attributes, ...children) {
  return build(document.createElement(tag.split('.')[0]), tag, attributes, children)
}

/** The same for SVG. */
export function s(tag, attributes, ...children) {
  return build(document.createElementNS(SVG, tag.split('.')[0]), tag, attributes, children)
}

function build(element, tag, attributes, children) {
  const classes = tag.split('.').slice(1)
  if (classes.length > 0) element.setAttribute('class', classes.join(' '))
  const isAttributes = attributes && Object.getPrototypeOf(attributes) === Object.prototype
  if (!isAttributes) children = [attributes, ...children]
  for (const [name, value] of Object.entries(isAttributes ? attributes : {})) {
    if (value === undefined || value === null || value === false) continue
    if (name.startsWith('on')) element.addEventListener(name.slice(2), value)
    else if (name === 'value' || name === 'checked' || name === 'disabled' || name === 'hidden') element[name] = value
    else element.setAttribute(name, value === true ? '' : String(value))
  }
  add(element, children)
  return element
}

/** Appends texts, nodes, and lists of them. */
export function add(element, children) {
  for (const child of [children].flat(Infinity)) {
    if (child === undefined || child === null || child === false) continue
    element.append(child instanceof Node ? child : String(child))
  }
  return element
}

/** Puts other children in place of those that are there. */
export function fill(element, ...children) {
  element.replaceChildren()
  return add(element, children)
}

const FOCUSABLE = 'a, button, input, select, textarea, summary, [tabindex]'

/** Fills anew what is shown already: the focus, and how far things are scrolled, stay as they are. */
export function refill(element, ...children) {
  const all = (selector) => [...element.querySelectorAll(selector)]
  const focused = all(FOCUSABLE).indexOf(document.activeElement)
  const scrolled = all('.scroll').map(({ scrollLeft, scrollTop }) => [scrollLeft, scrollTop])
  fill(element, children)
  all('.scroll').forEach((each, i) => scrolled[i] && ([each.scrollLeft, each.scrollTop] = scrolled[i]))
  if (focused >= 0) all(FOCUSABLE)[focused]?.focus({ preventScroll: true })
  return element
}

let ids = 0
/** An id that no other element has. */
export function id() {
  return `e${++ids}`
}

/** A note that goes by itself: a text, or nodes. */
export function note(text, tone = 'good') {
  const element = h(`div.note.${tone}`, text)
  document.getElementById('notes').append(element)
  setTimeout(() => element.remove(), tone === 'bad' ? 9000 : 4000)
}

/** What a failure says, with the service's own words, and what to do about it. */
export function failure(error) {
  const kind = error.isDenied ? h('strong', 'Not allowed. ') : error.kind ? h('strong', `${error.kind}: `) : null
  return h('div.failure', { role: 'alert' }, kind, error.message || String(error), whatToDo(error))
}

function whatToDo(error) {
  const told = advice(error)
  return told ? h('div.advice', told.text, told.link ? [' ', h('a', { href: told.link[0] }, told.link[1])] : null) : null
}

/** A button. While what it does takes place, it cannot be pressed again. */
export function button(text, act, { tone = '', title, label, disabled } = {}) {
  const element = h(`button.button${tone ? `.${tone}` : ''}`, { type: 'button', title, 'aria-label': label, disabled }, text)
  element.addEventListener('click', async (event) => {
    event.stopPropagation()
    const back = wayBack()
    element.disabled = true
    try {
      await act(event)
    } catch (error) {
      note([error.kind ? `${error.kind}: ${error.message}` : error.message, whatToDo(error)], 'bad')
    } finally {
      element.disabled = false
      back()
    }
  })
  return element
}

/** A label over a control, with a hint below. */
export function field(label, control, hint) {
  control.id ||= id()
  const hintId = hint ? id() : undefined
  if (hint) control.setAttribute('aria-describedby', hintId)
  return h(
    'div.field',
    h('label', { for: control.id }, label),
    control,
    hint ? h('div.hint', { id: hintId }, hint) : null,
  )
}

/** A one-line input. */
export function input(attributes = {}) {
  return h('input', { type: 'text', autocomplete: 'off', spellcheck: 'false', ...attributes })
}

/** A choice. Options are texts or [value, text]. */
export function select(options, value, attributes = {}) {
  const element = h(
    'select',
    attributes,
    options.map((option) => {
      const [of, text] = Array.isArray(option) ? option : [option, option]
      return h('option', { value: of }, text)
    }),
  )
  if (value !== undefined && value !== null) element.value = value
  return element
}

/** A box to tick with its label. */
export function check(label, checked = false, attributes = {}) {
  const box = h('input', { type: 'checkbox', checked, id: id(), ...attributes })
  const element = h('div.check', box, h('label', { for: box.id }, label))
  element.box = box
  return element
}

/** A small word with a colour. */
export function badge(text, tone = '') {
  return h(`span.badge${tone ? `.${tone}` : ''}`, text)
}

/** The colour of DynamoDB's states. */
export function stateBadge(state) {
  const tones = { ACTIVE: 'good', ENABLED: 'good', AVAILABLE: 'good', COMPLETED: 'good', COMPLETED_WITH_ERRORS: 'warn', Successful: 'good', CREATION_FAILED: 'bad', FAILED: 'bad', ENABLE_FAILED: 'bad', EXPIRED: 'bad', ABORTED: 'bad', CANCELLED: 'bad', IN_PROGRESS: 'warn', CREATED: 'warn', DELETING: 'warn' }
  const tone = tones[state] ?? (/ING$/.test(state ?? '') ? 'warn' : '')
  return badge(state ?? 'unknown', tone)
}

/** A table. Columns: { title, cell(row), number }. */
export function grid(columns, rows, { empty = 'Nothing here.', label } = {}) {
  if (rows.length === 0) return h('div.empty', empty)
  const head = columns.map((column) => h(`th${column.number ? '.number' : ''}`, { scope: 'col' }, column.title || h('span.unseen', 'Actions')))
  const line = (row) => h('tr', columns.map((column) => h(`td${column.number ? '.number' : ''}`, column.cell(row))))
  const region = { tabindex: '0', role: 'region', 'aria-label': label ?? 'Table' }
  return h('div.scroll', region, h('table', h('thead', h('tr', head)), h('tbody', rows.map(line))))
}

/** A card with a heading. */
export function card(title, ...children) {
  return h('section.card', title ? h('h2', title) : null, ...children)
}

/** Names and values beside one another. */
export function facts(list) {
  return h(
    'dl.facts',
    list.filter(Boolean).map(([name, value]) => h('div', h('dt', name), h('dd', value))),
  )
}

/** What in a dialog is looked at first: it closes by Escape, so that is not its button to close. */
const FIRST = 'input:not([type="checkbox"], :disabled), select:not(:disabled), textarea:not(:disabled), button.primary:not(:disabled)'

/** A dialog over the page. `make(close)` gives its content. Ends with Escape, too; the focus is then where it was before. */
export function dialog(title, make, { wide = false } = {}) {
  const heading = id()
  const back = wayBack()
  const element = h(`dialog${wide ? '.wide' : ''}`, { 'aria-labelledby': heading })
  const close = () => element.close()
  const shut = h('button.icon', { type: 'button', 'aria-label': 'Close', onclick: close }, '✕')
  add(element, [h('header', h('h2', { id: heading }, title), shut), h('div.content', make(close))])
  element.addEventListener('close', () => {
    element.remove()
    back()
  })
  document.body.append(element)
  element.showModal()
  ;(element.querySelector(`.content :is(${FIRST})`) ?? element.querySelector('.actions button'))?.focus()
  return element
}

/** Gives what has the focus now a way to get it back: from a dialog that was over it, or once it can be pressed again. Pages are drawn anew
 *  meanwhile: what is there then has the same name. */
function wayBack() {
  const opener = document.activeElement
  const nameOf = (element) => element.ariaLabel || element.textContent
  return () => {
    if (document.activeElement !== document.body || !opener) return
    if (opener.isConnected) opener.focus({ preventScroll: true })
    else [...document.querySelectorAll(opener.localName)].find((each) => nameOf(each) === nameOf(opener))?.focus({ preventScroll: true })
  }
}

/** Asks before what cannot be taken back. */
export function confirm(title, text, { act, word, verb = 'Delete', code }) {
  dialog(title, (close) => {
    const typed = word ? input({ 'aria-label': `Type ${word} to confirm` }) : null
    const failed = h('div')
    const go = button(
      verb,
      async () => {
        if (typed && typed.value !== word) {
          fill(failed, h('div.failure', { role: 'alert' }, `Type ${word} to confirm.`))
          return
        }
        try {
          await act()
          close()
        } catch (error) {
          fill(failed, failure(error))
        }
      },
      { tone: 'danger' },
    )
    return [
      h('p', text),
      typed ? h('form', { onsubmit: (event) => (event.preventDefault(), go.click()) }, field(`Type ${word} to confirm`, typed)) : null,
      code ?? null,
      failed,
      h('div.actions', button('Cancel', close), go),
    ]
  })
}

/** Puts a text into the clipboard. */
export async function copy(text) {
  try {
    await navigator.clipboard.writeText(text)
    note('Copied')
  } catch {
    // Without a secure context there is no clipboard: show it to be copied by hand.
    dialog('Copy', () => {
      const area = h('textarea.code', { readonly: true, rows: 12, 'aria-label': 'Text to copy' })
      area.value = text
      requestAnimationFrame(() => area.select())
      return area
    })
  }
}

/** Gives the browser a file to save. */
export function download(name, type, text) {
  const url = URL.createObjectURL(new Blob([text], { type }))
  const link = h('a', { href: url, download: name })
  link.click()
  setTimeout(() => URL.revokeObjectURL(url), 10_000)
}

/** Tabs; `list` is of [name, () => content]. Where there is no content, the view stays as it was. */
export function tabs(list, { label = 'Views', chosen = 0, onchange } = {}) {
  const panel = h('div.panel', { role: 'tabpanel', tabindex: '0', id: id() })
  const buttons = list.map(([name], i) =>
    h('button', { type: 'button', role: 'tab', id: id(), 'aria-controls': panel.id, onclick: () => show(i) }, name),
  )
  const bar = h('div.tabs', { role: 'tablist', 'aria-label': label }, buttons)
  bar.addEventListener('keydown', (event) => {
    const now = buttons.indexOf(document.activeElement)
    const to = { ArrowRight: now + 1, ArrowLeft: now - 1, Home: 0, End: -1 }[event.key]
    if (to === undefined) return
    event.preventDefault()
    const at = (to + buttons.length) % buttons.length
    buttons[at].focus()
    show(at)
  })
  const show = (at) => {
    const content = list[at][1]()
    if (!content) return
    buttons.forEach((each, i) => {
      each.setAttribute('aria-selected', String(i === at))
      each.tabIndex = i === at ? 0 : -1
    })
    panel.setAttribute('aria-labelledby', buttons[at].id)
    fill(panel, content)
    onchange?.(list[at][0])
  }
  show(chosen)
  return h('div', bar, panel)
}

/** Does something again and again, first at once, until the page is left. One that fails is told to `failed`. */
export async function every(ms, signal, act, failed = () => {}) {
  while (!signal.aborted) {
    let rest = ms
    try {
      if (document.visibilityState === 'visible') await act()
    } catch (error) {
      if (error.isDenied) rest = Math.max(ms, REFUSED_MS)
      if (!signal.aborted) failed(error)
    }
    await pause(rest, signal)
  }
}

/** Waits; ends sooner when the page is left. */
export function pause(ms, signal) {
  return new Promise((done) => {
    const timer = setTimeout(done, ms)
    signal?.addEventListener('abort', () => (clearTimeout(timer), done()), { once: true })
  })
}

/** Bytes for people. */
export function bytes(n) {
  if (n === undefined || n === null || Number.isNaN(n)) return '–'
  const units = ['B', 'KB', 'MB', 'GB', 'TB']
  let at = 0
  while (n >= 1000 && at < units.length - 1) {
    n /= 1000
    at++
  }
  return `${at === 0 ? n : n.toFixed(n < 10 ? 1 : 0)} ${units[at]}`
}

/** A number for people. */
export function count(n) {
  return n === undefined || n === null || Number.isNaN(n) ? '–' : Math.round(n).toLocaleString('en-US')
}

/** A number of things: `1 item`, `24 items`. */
export function some(n, one) {
  return `${count(n)} ${one}${n === 1 ? '' : 's'}`
}

/** A time in seconds for people. */
export function seconds(t) {
  if (t === undefined || t === null || Number.isNaN(t)) return '–'
  if (t === 0) return '0'
  if (t < 0.001) return `${(t * 1e6).toFixed(0)} µs`
  if (t < 1) return `${(t * 1000).toFixed(t < 0.01 ? 1 : 0)} ms`
  if (t < 120) return `${t.toFixed(1)} s`
  return t < 7200 ? `${(t / 60).toFixed(0)} min` : `${(t / 3600).toFixed(1)} h`
}

/** A moment (seconds since 1970) for people. */
export function moment(t) {
  return t ? new Date(t * 1000).toLocaleString('sv-SE') : '–'
}
