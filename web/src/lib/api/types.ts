// The shapes the hub speaks, by short names.

export type Role = 'viewer' | 'admin';
export type Level = 'warning' | 'critical';
export type Status = 'unknown' | 'online' | 'offline' | 'paused';
export type Transport = 'auto' | 'ssh' | 'agent' | 'local';
export type Origin = 'ssh' | 'local' | 'agent';
export type Params = Record<string, unknown>;

export interface HostKey {
  algorithm: string;
  fingerprint: string;
  public_key: string;
}

export interface CollectError {
  code: string;
  message: string;
  params: Params;
}

export interface Latest {
  taken_at: string;
  cpu_usage: number | null;
  memory_usage: number | null;
  disk_usage: number | null;
  disk_worst: { mount_point: string; usage: number } | null;
  swap_usage: number | null;
  load_1: number | null;
  load_5: number | null;
  load_15: number | null;
  processes: number | null;
  uptime_seconds: number | null;
  network_receive_bytes_per_second: number | null;
  network_transmit_bytes_per_second: number | null;
  disk_read_bytes_per_second: number | null;
  disk_write_bytes_per_second: number | null;
  os: string | null;
  kernel: string | null;
  hostname: string | null;
  cpu_cores: number | null;
  memory_total_bytes: number | null;
}

export interface Server {
  id: number;
  name: string;
  ip: string;
  ssh_user: string;
  ssh_port: number;
  transport: Transport;
  interval_seconds: number | null;
  effective_interval_seconds: number;
  jump_server_id: number | null;
  tags: string[];
  group: string | null;
  enabled: boolean;
  cpu_threshold: number;
  cpu_critical_threshold: number;
  memory_threshold: number;
  memory_critical_threshold: number;
  disk_threshold: number;
  disk_critical_threshold: number;
  has_password: boolean;
  has_key: boolean;
  host_key: HostKey | null;
  status: Status;
  status_since: string | null;
  last_success: string | null;
  failure_count: number;
  error: CollectError | null;
  origin: Origin | null;
  created_at: string;
  updated_at: string;
  latest: Latest | null;
  active_alerts: { warning: number; critical: number };
}

export interface Alert {
  id: number;
  server_id: number;
  server_name: string;
  type: string;
  code: string;
  params: Params;
  message: string;
  level: Level;
  label: string;
  resolved: boolean;
  resolved_at: string | null;
  resolved_by: string | null;
  created_at: string;
}

export interface Stats {
  total: number;
  online: number;
  offline: number;
  active_alerts: number;
  cpu_usage: number | null;
  memory_usage: number | null;
  disk_usage: number | null;
}

export interface User {
  id: number;
  username: string;
  role: Role;
  created_at: string;
}

/** What one look at a machine tells; a section that was not read is null. */
export interface Snapshot {
  cpu: {
    usage_permille: number;
    user_permille: number;
    system_permille: number;
    iowait_permille: number;
    steal_permille: number;
    cores_permille: number[];
  } | null;
  memory: {
    total_bytes: number;
    used_bytes: number;
    available_bytes: number;
    free_bytes: number;
    buffers_bytes: number;
    cached_bytes: number;
  } | null;
  swap: { total_bytes: number; used_bytes: number } | null;
  load: { one_hundredths: number; five_hundredths: number; fifteen_hundredths: number } | null;
  uptime_seconds: number | null;
  boot_id: string | null;
  processes: {
    total: number | null;
    threads: number | null;
    running: number | null;
    blocked: number | null;
  } | null;
  pressure: Record<
    | 'cpu_some_permille'
    | 'memory_some_permille'
    | 'memory_full_permille'
    | 'io_some_permille'
    | 'io_full_permille',
    number | null
  > | null;
  sockets: { tcp_in_use: number | null; tcp_time_wait: number | null; udp_in_use: number | null } | null;
  filesystems: Filesystem[] | null;
  disks:
    | {
        device: string;
        rates: {
          read_bytes_per_second: number;
          write_bytes_per_second: number;
          reads_per_second: number;
          writes_per_second: number;
          utilisation_permille: number;
          await_us: number | null;
        } | null;
      }[]
    | null;
  interfaces:
    | {
        name: string;
        rates: {
          receive_bytes_per_second: number;
          transmit_bytes_per_second: number;
          receive_packets_per_second: number;
          transmit_packets_per_second: number;
          errors: number;
          drops: number;
        } | null;
      }[]
    | null;
  temperatures: { sensor: string; millicelsius: number }[] | null;
  system: {
    hostname: string | null;
    os: string | null;
    os_id: string | null;
    kernel: string | null;
    architecture: string | null;
    cpu_model: string | null;
    cpu_cores: number | null;
  } | null;
  faults: { section: string; reason: string }[];
}

export interface Filesystem {
  mount_point: string;
  device: string;
  kind: string | null;
  total_bytes: number;
  used_bytes: number;
  available_bytes: number;
  usage_permille: number;
  inodes_total: number | null;
  inodes_used: number | null;
}
