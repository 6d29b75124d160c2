// The checker: who may do this, and which statement decides.

import { all, iam } from '../iam.js'
import * as session from '../session.js'
import { sameElsewhere } from '../snippets.js'
import { badge, button, count, failure, field, fill, grid, h, input, select } from '../ui.js'
import { tableNames } from './tables.js'

/** What the checker offers. */
const ACTIONS = ['GetItem', 'Query', 'Scan', 'PutItem', 'UpdateItem', 'DeleteItem', 'BatchGetItem', 'BatchWriteItem', 'DescribeTable', 'CreateTable', 'UpdateTable', 'DeleteTable', 'GetRecords', 'CreateBackup']
/** Types of what conditions are asked about, as IAM calls them. */
const TYPES = ['string', 'stringList', 'numeric', 'numericList', 'boolean', 'date', 'ip']
const KEYS = ['dynamodb:LeadingKeys', 'dynamodb:Attributes', 'dynamodb:Select', 'dynamodb:ReturnValues', 'aws:SourceIp', 'aws:SecureTransport', 'aws:CurrentTime', 'aws:RequestTag/', 'aws:ResourceTag/', 'aws:PrincipalTag/']
/** Calls that one question may take: principals times resources. */
const CALLS_MAX = 500
/** Calls that are under way at once. */
const AT_ONCE = 6
const EVERYBODY = ''

/** The form, the table policies of the resources in it, and the verdicts. */
export async function checker() {
  // Who may not list tables asks about one by its name.
  const [users, roles, tables] = await Promise.all([all('ListUsers', 'Users'), all('ListRoles', 'Roles'), tableNames().catch(() => [])])
  const principals = [...users.map(({ Arn, UserName }) => [Arn, `user ${UserName}`]), ...roles.map(({ Arn, RoleName }) => [Arn, `role ${RoleName}`])]
  if (principals.length === 0) return h('p.empty', ['There are no users or roles to ask about; root may do everything. ', h('a', { href: '#/access/users' }, 'Make a user'), '.'])
  const who = select([...principals, [EVERYBODY, 'Everybody: who may?']])
  const actions = input({ value: 'dynamodb:GetItem, dynamodb:PutItem, dynamodb:DeleteItem' })
  const resources = input({ value: `arn:aws:dynamodb:${session.region()}:${principals[0][0].split(':')[4]}:table/${tables[0] ?? 'Orders'}` })
  const conditions = conditionRows(() => code.refresh())
  const policies = new Map()
  const told = h('div.hint')
  const load = async () => {
    policies.clear()
    await Promise.all(words(resources.value).map(async (arn) => policies.set(arn, await policyOf(arn))))
    fill(told, [...policies].map(([arn, { text, why }]) => h('div', `${arn}: `, text ? 'the table’s own policy counts, too' : (why ?? 'the table has no policy of its own'))))
    code.refresh()
  }
  const asked = () => (who.value === EVERYBODY ? principals.map(([arn]) => arn) : [who.value])
  const requests = () =>
    asked().flatMap((principal) =>
      words(resources.value).map((arn) => {
        const made = { PolicySourceArn: principal, ActionNames: words(actions.value), ResourceArns: [arn] }
        const owner = arn.split(':')[4]
        if (policies.get(arn)?.text) made.ResourcePolicy = policies.get(arn).text
        if (owner && owner !== principal.split(':')[4]) made.ResourceOwner = `arn:aws:iam::${owner}:root`
        const context = conditions.read()
        if (context.length > 0) made.ContextEntries = context
        return made
      }),
    )
  const result = h('div')
  const ask = async () => {
    fill(result, h('p.empty', { 'aria-busy': 'true' }, 'Asking …'))
    try {
      await load()
      const wanted = requests()
      if (wanted.length > CALLS_MAX) throw new Error(`${count(wanted.length)} questions at once are too many: ${CALLS_MAX} at most. Name one user or role, or fewer resources.`)
      fill(result, verdicts(await answers(wanted), new Map(principals), who.value === EVERYBODY))
    } catch (error) {
      fill(result, failure(error))
    }
  }
  const offered = offer(actions)
  const code = sameElsewhere(() => requests().map((request) => ['SimulatePrincipalPolicy', request, 'iam']))
  resources.addEventListener('change', () => load().catch(() => {}))
  load().catch(() => {})
  return [
    h(
      'form.stack',
      { onsubmit: (event) => (event.preventDefault(), ask()), oninput: () => code.refresh() },
      h('div.fields', field('Who', who), field('To what (ARN)', resources, 'Several are separated by commas')),
      told,
      field('Does what', actions, 'Separated by commas'),
      conditions.element,
      h('div.row', offered, conditions.add, h('button.button.primary', { type: 'submit' }, 'Check')),
    ),
    result,
    code,
  ]
}

function words(text) {
  return text.split(/[,\s]+/).filter(Boolean)
}

function offer(actions) {
  const offered = select([['', 'Add an action …'], ...ACTIONS.map((each) => `dynamodb:${each}`)], '', { 'aria-label': 'Add an action' })
  offered.addEventListener('change', () => {
    actions.value = [actions.value.trim().replace(/,$/, ''), offered.value].filter(Boolean).join(', ')
    offered.value = ''
  })
  return offered
}

/** What a request would have of the keys that conditions ask about. */
function conditionRows(changed) {
  const element = h('div.stack')
  const known = h('datalist', { id: 'condition-keys' }, KEYS.map((each) => h('option', { value: each })))
  element.append(known)
  const rows = []
  const add = button('Add a condition key', () => {
    const key = input({ list: 'condition-keys', placeholder: 'dynamodb:LeadingKeys', 'aria-label': 'Condition key' })
    const type = select(TYPES, 'string', { 'aria-label': 'Type of the key' })
    const values = input({ placeholder: 'value', 'aria-label': 'Values, separated by commas' })
    const made = { key, type, values }
    const gone = button('✕', () => {
      rows.splice(rows.indexOf(made), 1)
      line.remove()
      changed()
    }, { tone: 'plain', label: 'Take the condition key away' })
    const line = h('div.condition', key, type, values, gone)
    rows.push(made)
    element.append(line)
    key.focus()
  })
  const read = () =>
    rows
      .filter(({ key }) => key.value.trim())
      .map(({ key, type, values }) => ({
        ContextKeyName: key.value.trim(),
        ContextKeyValues: type.value.endsWith('List') ? values.value.split(',').map((each) => each.trim()) : [values.value.trim()],
        ContextKeyType: type.value,
      }))
  return { element, add, read }
}

/** The policy of the table, or of the table of the stream, that an ARN is about. */
async function policyOf(arn) {
  const [, , service, region, , path = ''] = arn.split(':')
  const table = path.startsWith('table/') ? path.split('/')[1] : ''
  if (service !== 'dynamodb' || !table || table.includes('*')) return { why: 'no table’s ARN: there is no policy of its own to count' }
  const whole = arn.split(':').slice(0, 5).join(':')
  // A stream has a policy of its own; indexes have their table's.
  const resource = path.includes('/stream/') ? arn : `${whole}:table/${table}`
  try {
    const { Policy: text } = await session.call('GetResourcePolicy', { ResourceArn: resource }, session.endpoint(region) ? { region } : {})
    return { text }
  } catch (error) {
    if (error.kind === 'PolicyNotFoundException') return {}
    if (error.kind === 'ResourceNotFoundException') return { why: 'there is no such table' }
    return { why: `its policy cannot be read, so it does not count here: ${error.message}` }
  }
}

/** All answers to requests, in their order. */
async function answers(requests) {
  const found = []
  let next = 0
  const work = async () => {
    while (next < requests.length) {
      const at = next++
      const request = requests[at]
      const results = await all('SimulatePrincipalPolicy', 'EvaluationResults', request)
      found[at] = await Promise.all(results.map((each) => verdict(each, request)))
    }
  }
  await Promise.all(Array.from({ length: AT_ONCE }, work))
  return found.flat()
}

async function verdict(each, { PolicySourceArn: principal, ResourcePolicy: resourcePolicy }) {
  const list = (value) => (Array.isArray(value) ? value : [])
  const statements = await Promise.all(list(each.MatchedStatements).map((statement) => statementText(statement, principal, resourcePolicy)))
  return {
    principal,
    action: each.EvalActionName,
    resource: each.EvalResourceName,
    decision: each.EvalDecision,
    statements,
    missing: list(each.MissingContextValues).filter((name) => typeof name === 'string'),
  }
}

function verdicts(rows, names, isReverse) {
  const words = { allowed: ['allowed', 'good'], explicitDeny: ['denied', 'bad'], implicitDeny: ['not allowed', 'warn'] }
  const order = Object.keys(words)
  if (isReverse) rows.sort((a, b) => order.indexOf(a.decision) - order.indexOf(b.decision))
  const may = new Set(rows.filter(({ decision }) => decision === 'allowed').map(({ principal }) => principal))
  const several = new Set(rows.map(({ resource }) => resource)).size > 1
  return [
    isReverse ? h('p', { role: 'status' }, `${count(may.size)} of ${count(names.size)} may do some of it; root may do all of it.`) : null,
    grid(
      [
        isReverse ? { title: 'Who', cell: ({ principal }) => names.get(principal) } : null,
        several ? { title: 'To what', cell: ({ resource }) => h('span.mono', resource.split(':').slice(5).join(':') || resource) } : null,
        { title: 'Action', cell: ({ action }) => action },
        { title: 'Decision', cell: ({ decision }) => (words[decision] ? badge(...words[decision]) : decision) },
        {
          title: 'The statement that decides',
          cell: ({ statements, missing }) => [
            statements.length > 0 ? statements : h('span.muted', 'none allows it'),
            missing.length > 0 ? h('div.hint', `Conditions ask about ${missing.join(', ')}, which the question does not tell.`) : null,
          ],
        },
      ].filter(Boolean),
      rows,
      { label: 'Decisions' },
    ),
  ]
}

/** A matched statement's own text, cut out of its policy. */
async function statementText(statement, principal, resourcePolicy) {
  const title = h('div.hint', `${statement.SourcePolicyId} (${statement.SourcePolicyType})`)
  const text = statement.SourcePolicyType === 'resource' ? resourcePolicy : await policyText(statement, principal).catch(() => '')
  const { StartPosition: from, EndPosition: to } = statement
  if (!text || !from || !to) return h('div', title)
  const chosen = text.split('\n').slice(from.Line - 1, to.Line)
  if (chosen.length > 0) {
    chosen[chosen.length - 1] = chosen.at(-1).slice(0, Number(to.Column) - 1)
    chosen[0] = chosen[0].slice(Math.max(Number(from.Column) - 1, 0))
  }
  return h('div', title, h('pre.command', chosen.join('\n').trim()))
}

async function policyText({ SourcePolicyId: id, SourcePolicyType: type }, principal) {
  const name = principal.split('/').pop()
  const inline = { user: ['GetUserPolicy', { UserName: name, PolicyName: id }], role: ['GetRolePolicy', { RoleName: name, PolicyName: id }] }[type]
  if (inline) return decodeURIComponent((await iam(...inline)).PolicyDocument)
  const found = (await all('ListPolicies', 'Policies')).find(({ Arn, PolicyName }) => Arn === id || PolicyName === id)
  if (!found) return ''
  const { PolicyVersion } = await iam('GetPolicyVersion', { PolicyArn: found.Arn, VersionId: found.DefaultVersionId })
  return decodeURIComponent(PolicyVersion.Document)
}
