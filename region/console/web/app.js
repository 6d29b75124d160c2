// The frame: who is signed in, which page is shown, which region it is about.

import * as session from './session.js'
import { button, failure, fill, field, h, input, s, select } from './ui.js'
import * as access from './pages/access.js'
import * as items from './pages/items.js'
import * as keys from './pages/keys.js'
import * as now from './pages/now.js'
import * as reactions from './pages/reactions.js'
import * as recovery from './pages/recovery.js'
import * as streams from './pages/streams.js'
import * as tables from './pages/tables.js'
import * as vaults from './pages/vaults.js'
import * as verify from './pages/verify.js'
import * as world from './pages/world.js'

const ICONS = {
  world: 'M12 3a9 9 0 1 0 0 18 9 9 0 0 0 0-18M3 12h18M12 3c3 3 3 15 0 18M12 3c-3 3-3 15 0 18',
  tables: 'M4 5h16v14H4zM4 10h16M10 10v9',
  items: 'M5 6h14M5 12h14M5 18h9',
  streams: 'M3 8c3-4 6 4 9 0s6 4 9 0M3 16c3-4 6 4 9 0s6 4 9 0',
  recovery: 'M4 12a8 8 0 1 0 3-6.2M4 4v4h4M12 8v4l3 2',
  reactions: 'M5 12h9M10 8l4 4-4 4M17 5h2v14h-2',
  vaults: 'M4 5h16v14H4zM12 9a3 3 0 1 0 0 6 3 3 0 0 0 0-6M12 12h.01M7 19v2M17 19v2',
  verify: 'M12 3l7 3v5c0 5-3 8-7 10-4-2-7-5-7-10V6zM9 12l2 2 4-4',
  keys: 'M7 11V8a5 5 0 0 1 10 0v3M5 11h14v9H5zM12 15v2',
  access: 'M8 15a4 4 0 1 1 3.5-6H21v3h-2v3h-3v-3h-4.5A4 4 0 0 1 8 15',
  now: 'M3 13h4l3-8 4 14 3-6h4',
}

const PAGES = {
  world: { title: 'World', page: world },
  tables: { title: 'Tables', page: tables },
  items: { title: 'Items', page: items },
  streams: { title: 'Streams', page: streams },
  reactions: { title: 'Reactions', page: reactions },
  recovery: { title: 'Recovery', page: recovery, shown: () => session.facts.backups },
  vaults: { title: 'Vaults', page: vaults, shown: () => session.facts.backups },
  verify: { title: 'Verify', page: verify, shown: () => session.facts.regions.length > 1 },
  keys: { title: 'Keys', page: keys },
  access: { title: 'Access', page: access },
  now: { title: 'Now', page: now },
}

const app = document.getElementById('app')
let leaving = new AbortController()
let frame = null
/** The page that is shown, as the address names it. */
let shown = ''

async function begin() {
  try {
    await session.start()
  } catch (error) {
    fill(app, h('div.door', h('main.card', h('h1', 'geodynamo'), failure(error), button('Try again', begin, { tone: 'primary' }))))
    return
  }
  addEventListener('hashchange', show)
  session.onRegion(show)
  if (session.isSignedIn()) enter()
  else door()
}

function door() {
  leaving.abort()
  document.title = 'Sign in · geodynamo'
  const id = input({ name: 'username', autocomplete: 'username', required: true })
  const secret = input({ type: 'password', name: 'password', autocomplete: 'current-password', required: true })
  const token = h('textarea.code', { rows: 3, spellcheck: 'false', autocomplete: 'off' })
  const failed = h('div')
  const go = h('button.button.primary', { type: 'submit' }, 'Sign in')
  const isOpen = session.facts.auth === 'any'
  const submit = async (event) => {
    event.preventDefault()
    go.disabled = true
    try {
      await session.signIn({ id: id.value.trim(), secret: secret.value.trim(), token: token.value.trim() })
      enter()
    } catch (error) {
      fill(failed, failure(error))
    } finally {
      go.disabled = false
    }
  }
  const form = h(
    'form',
    { onsubmit: submit },
    h('div.brand', h('img', { src: '/console/icon.svg', alt: '' }), h('h1', 'geodynamo')),
    h('p.muted', `Sign in to ${session.facts.region} with an access key. It stays in this tab and is gone when you close it.`),
    isOpen ? h('p.hintbox', 'This region checks no signatures: any key will do.') : null,
    field('Access key ID', id),
    field('Secret access key', secret),
    h('details', h('summary', 'Temporary credentials'), field('Session token', token)),
    failed,
    go,
  )
  if (isOpen) {
    id.value = 'local'
    secret.value = 'local'
  }
  fill(app, h('main.door', h('div.card', form)))
  ;(isOpen ? go : id).focus()
}

function enter() {
  const { facts } = session
  const links = Object.entries(PAGES)
    .filter(([, { shown }]) => !shown || shown())
    .map(([name, { title }]) => {
      const link = h('a', { href: `#/${name}` }, s('svg', { viewBox: '0 0 24 24', 'aria-hidden': 'true' }, s('path', { d: ICONS[name] })), title)
      link.page = name
      return link
    })
  const heading = h('h1', { tabindex: '-1' })
  const chosen = select(
    facts.regions.map(({ name }) => name),
    session.region(),
    { 'aria-label': 'Region', onchange: () => session.useRegion(chosen.value) },
  )
  const leave = button('Sign out', () => {
    session.signOut()
    door()
  })
  const who = session.callerArn().split(':').pop() || session.keyId()
  const main = h('main', { id: 'main' })
  fill(
    app,
    h(
      'div.frame',
      // The first thing for whoever goes by the keyboard: past all pages' names.
      h('a.skip', { href: '#main', onclick: (event) => (event.preventDefault(), heading.focus()) }, 'To the page'),
      h(
        'header.top',
        heading,
        facts.regions.length > 1 ? chosen : h('span.muted', session.region()),
        h('div.who', h('span.name', { title: session.callerArn() }, who), leave),
      ),
      h(
        'aside.side',
        { 'aria-label': 'geodynamo' },
        h('a.brand', { href: '#/world' }, h('img', { src: '/console/icon.svg', alt: '' }), 'geodynamo'),
        h('nav', { 'aria-label': 'Pages' }, links),
        h('div.foot', facts.cluster ? `cluster ${facts.cluster}` : 'one region', h('br'), facts.version.split(' ')[0]),
      ),
      main,
    ),
  )
  frame = { main, heading, links }
  show()
}

/** Shows the page that the address names: `#/page/part?name=value`. */
function show() {
  if (!session.isSignedIn() || !frame) return
  if (location.hash === '#/sign-in') {
    // Whoever has signed in again is where they were.
    history.replaceState(null, '', shown || '#/world')
    session.signOut()
    door()
    return
  }
  leaving.abort()
  leaving = new AbortController()
  // A dialog is the page's that it was opened on.
  for (const open of document.querySelectorAll('dialog')) open.close()
  const [path, search] = location.hash.replace(/^#\/?/, '').split('?')
  const [name, ...rest] = path.split('/').map(decoded)
  const known = Object.hasOwn(PAGES, name) ? PAGES[name] : PAGES.world
  for (const link of frame.links) {
    if (PAGES[link.page] === known) {
      link.setAttribute('aria-current', 'page')
      link.scrollIntoView({ block: 'nearest', inline: 'nearest' })
    } else link.removeAttribute('aria-current')
  }
  fill(frame.heading, known.title)
  document.title = `${known.title} · geodynamo`
  const main = h('main', { id: 'main' })
  // What had the focus goes: whoever follows a link by the keyboard, or hears the page, goes on at the heading of what it leads to.
  const isLeft = frame.main.contains(document.activeElement)
  frame.main.replaceWith(main)
  frame.main = main
  if (isLeft) frame.heading.focus({ preventScroll: true })
  if (location.hash !== shown) scrollTo(0, 0)
  shown = location.hash
  const context = {
    signal: leaving.signal,
    parts: rest.filter((part) => part !== ''),
    search: new URLSearchParams(search ?? ''),
    title: (text) => {
      fill(frame.heading, text)
      document.title = `${text} · geodynamo`
    },
  }
  Promise.resolve(known.page.render(main, context)).catch((error) => {
    if (!context.signal.aborted) fill(main, failure(error))
  })
}

/** A part of an address as it was before it was one; whatever else somebody typed stays as it is. */
function decoded(part) {
  try {
    return decodeURIComponent(part)
  } catch {
    return part
  }
}

begin()
