// 事件页和事件类型。

import type { Dict } from '../en';

export const events: Dict['events'] = {
  title: '事件',
  lead: '发生了什么，由谁所为。',
  none: '还没有事件。',
  any: '全部类型',
  kind: '类型',
  hub: 'gander',
  deletedServer: (id) => `服务器 ${id}`,
  kinds: {
    hub_started: '中枢启动',
    server_added: '添加服务器',
    server_changed: '修改服务器',
    server_deleted: '删除服务器',
    server_online: '上线',
    server_offline: '离线',
    server_rebooted: '重启',
    host_key_pinned: '固定主机密钥',
    host_key_changed: '主机密钥改变',
    alert_resolved: '解决告警',
    samples_deleted: '删除数值',
    logged_in: '登录',
    login_failed: '登录失败',
    user_changed: '用户变更',
    token_changed: 'API 令牌变更',
    backup_made: '备份完成',
    backup_failed: '备份失败',
    database_restored: '恢复数据库',
    data_imported: '导入数据',
    storage_failed: '数据曾无法写入',
  },
  parts: {
    offlineFor: (span) => `离线 ${span}`,
    bootedBefore: (span) => `${span}前启动`,
    samples: (count) => `${count} 个样本`,
    before: (date) => `${date}之前`,
  },
  by: '操作者',
  what: '事件',
  details: '详情',
};
