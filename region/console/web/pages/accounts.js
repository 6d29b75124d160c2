// The cluster's accounts: who has tables and principals of their own. For the root user of the cluster's own account, and whom it lets.

import { actDialog } from '../forms.js'
import * as session from '../session.js'
import { sameInShell } from '../snippets.js'
import { badge, button, confirm, copy, count, dialog, facts, field, grid, h, input, note } from '../ui.js'

const path = (id, more = '') => `accounts/${encodeURIComponent(id)}${more}`
const command = (words) => [`geodynamo account ${words} --admin ${location.host}`]

/** The tab's content; `again` fills it anew. */
export async function accounts(again) {
  const { accounts: found } = JSON.parse(await session.admin(session.facts.region, 'accounts'))
  return [
    grid(
      [
        { title: 'Account', cell: ({ id }) => h('span.mono', id) },
        { title: 'Name', cell: ({ name, own }) => (own ? badge('the cluster’s own', 'good') : name) },
        { title: 'Tables here', number: true, cell: ({ tables }) => count(tables) },
        { title: '', cell: (account) => (account.own ? null : h('div.row', button('New root key …', () => reset(account), { tone: 'plain', label: `New root key of ${account.id}` }), button('Delete', () => remove(account, again), { tone: 'plain', label: `Delete account ${account.id}` }))) },
      ],
      found,
      { label: 'Accounts' },
    ),
    h('div.row', button('New account', () => create(again), { tone: 'primary' })),
  ]
}

function create(again) {
  const name = input({ required: true })
  const id = input({ placeholder: 'twelve digits', pattern: '[0-9]{12}' })
  const code = sameInShell(() => command(`create ${name.value || 'NAME'}${id.value ? ` --id ${id.value}` : ''}`))
  actDialog('New account', {
    content: [field('Name', name), field('Id', id, 'Empty: one is chosen')],
    code,
    act: async () => {
      const made = await session.adminDo(session.facts.region, 'accounts', { body: { name: name.value, ...(id.value ? { id: id.value } : {}) } })
      showKey(JSON.parse(made))
    },
    verb: 'Create',
    done: again,
  })
}

function reset({ id }) {
  confirm(`A new root key for ${id}?`, 'The old one is refused from then on.', {
    verb: 'Make it',
    code: sameInShell(() => command(`reset-root ${id}`)),
    act: async () => showKey(JSON.parse(await session.adminDo(session.facts.region, path(id, '/root')))),
  })
}

function remove({ id }, again) {
  confirm(`Delete the account ${id}?`, 'Its tables and principals have to be gone first.', {
    word: id,
    code: sameInShell(() => command(`delete ${id}`)),
    act: async () => {
      await session.adminDo(session.facts.region, path(id), { method: 'DELETE' })
      note(`The account ${id} is deleted`)
      await again()
    },
  })
}

function showKey(key) {
  dialog('The root key', (close) => [
    h('p', 'The secret is shown here and never again.'),
    facts([
      ['Access key ID', h('span.mono', key.access_key_id)],
      ['Secret access key', h('span.mono', key.secret_access_key)],
    ]),
    h('div.actions', button('Copy both', () => copy(`AWS_ACCESS_KEY_ID=${key.access_key_id}\nAWS_SECRET_ACCESS_KEY=${key.secret_access_key}`)), button('Done', close, { tone: 'primary' })),
  ])
}
