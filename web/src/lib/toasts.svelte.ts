// Short messages in the corner. What matters stays until it is read; the rest goes by itself.

export interface Toast {
  id: number;
  kind: 'ok' | 'critical' | 'warning';
  text: string;
  link?: { href: string; text: string };
  /** A new one takes the place of the one with the same key. */
  key?: string;
  /** Called when it goes, by itself or by a person. */
  ongone?: () => void;
}

class Toasts {
  list = $state.raw<Toast[]>([]);
  #next = 1;

  show(toast: Omit<Toast, 'id'>): void {
    const id = this.#next++;
    const others = toast.key ? this.list.filter((one) => one.key !== toast.key) : this.list;
    this.list = [...others.slice(-3), { ...toast, id }];
    setTimeout(() => this.dismiss(id), toast.kind === 'ok' ? 5_000 : 12_000);
  }

  ok(text: string): void {
    this.show({ kind: 'ok', text });
  }

  dismiss(id: number): void {
    this.list.find((toast) => toast.id === id)?.ongone?.();
    this.list = this.list.filter((toast) => toast.id !== id);
  }
}

export const toasts = new Toasts();
