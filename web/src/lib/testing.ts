// Makers of hub answers for tests.

import type { Alert, Server, Stats } from '$lib/api/types';

export function aServer(id: number, change: Partial<Server> = {}): Server {
  return {
    id,
    name: `server-${id}`,
    ip: `10.0.0.${id}`,
    ssh_user: 'deploy',
    ssh_port: 22,
    transport: 'auto',
    interval_seconds: null,
    effective_interval_seconds: 30,
    jump_server_id: null,
    tags: [],
    group: null,
    enabled: true,
    cpu_threshold: 80,
    cpu_critical_threshold: 90,
    memory_threshold: 85,
    memory_critical_threshold: 90,
    disk_threshold: 90,
    disk_critical_threshold: 95,
    has_password: true,
    has_key: false,
    credential: null,
    host_key: null,
    ssh_locked: null,
    status: 'online',
    status_since: null,
    last_success: null,
    failure_count: 0,
    error: null,
    origin: 'ssh',
    transport_state: null,
    created_at: '2026-11-22T08:00:00.000Z',
    updated_at: '2026-11-22T08:00:00.000Z',
    latest: null,
    active_alerts: { warning: 0, critical: 0 },
    ...change,
  };
}

export function anAlert(id: number, change: Partial<Alert> = {}): Alert {
  return {
    id,
    server_id: 1,
    server_name: 'server-1',
    type: 'cpu',
    code: 'cpu_over_threshold',
    params: {},
    message: '',
    level: 'warning',
    label: '',
    resolved: false,
    resolved_at: null,
    resolved_by: null,
    created_at: '2026-11-22T08:00:00.000Z',
    ...change,
  };
}

export const someStats: Stats = {
  total: 1,
  online: 1,
  offline: 0,
  unknown: 0,
  paused: 0,
  active_alerts: 0,
  warning_alerts: 0,
  critical_alerts: 0,
  average_cpu_usage: null,
  average_memory_usage: null,
  average_disk_usage: null,
};
