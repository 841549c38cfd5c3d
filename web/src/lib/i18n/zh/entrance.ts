// 登录和初始设置。

import type { Dict } from '../en';

export const login: Dict['login'] = {
  title: '登录',
  lead: '看一眼您的每一台服务器。',
  username: '用户名',
  password: '密码',
  submit: '登录',
  busy: '登录中…',
  ended: '会话已结束，登录后可从原处继续。',
  setupNeeded: '系统还没有用户',
  setupNeededText: 'gander-hub 首次启动时打印了一次性设置链接，请打开该链接创建第一位管理员。',
  setupNeededLog: '可在日志中找到：journalctl -u gander-hub，或 docker compose logs hub',
  plainHttp: '此页面通过明文 HTTP 传输，密码没有保护。请为 gander 配置 HTTPS，或只在可信网络中使用。',
  show: '显示密码',
  hide: '隐藏密码',
};

export const setup: Dict['setup'] = {
  title: '欢迎使用 gander',
  lead: '创建第一位管理员。此链接只能使用一次。',
  repeat: '再次输入密码',
  mismatch: '两次输入的密码不同。',
  tooShort: '至少 8 个字符。',
  submit: '创建管理员并登录',
  noToken: '链接中没有设置令牌。请打开 gander-hub 启动时打印的完整链接。',
  done: '系统已完成初始设置。',
  toLogin: '前往登录',
};
