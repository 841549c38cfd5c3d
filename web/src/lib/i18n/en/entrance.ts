// Log-in and set-up.

export const login = {
  title: 'Log in',
  lead: 'Take a gander at every server you run.',
  username: 'User name',
  password: 'Password',
  submit: 'Log in',
  busy: 'Logging in…',
  ended: 'Your session has ended. Log in to go on where you were.',
  setupNeeded: 'This hub has no users yet',
  setupNeededText:
    'When gander-hub started for the first time, it printed a one-time set-up link. Open that link to create the first admin.',
  setupNeededLog: 'Find it in the log: journalctl -u gander-hub, or docker compose logs hub',
  plainHttp:
    'This page came over plain HTTP: passwords travel unprotected. Put gander behind HTTPS, or use it only in a network you trust.',
  show: 'Show password',
  hide: 'Hide password',
};

export const setup = {
  title: 'Welcome to gander',
  lead: 'Create the first admin. This link works once.',
  repeat: 'Repeat the password',
  mismatch: 'The two passwords differ.',
  tooShort: 'At least 8 characters.',
  submit: 'Create admin and log in',
  noToken: 'This link has no set-up token. Open the whole link that gander-hub printed when it started.',
  done: 'This hub is already set up.',
  toLogin: 'Go to log-in',
};
