// 监控中枢如何通过 SSH 登录服务器。

export const ssh = {
  title: 'SSH 登录',
  software: '服务器软件',
  keyExchange: '密钥交换',
  cipher: '加密',
  hostKeyAlgorithm: '主机密钥算法',
  strict: '严格密钥交换',
  strictYes: '已启用（不受 Terrapin 攻击影响）',
  strictNo: '服务器不支持；但当前加密方式不受 Terrapin 攻击影响',
  terrapin: '未启用：可能受到 Terrapin 攻击，请升级服务器的 sshd。',
  hubKey: '监控中枢的密钥',
  ownKey: '该服务器的密钥',
  unused: '未使用：监控中枢用密码登录',
  locked: '仅可读取',
  open: '可执行命令',
  lock: '将密钥限制为仅可读取…',
  lockText:
    '在服务器上以监控中枢的登录用户执行此脚本。之后该密钥只能读取监控数据：不能执行命令、打开终端、转发端口或传输文件。gander 显示的内容不受影响。',
  lockPassword: '它限制的是监控中枢自己的密钥。完成后，请在“编辑”中改用该密钥登录。',
  lockScript: '在服务器上执行的脚本',
  lockLine: '写入 authorized_keys 的内容',
};
