// Access: users, groups, roles and policies, and who may do what.

import { callConfirm, callDialog } from '../forms.js'
import { all, documentOf, iam } from '../iam.js'
import { sameElsewhere } from '../snippets.js'
import { badge, button, card, confirm, copy, dialog, facts, failure, field, fill, grid, h, input, note, select, tabs } from '../ui.js'
import { accounts } from './accounts.js'
import { checker } from './checker.js'

const KINDS = {
  users: { one: 'User', list: 'ListUsers', member: 'Users', name: 'UserName' },
  groups: { one: 'Group', list: 'ListGroups', member: 'Groups', name: 'GroupName' },
  roles: { one: 'Role', list: 'ListRoles', member: 'Roles', name: 'RoleName' },
}
const EMPTY = {
  users: 'No users yet: only the root user’s keys work. A user has keys of its own, and may do what its policies allow.',
  groups: 'No groups yet. Users of a group may do what its policies allow.',
  roles: 'No roles yet. A role is assumed for a while, by whom its trust policy lets.',
}
const EXAMPLE = {
  Version: '2012-10-17',
  Statement: [{ Effect: 'Allow', Action: ['dynamodb:GetItem', 'dynamodb:Query'], Resource: 'arn:aws:dynamodb:*:*:table/Orders' }],
}
const TRUST = { Version: '2012-10-17', Statement: [{ Effect: 'Allow', Principal: { AWS: 'arn:aws:iam::000000000000:root' }, Action: 'sts:AssumeRole' }] }

export async function render(main, context) {
  const [kind, name] = context.parts
  if (Object.hasOwn(KINDS, kind ?? '') && name) {
    context.title(name)
    await entity(main, kind, name)
    return
  }
  if (kind === 'policies' && name) {
    context.title(name.split('/').pop())
    await policy(main, name)
    return
  }
  const views = [
    ['Users', () => listOf('users')],
    ['Groups', () => listOf('groups')],
    ['Roles', () => listOf('roles')],
    ['Policies', policies],
    ['Checker', () => later(checker)],
    ['Accounts', () => later(accounts)],
  ]
  const names = ['users', 'groups', 'roles', 'policies', 'checker', 'accounts']
  fill(main, h('section.card', tabs(views, { label: 'What there is', chosen: Math.max(names.indexOf(kind), 0) })))
}

/** Content that has to be asked for first. */
function later(load) {
  const body = h('div.stack', h('p.empty', 'Looking …'))
  const again = () => load(again).then((content) => fill(body, content), (error) => fill(body, failure(error)))
  again()
  return body
}

/** A form that calls IAM. `request` gives [action, parameters]. */
function formDialog(title, content, request, { verb = 'Save', ...more } = {}) {
  callDialog(title, { content, request: () => [...request(), 'iam'], verb, ...more })
}

function link(kind, name) {
  return h('a', { href: `#/access/${kind}/${encodeURIComponent(name)}` }, kind === 'policies' ? name.split('/').pop() : name)
}

function documentArea(value, rows = 14) {
  const area = h('textarea.code', { rows, spellcheck: 'false' })
  area.value = value
  return area
}

function listOf(kind) {
  const { one, list, member, name } = KINDS[kind]
  return later(async (again) => {
    const found = await all(list, member)
    const create = () => {
      const title = input({ required: true })
      const trust = documentArea(JSON.stringify(TRUST, null, 2), 10)
      const request = () => {
        const made = { [name]: title.value.trim() }
        if (kind === 'roles') made.AssumeRolePolicyDocument = trust.value
        return [`Create${one}`, made]
      }
      const content = [field('Name', title), kind === 'roles' ? field('Who may assume it (trust policy)', trust) : null]
      formDialog(`New ${one.toLowerCase()}`, content, request, { verb: 'Create', done: again })
    }
    return [
      grid(
        [
          { title: 'Name', cell: (each) => link(kind, each[name]) },
          { title: 'ARN', cell: ({ Arn }) => h('span.mono', Arn) },
          { title: 'Since', cell: ({ CreateDate }) => CreateDate?.slice(0, 19).replace('T', ' ') },
        ],
        found,
        { empty: EMPTY[kind], label: kind },
      ),
      h('div.row', button(`New ${one.toLowerCase()}`, create, { tone: 'primary' })),
    ]
  })
}

/** A user, a group or a role. */
async function entity(main, kind, name) {
  const { one, name: parameter } = KINDS[kind]
  const who = { [parameter]: name }
  const head = h('div')
  const described = await iam(`Get${one}`, who)
  const details = described[one]
  fill(head, facts([['ARN', h('span.mono', details.Arn)], ['Id', h('span.mono', details[`${one}Id`])], ['Since', details.CreateDate?.slice(0, 19).replace('T', ' ')]]))
  const parts = [['Policies', () => later((again) => policiesOf(kind, name, again))]]
  if (kind === 'users') {
    parts.push(['Access keys', () => later((again) => keysOf(name, again))], ['Groups', () => later((again) => groupsOf(name, again))])
  }
  if (kind === 'groups') parts.push(['Members', () => later((again) => membersOf(name, again))])
  if (kind === 'roles') parts.push(['Trust', () => trustOf(details)])
  const remove = () =>
    confirm(`Delete ${name}?`, 'Its policies and keys have to be gone first, as in AWS.', {
      code: sameElsewhere(() => [`Delete${one}`, who, 'iam']),
      act: async () => {
        await iam(`Delete${one}`, who)
        note(`${name} is deleted`)
        location.hash = `#/access/${kind}`
      },
    })
  fill(
    main,
    h('div.row.spread', h('a', { href: `#/access/${kind}` }, `← All ${kind}`), button('Delete', remove, { tone: 'danger' })),
    card(null, head),
    h('section.card', tabs(parts, { label: `Parts of ${name}` })),
  )
}

async function policiesOf(kind, name, again) {
  const { one, name: parameter } = KINDS[kind]
  const who = { [parameter]: name }
  const [attached, inline] = await Promise.all([all(`ListAttached${one}Policies`, 'AttachedPolicies', who), all(`List${one}Policies`, 'PolicyNames', who)])
  const detach = ({ name: title, arn }) =>
    callConfirm(`Detach ${title} from ${name}?`, 'What it alone allows is refused from then on; what it alone denies is not.', {
      request: [`Detach${one}Policy`, { ...who, PolicyArn: arn }, 'iam'],
      verb: 'Detach',
      said: 'Detached',
      done: again,
    })
  const attach = async () => {
    const known = await all('ListPolicies', 'Policies')
    const arn = select(known.map(({ Arn, PolicyName }) => [Arn, PolicyName]))
    formDialog(`Attach a policy to ${name}`, field('Policy', arn), () => [`Attach${one}Policy`, { ...who, PolicyArn: arn.value }], { verb: 'Attach', done: again })
  }
  const edit = async (policyName) => {
    const text = policyName ? documentOf((await iam(`Get${one}Policy`, { ...who, PolicyName: policyName })).PolicyDocument) : JSON.stringify(EXAMPLE, null, 2)
    const title = input({ value: policyName ?? '', disabled: Boolean(policyName) })
    const area = documentArea(text)
    const request = () => [`Put${one}Policy`, { ...who, PolicyName: title.value, PolicyDocument: area.value }]
    formDialog(policyName ?? 'New inline policy', [field('Name', title), field('Policy (JSON)', area)], request, { done: again, wide: true })
  }
  const remove = (policyName) =>
    callConfirm(`Delete ${policyName} of ${name}?`, 'Its text is gone with it.', {
      request: [`Delete${one}Policy`, { ...who, PolicyName: policyName }, 'iam'],
      verb: 'Delete',
      said: 'Deleted',
      done: again,
    })
  const rows = [...attached.map(({ PolicyName, PolicyArn }) => ({ name: PolicyName, arn: PolicyArn })), ...inline.map((each) => ({ name: each }))]
  return [
    grid(
      [
        { title: 'Policy', cell: (each) => (each.arn ? link('policies', each.arn) : button(each.name, () => edit(each.name), { tone: 'plain' })) },
        { title: 'Kind', cell: ({ arn }) => (arn ? 'managed' : 'inline') },
        { title: '', cell: (each) => (each.arn ? button('Detach', () => detach(each), { tone: 'plain', label: `Detach ${each.name}` }) : button('Delete', () => remove(each.name), { tone: 'plain', label: `Delete ${each.name}` })) },
      ],
      rows,
      { empty: 'No policies: nothing is allowed by them.', label: 'Policies' },
    ),
    h('div.row', button('Attach a policy', attach), button('New inline policy', () => edit())),
  ]
}

async function keysOf(name, again) {
  const keys = await all('ListAccessKeys', 'AccessKeyMetadata', { UserName: name })
  const create = () => formDialog(`New access key of ${name}`, h('p', 'Whoever has it may do what the user may.'), () => ['CreateAccessKey', { UserName: name }], { verb: 'Create', done: show })
  const show = async ({ AccessKey: key }) => {
    dialog('The new access key', (close) => [
      h('p', 'The secret is shown here and never again.'),
      facts([
        ['Access key ID', h('span.mono', key.AccessKeyId)],
        ['Secret access key', h('span.mono', key.SecretAccessKey)],
      ]),
      h('div.actions', button('Copy both', () => copy(`AWS_ACCESS_KEY_ID=${key.AccessKeyId}\nAWS_SECRET_ACCESS_KEY=${key.SecretAccessKey}`)), button('Done', close, { tone: 'primary' })),
    ])
    await again()
  }
  const change = ({ AccessKeyId: id, Status: status }) => {
    const verb = status === 'Active' ? 'Deactivate' : 'Activate'
    callConfirm(`${verb} ${id}?`, status === 'Active' ? 'Who signs with it is refused until it is active again.' : 'Who has it may sign with it again.', {
      request: ['UpdateAccessKey', { UserName: name, AccessKeyId: id, Status: status === 'Active' ? 'Inactive' : 'Active' }, 'iam'],
      verb,
      done: again,
    })
  }
  const remove = ({ AccessKeyId: id }) =>
    callConfirm(`Delete ${id}?`, 'Who signs with it is refused from then on.', {
      request: ['DeleteAccessKey', { UserName: name, AccessKeyId: id }, 'iam'],
      verb: 'Delete',
      done: again,
    })
  return [
    grid(
      [
        { title: 'Access key ID', cell: ({ AccessKeyId }) => h('span.mono', AccessKeyId) },
        { title: 'Status', cell: ({ Status }) => badge(Status, Status === 'Active' ? 'good' : '') },
        { title: 'Since', cell: ({ CreateDate }) => CreateDate?.slice(0, 19).replace('T', ' ') },
        {
          title: '',
          cell: (key) => h('div.row', button(key.Status === 'Active' ? 'Deactivate' : 'Activate', () => change(key), { tone: 'plain' }), button('Delete', () => remove(key), { tone: 'plain', label: `Delete ${key.AccessKeyId}` })),
        },
      ],
      keys,
      { empty: 'No access keys.', label: 'Access keys' },
    ),
    h('div.row', button('New access key', create)),
  ]
}

async function groupsOf(name, again) {
  const groups = await all('ListGroupsForUser', 'Groups', { UserName: name })
  const join = async () => {
    const known = await all('ListGroups', 'Groups')
    const group = select(known.map(({ GroupName }) => GroupName))
    formDialog(`Add ${name} to a group`, field('Group', group), () => ['AddUserToGroup', { GroupName: group.value, UserName: name }], { verb: 'Add', done: again })
  }
  return [membershipGrid(groups, 'groups', 'GroupName', (group) => leave(group.GroupName, name, again)), h('div.row', button('Add to a group', join))]
}

async function membersOf(name, again) {
  const { Users } = await iam('GetGroup', { GroupName: name })
  const members = Array.isArray(Users) ? Users : []
  const invite = async () => {
    const known = await all('ListUsers', 'Users')
    const user = select(known.map(({ UserName }) => UserName))
    formDialog(`Add a user to ${name}`, field('User', user), () => ['AddUserToGroup', { GroupName: name, UserName: user.value }], { verb: 'Add', done: again })
  }
  return [membershipGrid(members, 'users', 'UserName', (user) => leave(name, user.UserName, again)), h('div.row', button('Add a user', invite))]
}

function leave(group, user, again) {
  callConfirm(`Remove ${user} from ${group}?`, 'The group’s policies are not the user’s any more.', {
    request: ['RemoveUserFromGroup', { GroupName: group, UserName: user }, 'iam'],
    verb: 'Remove',
    done: again,
  })
}

function membershipGrid(rows, kind, name, remove) {
  return grid(
    [
      { title: 'Name', cell: (each) => link(kind, each[name]) },
      { title: '', cell: (each) => button('Remove', () => remove(each), { tone: 'plain', label: `Remove ${each[name]}` }) },
    ],
    rows,
    { empty: 'None.', label: kind },
  )
}

function trustOf(role) {
  const area = documentArea(documentOf(role.AssumeRolePolicyDocument))
  const failed = h('div')
  const request = () => ['UpdateAssumeRolePolicy', { RoleName: role.RoleName, PolicyDocument: area.value }]
  const save = async () => {
    try {
      await iam(...request())
      fill(failed)
      note('Saved')
    } catch (error) {
      fill(failed, failure(error))
    }
  }
  return [field('Who may assume it (JSON)', area), failed, h('div.row', button('Save', save, { tone: 'primary' })), sameElsewhere(() => [...request(), 'iam'])]
}

function policies() {
  return later(async (again) => {
    const found = await all('ListPolicies', 'Policies')
    const isAws = ({ Arn }) => Arn.split(':')[4] === 'aws'
    const create = () => {
      const title = input({ required: true })
      const area = documentArea(JSON.stringify(EXAMPLE, null, 2))
      formDialog('New policy', [field('Name', title), field('Policy (JSON)', area)], () => ['CreatePolicy', { PolicyName: title.value, PolicyDocument: area.value }], { verb: 'Create', done: again, wide: true })
    }
    return [
      grid(
        [
          { title: 'Policy', cell: ({ Arn }) => link('policies', Arn) },
          { title: 'Kind', cell: (each) => (isAws(each) ? 'AWS managed' : 'managed') },
          { title: 'Attached', number: true, cell: ({ AttachmentCount }) => AttachmentCount },
          { title: 'Version', cell: ({ DefaultVersionId }) => DefaultVersionId },
        ],
        [...found].sort((a, b) => isAws(a) - isAws(b)),
        { empty: 'No policies.', label: 'Policies' },
      ),
      h('div.row', button('New policy', create, { tone: 'primary' })),
    ]
  })
}

async function policy(main, arn) {
  const { Policy: about } = await iam('GetPolicy', { PolicyArn: arn })
  const { PolicyVersion: version } = await iam('GetPolicyVersion', { PolicyArn: arn, VersionId: about.DefaultVersionId })
  const isAws = arn.split(':')[4] === 'aws'
  const area = documentArea(documentOf(version.Document), 18)
  area.readOnly = isAws
  const failed = h('div')
  const request = () => ['CreatePolicyVersion', { PolicyArn: arn, PolicyDocument: area.value, SetAsDefault: true }]
  const save = async () => {
    try {
      await iam(...request())
      note('A new version is in force')
      await policy(main, arn)
    } catch (error) {
      fill(failed, failure(error))
    }
  }
  const remove = () =>
    confirm(`Delete ${about.PolicyName}?`, 'It has to be detached from everybody first, and have no other versions, as in AWS.', {
      code: sameElsewhere(() => ['DeletePolicy', { PolicyArn: arn }, 'iam']),
      act: async () => {
        await iam('DeletePolicy', { PolicyArn: arn })
        location.hash = '#/access/policies'
      },
    })
  fill(
    main,
    h('div.row.spread', h('a', { href: '#/access/policies' }, '← All policies'), isAws ? null : button('Delete', remove, { tone: 'danger' })),
    card(null, facts([['ARN', h('span.mono', arn)], ['Version', about.DefaultVersionId], ['Attached', about.AttachmentCount]])),
    card(
      'What it says',
      field('Policy (JSON)', area),
      failed,
      isAws ? null : h('div.row', button('Save as a new version', save, { tone: 'primary' })),
      isAws ? null : sameElsewhere(() => [...request(), 'iam']),
    ),
  )
}
