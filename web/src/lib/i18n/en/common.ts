// Words of every page, and of the frame around them.

export const common = {
  loading: 'Loading…',
  retry: 'Try again',
  close: 'Close',
  cancel: 'Cancel',
  save: 'Save',
  delete: 'Delete',
  edit: 'Edit',
  back: 'Back',
  copy: 'Copy',
  copied: 'Copied',
  never: 'never',
  justNow: 'just now',
  ago: (span: string) => `${span} ago`,
  optional: 'optional',
  all: 'All',
  none: 'None',
  unknown: 'unknown',
  more: 'Load more',
  showAll: (count: number) => `Show all ${count}`,
  notifications: 'Notifications',
  skip: 'Skip to content',
  adminOnly: 'Only an admin may do this. You are logged in as a viewer.',
  leaveUnsaved: 'You have changes that are not saved. Leave this page?',
  saved: 'Saved.',
  clear: 'Clear',
  server: 'Server',
  time: 'Time',
  from: 'From',
  to: 'To',
  yes: 'Yes',
  no: 'No',
};

export const nav = {
  main: 'Main',
  fleet: 'Servers',
  alerts: 'Alerts',
  data: 'Data',
  events: 'Events',
  settings: 'Settings',
  account: 'Account',
  logout: 'Log out',
  language: 'Language',
  theme: 'Appearance',
  themes: { system: 'As the system', light: 'Light', dark: 'Dark' },
};

export const connection = {
  connecting: 'Connecting…',
  live: 'Live',
  reconnecting: 'Reconnecting…',
  offline: 'Offline',
  updated: (ago: string) => `Updated ${ago}`,
  staleTitle: 'No connection to the hub',
  staleText: (ago: string) => `What you see is from ${ago}. Trying again…`,
  unreachableTitle: 'The hub does not answer',
  unreachableText: 'Is gander-hub running, and can this computer reach it? The page tries again by itself.',
};

export const status = { online: 'Online', offline: 'Offline', unknown: 'Not tried yet', paused: 'Paused' };

export const level = { warning: 'Warning', critical: 'Critical' };

export const role = { admin: 'Admin', viewer: 'Viewer' };

export const transport = {
  auto: 'Automatic',
  ssh: 'SSH',
  agent: 'Agent',
  local: 'This machine',
};

export const transportHint = {
  auto: 'The agent while it streams, SSH otherwise.',
  ssh: 'SSH only. Nothing is installed on the server.',
  agent: 'Only the agent. SSH is never used.',
  local: "The hub's own machine.",
};

export const notFound = {
  title: 'Nothing here',
  text: 'This page does not exist.',
  home: 'To the servers',
};
