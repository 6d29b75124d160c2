// What to do about an error that a service names: a sentence, and the page where it is done, if there is one.

/** `{ text, link }` with `link` as [address, words]; of an error that says itself what to do, nothing. */
export function advice({ kind, isDenied } = {}) {
  if (isDenied) return { text: 'A policy has to allow it to whoever has this key.', link: ['#/access/checker', 'Which statement decides?'] }
  return Object.hasOwn(ADVICE, kind ?? '') ? ADVICE[kind] : undefined
}

const SIGN_IN = ['#/sign-in', 'Sign in again']
const over = { text: 'The session is over.', link: SIGN_IN }
const unknownKey = { text: 'This region does not know the access key: it may have been deleted, or made in another cluster.', link: SIGN_IN }
const wrongSecret = { text: 'The secret is another one than the region has, or the key is of another cluster.', link: SIGN_IN }
const gone = { text: 'It may have been deleted, or be on its way here from another region.', link: ['#/tables', 'Tables of this region'] }
const throttled = { text: 'Try again in a moment. More capacity, or none that is fixed, is set in the table’s settings.' }
const taken = { text: 'Choose another name, or wait until what is there is ACTIVE.' }
const broken = { text: 'The region’s log has the reason, beside the request’s id.', link: ['#/now', 'How the region is'] }
const noArchive = { text: 'The region has no archive: [archive] in its configuration names one.' }

const ADVICE = {
  ExpiredTokenException: over,
  ExpiredToken: over,
  UnrecognizedClientException: unknownKey,
  InvalidClientTokenId: unknownKey,
  InvalidAccessKeyId: unknownKey,
  InvalidSignatureException: wrongSecret,
  SignatureDoesNotMatch: wrongSecret,
  ResourceNotFoundException: gone,
  TableNotFoundException: gone,
  BackupNotFoundException: { text: 'It may have been deleted meanwhile.', link: ['#/recovery', 'Backups of this region'] },
  ProvisionedThroughputExceededException: throttled,
  ThrottlingException: throttled,
  RequestLimitExceeded: throttled,
  ResourceInUseException: taken,
  TableAlreadyExistsException: taken,
  TableInUseException: taken,
  TransactionConflictException: { text: 'Another transaction had the item. Try again.' },
  LimitExceededException: { text: 'Wait until some of what is under way has ended, or delete what is not needed.' },
  ContinuousBackupsUnavailableException: noArchive,
  PointInTimeRecoveryUnavailableException: { text: 'Switch point-in-time recovery on first.', link: ['#/recovery', 'Recovery'] },
  InvalidRestoreTimeException: { text: 'Recovery shows each table’s window.', link: ['#/recovery', 'Recovery'] },
  DeleteConflict: { text: 'Detach its policies and delete its keys first.' },
  MalformedPolicyDocument: { text: 'A policy is JSON with Version and Statement; each statement has Effect, Action and Resource.' },
  InternalServerError: broken,
  InternalFailure: broken,
  Unreachable: { text: 'Is the region running? Where browsers reach its data port, if not at the topology’s address, is set by endpoints under [console] in the configuration.', link: ['#/world', 'What reaches what'] },
}
