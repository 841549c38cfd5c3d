// Short messages in the corner. What matters stays until it is read; the rest goes by itself.

export interface Toast {
  id: number;
  kind: 'ok' | 'critical' | 'warning';
  text: string;
  link?: { href: string; text: string };
}

class Toasts {
  list = $state.raw<Toast[]>([]);
  #next = 1;

  show(toast: Omit<Toast, 'id'>): void {
    const id = this.#next++;
    this.list = [...this.list.slice(-3), { ...toast, id }];
    setTimeout(() => this.dismiss(id), toast.kind === 'ok' ? 5_000 : 12_000);
  }

  ok(text: string): void {
    this.show({ kind: 'ok', text });
  }

  dismiss(id: number): void {
    this.list = this.list.filter((toast) => toast.id !== id);
  }
}

export const toasts = new Toasts();
