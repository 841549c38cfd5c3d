// The alerts page, and the sentence of an alert.

import { plural } from './plural';

export const alerts = {
  title: 'Alerts',
  open: 'Open',
  resolved: 'Resolved',
  search: 'Search server or text',
  anyLevel: 'Any level',
  anyServer: 'Any server',
  select: (what: string) => `Select: ${what}`,
  selectAll: 'Select all shown',
  selected: (count: number) => `${count} selected`,
  resolve: 'Resolve',
  resolveSelected: (count: number) => plural(count, 'Resolve 1 alert', `Resolve ${count} alerts`),
  resolveAll: 'Resolve all open',
  resolveTitle: (count: number) => plural(count, 'Resolve 1 alert?', `Resolve ${count} alerts?`),
  resolveText:
    'An alert you resolve stays quiet until its cause is over or becomes worse. Nothing changes on the server.',
  resolvedDone: (count: number) => plural(count, '1 alert resolved.', `${count} alerts resolved.`),
  none: 'No open alerts',
  noneText: 'All is calm. A new alert appears here the moment it fires.',
  noneResolved: 'No resolved alerts',
  noneMatch: 'No alert matches',
  level: 'Level',
  what: 'What',
  since: 'Fired',
  until: 'Resolved',
  by: (who: string) => `by ${who}`,
  byItself: 'by itself',
  lasted: (span: string) => `lasted ${span}`,
  newCritical: (text: string) => `Critical: ${text}`,
  newCriticalMany: (count: number) => `${count} new critical alerts`,
  show: 'Show',
  export: 'Export',
  titleCount: (count: number) => `(${count})`,
  types: { cpu: 'CPU', memory: 'Memory', disk: 'Disk', unreachable: 'Unreachable' },
  messages: {
    cpu: (server: string, value: string, threshold: string) =>
      `${server}: CPU use is ${value}, at or over the threshold of ${threshold}`,
    memory: (server: string, value: string, threshold: string) =>
      `${server}: memory use is ${value}, at or over the threshold of ${threshold}`,
    disk: (server: string, mount: string, value: string, threshold: string) =>
      `${server}: ${mount} is ${value} full, at or over the threshold of ${threshold}`,
    unreachable: (server: string, cause: string | null) =>
      cause === null ? `${server} cannot be read` : `${server} cannot be read: ${cause}`,
  },
};
