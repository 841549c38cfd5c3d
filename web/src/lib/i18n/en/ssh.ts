// How the hub gets into a server over SSH.

export const ssh = {
  title: 'SSH log-in',
  software: 'Server software',
  keyExchange: 'Key exchange',
  cipher: 'Encryption',
  hostKeyAlgorithm: 'Host key proved with',
  strict: 'Strict key exchange',
  strictYes: 'in force (safe from Terrapin)',
  strictNo: 'not offered by the server; this encryption is safe from Terrapin all the same',
  terrapin: 'not in force: open to the Terrapin attack. Update the server’s sshd.',
  hubKey: 'The hub’s key',
  ownKey: 'Its own key',
  unused: 'not used: the hub logs in with the password',
  locked: 'Locked to reading',
  open: 'May run commands',
  lock: 'Lock the key to reading values…',
  lockText:
    'Run the script on the server, as the user the hub logs in as. From then on the key can read values and nothing else: no command, no shell, no forwarding, no files. Everything gander shows stays.',
  lockPassword: 'It locks the hub’s own key. After that, choose that key as the log-in under Edit.',
  lockScript: 'Script to run on the server',
  lockLine: 'The line it writes into authorized_keys',
};
