// 各页通用的文字和外框。

import type { Dict } from '../en';

export const common: Dict['common'] = {
  loading: '加载中…',
  retry: '重试',
  close: '关闭',
  cancel: '取消',
  save: '保存',
  delete: '删除',
  edit: '编辑',
  back: '返回',
  copy: '复制',
  copied: '已复制',
  never: '从未',
  justNow: '刚刚',
  ago: (span) => `${span}前`,
  optional: '可选',
  all: '全部',
  none: '无',
  unknown: '未知',
  more: '加载更多',
  showAll: (count) => `显示全部 ${count} 项`,
  notifications: '通知',
  skip: '跳到正文',
  adminOnly: '只有管理员可以这样做，您是只读用户。',
  leaveUnsaved: '有改动尚未保存，确定离开此页吗？',
  saved: '已保存。',
  clear: '清除',
  server: '服务器',
  time: '时间',
  from: '从',
  to: '到',
  yes: '是',
  no: '否',
};

export const nav: Dict['nav'] = {
  main: '主导航',
  fleet: '服务器',
  alerts: '告警',
  data: '数据',
  events: '事件',
  settings: '设置',
  account: '账户',
  logout: '退出登录',
  language: '语言',
  theme: '外观',
  themes: { system: '跟随系统', light: '浅色', dark: '深色' },
};

export const connection: Dict['connection'] = {
  connecting: '连接中…',
  live: '实时',
  reconnecting: '重新连接中…',
  offline: '已断开',
  updated: (ago) => `${ago}更新`,
  staleTitle: '与监控中枢的连接已断开',
  staleText: (ago) => `所见数据来自${ago}，正在重试…`,
  unreachableTitle: '监控中枢没有应答',
  unreachableText: 'gander-hub 是否在运行？这台电脑能否访问它？页面会自动重试。',
};

export const status: Dict['status'] = {
  online: '在线',
  offline: '离线',
  unknown: '尚未连接',
  paused: '已暂停',
};

export const level: Dict['level'] = { warning: '警告', critical: '严重' };

export const role: Dict['role'] = { admin: '管理员', viewer: '只读用户' };

export const transport: Dict['transport'] = {
  auto: '自动',
  ssh: 'SSH',
  agent: '代理程序',
  local: '本机',
};

export const transportHint: Dict['transportHint'] = {
  auto: '代理程序在线时用代理程序，否则用 SSH。',
  ssh: '只用 SSH，服务器上不安装任何东西。',
  agent: '只用代理程序，从不使用 SSH。',
  local: '监控中枢所在的机器。',
};

export const notFound: Dict['notFound'] = {
  title: '这里什么也没有',
  text: '此页面不存在。',
  home: '前往服务器列表',
};
