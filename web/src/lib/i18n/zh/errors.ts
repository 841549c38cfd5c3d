// 中文：为什么读不到某台服务器，为什么请求被拒绝。没有译文的代码按中枢自己的话显示。

import type { Errors } from '../en/errors';

type P = Record<string, string>;

const at = (p: P) => (p.host ? `${p.host}${p.port ? `:${p.port}` : ''}` : '该地址');

export const errorsZh: Errors = {
  collect: {
    unknown_host: (p) => `无法解析主机名 ${p.host ?? ''}，请检查拼写和 DNS。`,
    connection_refused: (p) => `${at(p)} 拒绝连接：sshd 是否在运行，端口是否正确？`,
    no_route: (p) => `没有到 ${at(p)} 的路由，请检查网络和地址。`,
    timeout: (p) => `${at(p)} 没有及时应答：机器是否开机，防火墙是否放行？`,
    protocol: (p) => `${at(p)} 应答的不是可用的 SSH 服务，请检查端口。`,
    password_refused: (p) => `用户 ${p.user ?? ''} 的密码被拒绝，请设置正确的密码。`,
    key_refused: (p) =>
      `密钥${p.fingerprint ? ` ${p.fingerprint} ` : ''}被拒绝：请把它加入 ~${p.user ?? ''}/.ssh/authorized_keys。`,
    key_unreadable: () => '私钥无法读取，或口令错误。',
    certificate_refused: (p) =>
      ({
        expired: `证书 ${p.key_id ?? ''} 已于 ${p.moment ?? ''} 过期：请签发新证书并填入。`,
        not_yet: `证书 ${p.key_id ?? ''} 要到 ${p.moment ?? ''} 才生效：请检查时钟。`,
        principals: `证书 ${p.key_id ?? ''} 不适用于用户 ${p.user ?? ''}：请签发适用的证书。`,
      })[p.cause ?? ''] ?? `证书 ${p.key_id ?? ''} 被拒绝：服务器须信任其颁发者（TrustedUserCAKeys）。`,
    ssh_agent: (p) =>
      ({
        not_set: '监控中枢没有可用的 ssh-agent：请设置 ssh.agent_socket（GANDER_SSH_AGENT_SOCKET）。',
        silent: `${p.socket ?? ''} 的 ssh-agent 没有应答：它是否在运行，监控中枢能否打开它？`,
        empty: '监控中枢的 ssh-agent 里没有密钥：请用 ssh-add 添加。',
        no_such_key: `监控中枢的 ssh-agent 里没有密钥 ${p.detail ?? ''}：请用 ssh-add 添加。`,
      })[p.cause ?? ''] ?? '监控中枢的 ssh-agent 拒绝签名：它是否被锁定？',
    no_credential: () => '没有保存密码或密钥，请编辑服务器并设置。',
    login_method: (p) => `服务器不接受为用户 ${p.user ?? ''} 保存的登录方式，请设置它接受的密码或密钥。`,
    host_key_changed: () => '主机密钥与已接受的不同。请核对后接受，或查明原因。',
    host_certificate: (p) =>
      p.cause === 'revoked'
        ? `主机出示的密钥已被吊销${p.fingerprint ? `（${p.fingerprint}）` : ''}：请为它更换主机密钥。`
        : p.cause === 'missing'
          ? '主机没有出示受信任的颁发者签发的证书，也没有固定的密钥：请编辑服务器并核对它的密钥。'
          : `主机证书 ${p.key_id ?? ''} 无效（${p.reason ?? ''}）：请重新签发。`,
    jump_host: (p) => `无法通过跳板机${p.jump ? ` ${p.jump}` : ''}。`,
    disconnected: (p) => `与 ${at(p)} 的连接中断，正在重新连接。`,
    probe_failed: () => '登录 shell 没有运行采集脚本：该用户需要 shell，或 gander 的强制命令。',
    too_much_output: () => '服务器的输出超过一次读取的上限，请检查登录脚本是否有多余输出。',
    not_linux: () => '这不是 Linux 机器：gander 只读取 Linux。',
    local: () => '无法读取本机数据。',
    agent_silent: (p) =>
      `代理程序${p.silence ? `已有 ${p.silence} ` : ''}没有上报数据。请检查 gander-agent 是否在运行、能否连到监控中枢。`,
  },
  api: {
    network: '监控中枢没有应答。请检查网络后重试。',
    login_required: '尚未登录。',
    admin_required: '只有管理员可以这样做，您是只读用户。',
    not_found: '它已不存在。',
    validation_failed: '请检查下面标出的字段。',
    internal_error: '监控中枢没能完成，原因在它的日志里。',
    invalid_json: '监控中枢无法读懂请求。',
    bad_request: '监控中枢无法理解该请求。',
    unsupported_media_type: '监控中枢无法读懂请求。',
    body_too_large: '内容过大。',
    wrong_credentials: '用户名或密码错误。',
    too_many_attempts: '失败次数过多。',
    too_many_connections: '与监控中枢的连接过多。',
    name_taken: '这个名称已被使用。',
    jump_host_in_use: '有其他服务器经由这台连接：请先为它们更换跳板机。',
    plan_changed: '预览之后服务器有变动：请重新预览。没有写入任何内容。',
    credential_in_use: '有服务器在使用此登录凭据：请先为它们更换登录方式。',
    authority_taken: '此密钥已经录入：请修改那一项。',
    ssh_agent: '监控中枢的 ssh-agent 没有应答，或没有这个密钥。',
    last_admin: '这是最后一名管理员：请先把别人设为管理员。',
    local_server: '这是监控中枢所在的机器：没有可测试的连接。',
    already_set_up: '本系统已完成初始设置。',
    invalid_setup_token: '此设置链接已失效，请使用 gander-hub 最近打印的链接。',
    cross_site: '监控中枢不认识此地址，请设置 public_url（GANDER_PUBLIC_URL）。',
    secret_unreadable: '无法用监控中枢的主密钥打开已保存的密文。',
    session_required: '此操作需要用户名和密码登录。',
    disk_full: '监控中枢的磁盘已满，请释放空间。',
    database_read_only: '监控中枢无法写入数据库，请检查文件的所有者。',
    database_busy: '另一个程序占用了监控中枢的数据库，请重试。',
    timeout: '监控中枢处理超时，请重试。',
    busy: '监控中枢正忙，请稍后重试。',
    method_not_allowed: '监控中枢不支持此操作。',
    upgrade_required: '实时数据需要 WebSocket：中间的代理没有放行。',
    invalid_token: '此 API 令牌无效或已失效。',
    backup_running: '已有备份正在进行。',
    no_agent:
      '此中枢没有该平台的代理程序：请把它放入 grpc.agent_directory（GANDER_AGENT_DIRECTORY）指定的目录。',
    no_hub_key: '监控中枢还没有自己的密钥，请重启它。',
    key_unreadable: '保存的私钥无法读取，或口令错误。',
    shutting_down: '监控中枢正在关闭。',
  },
  retryAfter: (span) => `请在 ${span}后重试。`,
  unexpectedStatus: (status) => `您与监控中枢之间的某个环节返回了状态 ${status}。`,
  unexpected: '页面出错，请重新加载。',
};
