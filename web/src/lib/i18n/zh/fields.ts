// 字段错误，按中枢的错误码。缺一个码就无法编译。

import type { FieldSentences, Values } from '../en/fields';

const kinds: Record<string, string> = {
  null: '空值',
  boolean: '布尔值',
  number: '数字',
  text: '文本',
  list: '列表',
  object: '对象',
};
const kind = (name: string | undefined) => (name && kinds[name]) ?? name ?? '其他类型';
const range = (p: Values) => (p.min && p.max ? `（${p.min} 到 ${p.max}）` : '');
/** 中枢只给出英文原因时附在后面。 */
const because = (p: Values, sentence: string) => (p.reason ? `${sentence}（${p.reason}）` : `${sentence}。`);

export const fieldsZh: FieldSentences = {
  required: () => '必填。',
  required_unless: (p) => `必填，除非填写了“${p.other ?? ''}”。`,
  required_with: (p) => `填写了“${p.other ?? ''}”时必填。`,
  null: () => '必须有值。',
  empty: () => '不能为空。',
  length: (p) => `有 ${p.length ?? '?'} 个字符，允许 ${p.min ?? '?'} 到 ${p.max ?? '?'} 个。`,
  too_many_bytes: (p) => `有 ${p.length ?? '?'} 字节，最多 ${p.max ?? '?'} 字节。`,
  too_many_entries: (p) => `有 ${p.count ?? '?'} 项，最多 ${p.max ?? '?'} 项。`,
  entry_length: (p) => `每项须为单行，${p.min ?? '?'} 到 ${p.max ?? '?'} 个字符。`,
  entry_number: () => '每项须为整数。',
  control_character: () => '含有换行、制表符或其他控制字符。',
  white_space: () => '不能含有空格。',
  wrong_type: (p) => `这是${kind(p.actual)}，应为${kind(p.expected)}。`,
  whole_number: (p) => `须为整数${range(p)}${p.value ? `，现在是 ${p.value}` : ''}。`,
  number: (p) => `须为数字${range(p)}。`,
  not_allowed: (p) => `不能是“${p.value ?? ''}”，可选：${p.allowed ?? ''}。`,
  time: (p) => `“${p.value ?? ''}”不是时间。`,
  in_the_past: () => '时间已过去。',
  not_before: (p) => `须早于“${p.other ?? ''}”。`,
  below_other: (p) => `不能低于“${p.other ?? ''}”（${p.min ?? '?'}）。`,
  not_together: (p) => `不能与“${p.other ?? ''}”同时填写。`,
  twice: () => '重复填写。',
  unknown: () => '监控中枢不认识此字段：页面是否比中枢旧？请重新加载。',
  taken: () => '已被使用，请换一个。',
  host: () => '须为 IPv4 地址、IPv6 地址或主机名（web-1.example.org）。',
  host_key: (p) => because(p, '不是可读的主机密钥'),
  private_key: (p) => because(p, '不是可读的私钥，或口令不正确'),
  certificate: (p) => because(p, '不是可用的用户证书'),
  fingerprint: () => '须为 ssh-add -l 显示的指纹：SHA256:…',
  known_hosts: (p) => because(p, '不是 known_hosts 的格式'),
  no_such_credential: () => '这个登录凭据已不存在。',
  no_such_server: () => '这台服务器已不存在。',
  jump_host: (p) => (p.max ? `形成环路，或经过的跳板机超过 ${p.max} 台。` : because(p, '不能作为跳板机')),
  jump_not_selected: (p) =>
    p.name && p.jump
      ? `${p.name} 经由 ${p.jump} 连接，而后者没有选择：请同时选择或都不选。`
      : '经由另一台未选择的主机连接：请同时选择或都不选。',
  local_server: () => '这是监控中枢所在的机器：只能直接读取。',
  username: () => '只能用字母（a 到 z）、数字和 . _ - @。',
  wrong_password: () => '密码错误。',
  cursor: (p) => because(p, '列表的这一页已不存在'),
  metric: (p) => because(p, '没有这个指标'),
  invalid: (p) => because(p, '此处不可用'),
};
