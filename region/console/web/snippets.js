// A request as other clients write it: the AWS CLI, boto3, the SDKs for JavaScript and Rust.

import * as session from './session.js'
import { button, copy, fill, h, tabs } from './ui.js'

const SERVICES = {
  dynamodb: { cli: 'dynamodb', boto: 'dynamodb', js: 'client-dynamodb', client: 'DynamoDBClient' },
  streams: { cli: 'dynamodbstreams', boto: 'dynamodbstreams', js: 'client-dynamodb-streams', client: 'DynamoDBStreamsClient' },
  iam: { cli: 'iam', boto: 'iam', js: 'client-iam', client: 'IAMClient' },
  lambda: { cli: 'lambda', boto: 'lambda', js: 'client-lambda', client: 'LambdaClient' },
  backup: { cli: 'backup', boto: 'backup', js: 'client-backup', client: 'BackupClient' },
  scaling: { cli: 'application-autoscaling', boto: 'application-autoscaling', js: 'client-application-auto-scaling', client: 'ApplicationAutoScalingClient' },
}

/** `DescribeTable` as `describe-table` or, with another sign, `describe_table`; as botocore does it. */
export function spaced(name, sign = '-') {
  const marked = name.replace(/(.)([A-Z][a-z]+)/g, `$1${sign}$2`).replace(/([a-z0-9])([A-Z])/g, `$1${sign}$2`)
  return marked.toLowerCase()
}

/** A word for a shell. */
export function quoted(text) {
  return /^[\w@%+=:,./-]+$/.test(text) ? text : `'${text.replaceAll("'", `'\\''`)}'`
}

/** As the AWS CLI has it. */
export function cli(operation, input, service = 'dynamodb') {
  const lines = [`aws ${SERVICES[service].cli} ${spaced(operation)}`]
  for (const [name, value] of Object.entries(input)) {
    const option = `--${spaced(name)}`
    if (typeof value === 'boolean') lines.push(value ? option : `--no-${option.slice(2)}`)
    else if (typeof value === 'object') lines.push(`${option} ${quoted(JSON.stringify(value))}`)
    else lines.push(`${option} ${quoted(String(value))}`)
  }
  lines.push(`--region ${session.region()}`, `--endpoint-url ${session.endpoint()}`)
  // Version 1 takes bytes as they are, which a command line cannot hold.
  const remark = usesBinary(input) ? '# Version 2 of the AWS CLI: bytes are in Base64.\n' : ''
  return remark + lines.join(' \\\n  ')
}

/** As boto3 has it. */
export function boto3(operation, input, service = 'dynamodb') {
  const body = Object.entries(input).map(([name, value]) => `    ${name}=${python(value, '    ')},`)
  return [
    usesBinary(input) ? 'import base64\n\nimport boto3' : 'import boto3',
    '',
    `client = boto3.client("${SERVICES[service].boto}", region_name=${text(session.region())}, endpoint_url=${text(session.endpoint())})`,
    body.length > 0 ? `answer = client.${spaced(operation, '_')}(\n${body.join('\n')}\n)` : `answer = client.${spaced(operation, '_')}()`,
  ].join('\n')
}

function python(value, indent) {
  if (value === null) return 'None'
  if (typeof value === 'boolean') return value ? 'True' : 'False'
  if (typeof value === 'number') return String(value)
  if (typeof value === 'string') return text(value)
  const inner = `${indent}    `
  const binary = asBinary(value)
  if (binary) {
    const bytes = (each) => `base64.b64decode(${text(each)})`
    return Array.isArray(binary.B) ? `{"BS": [${binary.B.map(bytes).join(', ')}]}` : `{"B": ${bytes(binary.B)}}`
  }
  if (Array.isArray(value)) return list(value.map((each) => python(each, inner)), '[', ']', indent)
  return list(Object.entries(value).map(([name, each]) => `${text(name)}: ${python(each, inner)}`), '{', '}', indent)
}

function list(parts, open, close, indent) {
  const short = parts.join(', ')
  if (short.length < 70 && !short.includes('\n')) return `${open}${short}${close}`
  return `${open}\n${parts.map((part) => `${indent}    ${part},`).join('\n')}\n${indent}${close}`
}

/** As the SDK for JavaScript has it, version 3. */
export function javascript(operation, input, service = 'dynamodb') {
  const { js, client } = SERVICES[service]
  return [
    `import { ${client}, ${operation}Command } from '@aws-sdk/${js}'`,
    '',
    `const client = new ${client}({ region: ${text(session.region())}, endpoint: ${text(session.endpoint())} })`,
    `const answer = await client.send(new ${operation}Command(${script(input, '')}))`,
  ].join('\n')
}

function script(value, indent) {
  if (value === null || typeof value !== 'object') return JSON.stringify(value)
  const inner = `${indent}  `
  const binary = asBinary(value)
  if (binary) {
    const bytes = (each) => `Buffer.from(${text(each)}, 'base64')`
    return Array.isArray(binary.B) ? `{ BS: [${binary.B.map(bytes).join(', ')}] }` : `{ B: ${bytes(binary.B)} }`
  }
  const parts = Array.isArray(value)
    ? value.map((each) => script(each, inner))
    : Object.entries(value).map(([name, each]) => `${scriptName(name)}: ${script(each, inner)}`)
  const [open, close] = Array.isArray(value) ? ['[', ']'] : ['{ ', ' }']
  const short = `${open}${parts.join(', ')}${close}`
  if (short.length < 80 && !short.includes('\n')) return short
  return `${open.trim()}\n${parts.map((part) => `${inner}${part},`).join('\n')}\n${indent}${close.trim()}`
}

function scriptName(name) {
  if (name === '__proto__') return "['__proto__']"
  return /^[A-Za-z_]\w*$/.test(name) ? name : text(name)
}

/** Parameters whose entries the Rust SDK takes one by one. */
const MAPS = { Key: 'key', Item: 'item', ExpressionAttributeNames: 'expression_attribute_names', ExpressionAttributeValues: 'expression_attribute_values', ExclusiveStartKey: 'exclusive_start_key' }
const ENUMS = { ReturnValues: 'ReturnValue', Select: 'Select', ReturnConsumedCapacity: 'ReturnConsumedCapacity' }
const ITEM_OPERATIONS = ['GetItem', 'PutItem', 'UpdateItem', 'DeleteItem', 'Query', 'Scan', 'ExecuteStatement']

/** As the SDK for Rust has it, for operations on items; undefined for others. */
export function rust(operation, input) {
  if (!ITEM_OPERATIONS.includes(operation)) return undefined
  const lines = []
  const types = new Set()
  for (const [name, value] of Object.entries(input)) {
    const method = spaced(name, '_')
    if (MAPS[name]) {
      for (const [each, inner] of Object.entries(value)) {
        const shown = name === 'ExpressionAttributeNames' ? rustText(inner) : (types.add('AttributeValue'), attribute(inner))
        lines.push(`.${MAPS[name]}(${rustText(each)}, ${shown})`)
      }
    } else if (name === 'Parameters') {
      types.add('AttributeValue')
      for (const each of value) lines.push(`.parameters(${attribute(each)})`)
    } else if (ENUMS[name]) {
      types.add(ENUMS[name])
      lines.push(`.${method}(${ENUMS[name]}::${value.toLowerCase().replace(/(^|_)(\w)/g, (_, __, letter) => letter.toUpperCase())})`)
    } else lines.push(`.${method}(${typeof value === 'string' ? rustText(value) : value})`)
  }
  return [
    types.size > 0 ? `use aws_sdk_dynamodb::types::${types.size > 1 ? `{${[...types].sort().join(', ')}}` : [...types][0]};\n` : null,
    'let config = aws_config::defaults(aws_config::BehaviorVersion::latest())',
    `    .region(aws_config::Region::new(${rustText(session.region())}))`,
    `    .endpoint_url(${rustText(session.endpoint())})`,
    '    .load()',
    '    .await;',
    'let client = aws_sdk_dynamodb::Client::new(&config);',
    `let answer = client\n    .${spaced(operation, '_')}()`,
    ...lines.map((line) => `    ${line}`),
    '    .send()\n    .await?;',
  ]
    .filter((line) => line !== null)
    .join('\n')
}

function attribute(value) {
  const [type, inner] = Object.entries(value)[0]
  const blob = (each) => `Blob::new(${rustBytes(each)})`
  switch (type) {
    case 'S':
    case 'N':
      return `AttributeValue::${type}(${rustText(inner)}.into())`
    case 'B':
      return `AttributeValue::B(aws_sdk_dynamodb::primitives::${blob(inner)})`
    case 'BOOL':
      return `AttributeValue::Bool(${inner})`
    case 'NULL':
      return 'AttributeValue::Null(true)'
    case 'L':
      return `AttributeValue::L(vec![${inner.map(attribute).join(', ')}])`
    case 'M':
      return `AttributeValue::M([${Object.entries(inner).map(([name, each]) => `(${rustText(name)}.into(), ${attribute(each)})`).join(', ')}].into())`
    case 'BS':
      return `AttributeValue::Bs(vec![${inner.map((each) => `aws_sdk_dynamodb::primitives::${blob(each)}`).join(', ')}])`
    default:
      return `AttributeValue::${type[0]}s(vec![${inner.map((each) => `${rustText(each)}.into()`).join(', ')}])`
  }
}

/** Bytes from Base64, as a literal. */
function rustBytes(base64) {
  const bytes = [...atob(base64)].map((byte) => `\\x${byte.charCodeAt(0).toString(16).padStart(2, '0')}`)
  return `b"${bytes.join('')}"`
}

function text(value) {
  return JSON.stringify(value)
}

/** Rust knows other escapes than JSON. */
function rustText(value) {
  return JSON.stringify(value).replace(/\\u([0-9a-f]{4})/gi, '\\u{$1}').replace(/\\b/g, '\\u{8}').replace(/\\f/g, '\\u{c}')
}

/** `{"B": "…"}` and `{"BS": […]}` are bytes: clients other than the CLI do not take them in Base64. */
function asBinary(value) {
  if (Array.isArray(value)) return undefined
  const entries = Object.entries(value)
  if (entries.length !== 1) return undefined
  const [type, inner] = entries[0]
  if (type === 'B' && typeof inner === 'string') return { B: inner }
  if (type === 'BS' && Array.isArray(inner)) return { B: inner }
  return undefined
}

function usesBinary(value) {
  if (value === null || typeof value !== 'object') return false
  return Boolean(asBinary(value)) || Object.values(value).some(usesBinary)
}

/** The longest command that is shown at once: a large item's would only be in the way. */
const SHOWN_MAX = 20_000

/** A folded box: what does the same elsewhere. `make` gives [operation, input, service] or a list of such. */
export function sameElsewhere(make, { open = false } = {}) {
  const body = h('div')
  const element = h('details', h('summary', 'Do the same with the AWS CLI or an SDK'), body)
  const draw = () => {
    let made
    try {
      made = make()
    } catch (error) {
      fill(body, h('p.hint', error.message))
      return
    }
    const calls = Array.isArray(made[0]) ? made : [made]
    const views = [
      ['AWS CLI', () => calls.map(([operation, input, service]) => cli(operation, input, service)).join('\n\n')],
      ['boto3', () => calls.map(([operation, input, service]) => boto3(operation, input, service)).join('\n\n')],
      ['JavaScript', () => calls.map(([operation, input, service]) => javascript(operation, input, service)).join('\n\n')],
    ]
    if (calls.every(([operation]) => ITEM_OPERATIONS.includes(operation))) {
      views.push(['Rust', () => calls.map(([operation, input]) => rust(operation, input)).join('\n\n')])
    }
    const view = (name, code) => [name, () => shown(code())]
    fill(body, tabs(views.map(([name, code]) => view(name, code)), { label: 'Clients' }))
  }
  element.addEventListener('toggle', () => element.open && draw())
  element.refresh = () => element.open && draw()
  element.open = open
  return element
}

/** A folded box: commands of `geodynamo` that do the same, or what has no other way. `make` gives their lines. */
export function sameInShell(make, summary = 'Do the same with the command line') {
  const body = h('div')
  const draw = () => fill(body, shown(make().join('\n')))
  const element = h('details', h('summary', summary), body)
  element.addEventListener('toggle', () => element.open && draw())
  element.refresh = () => element.open && draw()
  return element
}

function shown(code) {
  const cut = code.length > SHOWN_MAX ? `${code.slice(0, SHOWN_MAX)}\n… (${code.length.toLocaleString('en-US')} characters)` : code
  return h('div', h('pre.command', { tabindex: '0' }, cut), h('div.actions', button('Copy', () => copy(code))))
}
