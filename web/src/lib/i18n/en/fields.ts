// What is wrong with a field, by the hub's code. A code of the interface that is missing here, or in
// ../zh/fields.ts, does not compile.

import type { FieldCode } from '$lib/api/types';

/** The values of a sentence, as texts. */
export type Values = Record<string, string>;
export type FieldSentences = Record<FieldCode, (p: Values) => string>;

const kinds: Record<string, string> = {
  null: 'nothing',
  boolean: 'true or false',
  number: 'a number',
  text: 'a text',
  list: 'a list',
  object: 'an object',
};
const kind = (name: string | undefined) => (name && kinds[name]) ?? name ?? 'something else';
/** `from 1 to 9`, where these are known. */
const range = (p: Values) => (p.min && p.max ? ` from ${p.min} to ${p.max}` : '');
/** The hub's own reason, where it gives one. */
const because = (p: Values, otherwise: string) => p.reason ?? otherwise;

/** `p.other` is already the label of the other field. */
export const fieldsEn: FieldSentences = {
  required: () => 'Required.',
  required_unless: (p) => `Required, unless “${p.other ?? ''}” is given.`,
  required_with: (p) => `Required together with “${p.other ?? ''}”.`,
  null: () => 'Must have a value.',
  empty: () => 'Must not be empty.',
  length: (p) => `Has ${p.length ?? '?'} characters; ${p.min ?? '?'} to ${p.max ?? '?'} are allowed.`,
  too_many_bytes: (p) => `Has ${p.length ?? '?'} bytes; at most ${p.max ?? '?'} are allowed.`,
  too_many_entries: (p) => `Has ${p.count ?? '?'} entries; at most ${p.max ?? '?'} are allowed.`,
  entry_length: (p) => `Each entry must have ${p.min ?? '?'} to ${p.max ?? '?'} characters, in one line.`,
  entry_number: () => 'Each entry must be a whole number.',
  control_character: () => 'Holds a line break, a tab or another control character.',
  white_space: () => 'Must not hold spaces.',
  wrong_type: (p) => `Is ${kind(p.actual)}; it must be ${kind(p.expected)}.`,
  whole_number: (p) => `Must be a whole number${range(p)}${p.value ? `; it is ${p.value}` : ''}.`,
  number: (p) => `Must be a number${range(p)}.`,
  not_allowed: (p) => `“${p.value ?? ''}” is not possible here. Possible: ${p.allowed ?? ''}.`,
  time: (p) => `“${p.value ?? ''}” is not a time.`,
  in_the_past: () => 'Is in the past.',
  not_before: (p) => `Must be before “${p.other ?? ''}”.`,
  below_other: (p) => `Must not be below “${p.other ?? ''}” (${p.min ?? '?'}).`,
  not_together: (p) => `Cannot be given together with “${p.other ?? ''}”.`,
  twice: () => 'Is given twice.',
  unknown: () => 'The hub does not know this field. Is this page older than the hub? Reload it.',
  taken: () => 'Is already in use: choose another.',
  host: () => 'Must be an IPv4 address, an IPv6 address or a host name (web-1.example.org).',
  host_key: (p) => because(p, 'Is not a readable host key.'),
  private_key: (p) => because(p, 'Is not a readable private key, or the passphrase does not open it.'),
  certificate: (p) => because(p, 'Is not a usable user certificate.'),
  fingerprint: () => 'Must be a fingerprint as ssh-add -l prints it: SHA256:…',
  known_hosts: (p) => because(p, 'Is not as known_hosts has it.'),
  no_such_credential: () => 'There is no such credential any more.',
  no_such_server: () => 'There is no such server any more.',
  jump_host: (p) =>
    p.max
      ? `Leads in a circle, or through more than ${p.max} jump hosts.`
      : because(p, 'Cannot be a jump host.'),
  jump_not_selected: (p) =>
    p.name && p.jump
      ? `${p.name} is reached through ${p.jump}, which is not selected: select both or neither.`
      : 'Is reached through a host that is not selected: select both or neither.',
  local_server: () => "This is the hub's own machine: it is read directly, and in no other way.",
  username: () => 'Only letters (a to z), digits and . _ - @.',
  wrong_password: () => 'Is wrong.',
  cursor: (p) => because(p, 'This page of the list is not there any more.'),
  metric: (p) => because(p, 'Names a metric that does not exist.'),
  invalid: (p) => because(p, 'Is not possible here.'),
};
