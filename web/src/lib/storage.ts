// What this browser remembers. Storage may be switched off: then nothing is remembered, and nothing breaks.

const prefix = 'gander.';

export function recall(name: string): string | null {
  try {
    return localStorage.getItem(prefix + name);
  } catch {
    return null;
  }
}

export function remember(name: string, value: string | null): void {
  try {
    if (value === null) localStorage.removeItem(prefix + name);
    else localStorage.setItem(prefix + name, value);
  } catch {
    // Not remembered.
  }
}

/** A remembered word out of a fixed set. */
export function recallOne<T extends string>(name: string, allowed: readonly T[], fallback: T): T {
  const value = recall(name);
  return (allowed as readonly (string | null)[]).includes(value) ? (value as T) : fallback;
}
