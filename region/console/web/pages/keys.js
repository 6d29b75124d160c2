// Encryption at rest: which keys there are, how old they are, what is under which, and whether the service that has them gives them.

import { maybe } from '../api.js'
import * as session from '../session.js'
import { sameInShell } from '../snippets.js'
import { badge, bytes, card, count, every, facts, failure, fill, grid, h, moment, refill, seconds, some } from '../ui.js'
import { keyState, tableNames } from './tables.js'

/** The files' headers are looked at for each answer. */
const LOOK_EVERY_MS = 10_000
const KINDS = { kms: 'AWS KMS’s API', vault: 'a transit engine (Vault, OpenBao)' }

export async function render(main, { signal }) {
  const region = h('div')
  const tables = h('div')
  const own = card('Tables', tables)
  own.hidden = true
  fill(main, card('The region’s keys', region), own)
  await every(
    LOOK_EVERY_MS,
    signal,
    async () => {
      const keys = JSON.parse(await session.admin(session.region(), 'keys', signal))
      refill(region, keys.encrypted ? encrypted(keys) : plain())
      const listed = keys.table_keys ? await maybe(sealedTables()) : { found: [] }
      own.hidden = !keys.table_keys
      refill(tables, listed.error ? failure(listed.error) : tableList(listed.found, keys.table_keys))
    },
    (error) => fill(region, failure(error)),
  )
}

function plain() {
  return [
    h('p', badge('not encrypted', 'warn')),
    h('p.muted', 'This region’s files are written as they are. With a key they are encrypted; the region is stopped meanwhile.'),
    sameInShell(() => ['geodynamo keys new region.key', 'geodynamo keys encrypt --config region.toml'], 'How it is encrypted'),
  ]
}

function encrypted(keys) {
  const current = keys.data_keys.find((key) => key.new_files)
  const age = current ? Date.now() / 1000 - current.made : undefined
  const away = keys.away_seconds
  return [
    facts([
      ['Encrypted', badge('yes', 'good')],
      ['Region key', h('span.mono', current?.region_key ?? '–')],
      ['From', keys.source],
      keys.has_service ? ['Its service', away ? badge(`away for ${seconds(away)}`, 'bad') : badge('gives the key', 'good')] : null,
      ['Data key in use', h('span.mono', current?.id ?? '–')],
      ['Its age', seconds(age)],
      ['Under older keys', keys.older_files === 0 ? 'nothing' : `${some(keys.older_files, 'file')}, ${bytes(keys.older_bytes)}; being written anew`],
      ['Written anew', bytes(keys.rewritten_bytes)],
    ]),
    h('h3', 'Data keys'),
    grid(
      [
        { title: 'Data key', cell: ({ id, new_files: isNew }) => [h('span.mono', id), ' ', isNew ? badge('new files', 'good') : null] },
        { title: 'Made', cell: ({ made }) => moment(made) },
        { title: 'Under the region key', cell: ({ region_key: name }) => h('span.mono', name) },
        { title: 'Files', number: true, cell: ({ files }) => count(files) },
        { title: 'Size', number: true, cell: ({ bytes: size }) => bytes(size) },
      ],
      keys.data_keys,
      { label: 'Data keys' },
    ),
    h('p.muted', 'Keys are rotated on the machine itself, where the configuration is; the region goes on meanwhile. A new data key is for files from its next start on.'),
    sameInShell(
      () => [
        '# What this page shows',
        'geodynamo keys status --config region.toml',
        '# A new region key: the data keys are wrapped anew, at once',
        'geodynamo keys rotate --config region.toml',
        '# And a new data key',
        'geodynamo keys rotate --config region.toml --data-key',
      ],
      'How keys are rotated',
    ),
  ]
}

async function sealedTables() {
  const names = await tableNames()
  const described = await Promise.all(names.map((TableName) => session.call('DescribeTable', { TableName }).then(({ Table }) => Table, (error) => ({ TableName, error }))))
  return described.filter(({ SSEDescription }) => SSEDescription)
}

function tableList(tables, kind) {
  return [
    h('p.muted', `Tables can have keys of their own, which ${KINDS[kind] ?? kind} has. A table’s settings choose one.`),
    grid(
      [
        { title: 'Table', cell: ({ TableName: name }) => h('a', { href: `#/tables/${encodeURIComponent(name)}` }, name) },
        { title: 'State', cell: keyState },
        { title: 'Key', cell: ({ SSEDescription: { KMSMasterKeyArn: key } }) => h('span.mono', key ?? '–') },
      ],
      tables,
      { empty: 'No table has a key of its own.', label: 'Tables with keys of their own' },
    ),
  ]
}
