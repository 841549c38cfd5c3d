// The hub's error codes in English: why a server could not be read, and why a request was refused.
// A code without an entry is shown in the hub's own words.

type P = Record<string, string>;

/** `host:port`, with what of it is known. */
const at = (p: P) => (p.host ? `${p.host}${p.port ? `:${p.port}` : ''}` : 'the address');

export interface Errors {
  collect: Record<string, (params: P) => string>;
  api: Record<string, string>;
  retryAfter: (span: string) => string;
  unexpectedStatus: (status: number) => string;
  unexpected: string;
}

export const errorsEn: Errors = {
  collect: {
    unknown_host: (p) => `The host name ${p.host ?? ''} has no address. Check the spelling and the DNS.`,
    connection_refused: (p) => `Nothing listens on ${at(p)}. Is sshd running, and is the port right?`,
    no_route: (p) => `There is no route to ${at(p)}. Check the network and the address.`,
    timeout: (p) => `${at(p)} did not answer in time. Is it on, and does a firewall let the hub through?`,
    protocol: (p) => `What answers at ${at(p)} does not speak SSH the hub can use. Check the port.`,
    password_refused: (p) => `The password of ${p.user ?? 'the user'} was refused. Set the right one.`,
    key_refused: (p) =>
      `The key${p.fingerprint ? ` ${p.fingerprint}` : ''} was refused: add it to ~${p.user ?? ''}/.ssh/authorized_keys.`,
    key_unreadable: () => 'The private key cannot be read, or its passphrase is wrong.',
    certificate_refused: (p) =>
      ({
        expired: `The certificate ${p.key_id ?? ''} expired on ${p.moment ?? ''}: sign a new one and enter it.`,
        not_yet: `The certificate ${p.key_id ?? ''} is valid only from ${p.moment ?? ''} on: check the clocks.`,
        principals: `The certificate ${p.key_id ?? ''} is not for ${p.user ?? 'this user'}: sign one that is.`,
      })[p.cause ?? ''] ??
      `The certificate ${p.key_id ?? ''} was refused: the server must trust its authority (TrustedUserCAKeys).`,
    ssh_agent: (p) =>
      ({
        not_set: 'The hub knows of no ssh-agent: set ssh.agent_socket (GANDER_SSH_AGENT_SOCKET).',
        silent: `The ssh-agent at ${p.socket ?? 'its socket'} does not answer. Does it run, and may the hub open it?`,
        empty: 'The ssh-agent of the hub holds no key: add one with ssh-add.',
        no_such_key: `The ssh-agent of the hub does not hold the key ${p.detail ?? ''}: add it with ssh-add.`,
      })[p.cause ?? ''] ?? 'The ssh-agent of the hub would not sign. Is it locked?',
    no_credential: () => 'No password or key is stored. Edit the server and set one.',
    login_method: (p) =>
      `The server offers ${p.user ?? 'the user'} no way to log in that the hub has a credential for. Set a password or a key it accepts.`,
    host_key_changed: () =>
      'The host proved another key than the accepted one. Compare and accept it, or find out why.',
    host_certificate: (p) =>
      p.cause === 'revoked'
        ? `The host proved a key that is revoked${p.fingerprint ? ` (${p.fingerprint})` : ''}: give it another one.`
        : p.cause === 'missing'
          ? 'The host shows no certificate of a trusted authority, and no key of it is pinned: edit the server and check its key.'
          : `The host’s certificate ${p.key_id ?? ''} does not count (${p.reason ?? ''}): sign its host key anew.`,
    jump_host: (p) => `The jump host${p.jump ? ` ${p.jump}` : ''} could not be passed.`,
    disconnected: (p) => `The connection to ${at(p)} ended in the middle. The hub connects again.`,
    probe_failed: () =>
      'The shell did not run the probe. The user needs a shell, or the forced command of gander.',
    too_much_output: () =>
      'The server sent more than a reading may hold. Look for noise in its log-in scripts.',
    not_linux: () => 'This is not a Linux machine: gander reads Linux only.',
    local: () => "The hub's own machine could not be read.",
    agent_silent: (p) =>
      `The agent has sent nothing${p.silence ? ` for ${p.silence}` : ''}. Does gander-agent run there, and does it reach the hub?`,
  },
  api: {
    network: 'The hub does not answer. Check the connection and try again.',
    login_required: 'You are not logged in.',
    admin_required: 'Only an admin may do this. You are logged in as a viewer.',
    not_found: 'It does not exist any more.',
    validation_failed: 'Check the fields marked below.',
    internal_error: 'The hub could not do this. Its log says why.',
    invalid_json: 'The request could not be read.',
    bad_request: 'The request makes no sense to the hub.',
    unsupported_media_type: 'The request could not be read.',
    body_too_large: 'That is too large.',
    wrong_credentials: 'The user name or the password is wrong.',
    too_many_attempts: 'Too many failed tries.',
    too_many_connections: 'Too many connections to the hub are open.',
    name_taken: 'This name is already in use.',
    jump_host_in_use: 'Other servers are reached through this one: give them another jump host first.',
    plan_changed: 'The servers changed since the preview: look at a new one. Nothing was written.',
    credential_in_use: 'Servers use this credential: give them another log-in first.',
    authority_taken: 'This key is entered already: change that entry.',
    ssh_agent: 'The ssh-agent of the hub does not answer, or has no such key.',
    last_admin: 'This is the last admin: make somebody else an admin first.',
    local_server: "This is the hub's own machine: there is no connection to test.",
    already_set_up: 'This hub is already set up.',
    invalid_setup_token:
      'This set-up link is not valid any more. Use the newest one that gander-hub printed.',
    cross_site: 'The hub does not know this address as its own: set public_url (GANDER_PUBLIC_URL).',
    secret_unreadable: 'A stored secret cannot be opened with the master key of this hub.',
    session_required: 'Log in with a name and a password for this.',
    disk_full: 'The disk of the hub is full. Free some space.',
    database_read_only: 'The hub may not write its database. Check who owns the file.',
    database_busy: 'Another program holds the database of the hub. Try again.',
    timeout: 'The hub took too long over this. Try again.',
    busy: 'The hub is busy. Try again in a moment.',
    method_not_allowed: 'The hub does not do that here.',
    upgrade_required: 'Live values need a WebSocket: a proxy in between does not let it through.',
    invalid_token: 'This API token is not valid (any more).',
    backup_running: 'A backup is being made already.',
    no_agent:
      'This hub has no agent for that platform: put one into the directory of grpc.agent_directory (GANDER_AGENT_DIRECTORY).',
    no_hub_key: 'The hub has no key of its own yet. Restart it.',
    key_unreadable: 'The stored private key cannot be read, or its passphrase is wrong.',
    shutting_down: 'The hub is shutting down.',
  },
  retryAfter: (span) => `Try again in ${span}.`,
  unexpectedStatus: (status) => `Something between you and the hub answered with status ${status}.`,
  unexpected: 'Something went wrong in this page. Reload it.',
};
