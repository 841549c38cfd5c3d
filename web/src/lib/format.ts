// Numbers, sizes, spans and dates for people: the one place that knows a locale.
// Pure: the locale comes in as an argument (lib/i18n binds it to the chosen language).

export type Language = 'zh' | 'en';

/** What stands where a value is absent. Absent is never zero. */
export const absent = '–';

const byteUnits = ['B', 'KiB', 'MiB', 'GiB', 'TiB', 'PiB', 'EiB'] as const;

const spanUnits = {
  en: { day: 'd', hour: 'h', minute: 'min', second: 's', gap: ' ' },
  zh: { day: '天', hour: '小时', minute: '分钟', second: '秒', gap: '' },
} as const;

type Value = number | null | undefined;

function known(value: Value): value is number {
  return value !== null && value !== undefined && Number.isFinite(value);
}

export class Formatter {
  readonly #numbers = new Map<number, Intl.NumberFormat>();
  readonly #dates = new Map<string, Intl.DateTimeFormat>();

  constructor(
    readonly language: Language,
    readonly locale: string,
    /** Of the viewer; `undefined` takes the browser's. */
    readonly timeZone?: string,
  ) {}

  /** A number with thousands separators and up to `digits` decimals. */
  number(value: Value, digits = 0): string {
    if (!known(value)) return absent;
    let format = this.#numbers.get(digits);
    if (!format) {
      format = new Intl.NumberFormat(this.locale, { maximumFractionDigits: digits });
      this.#numbers.set(digits, format);
    }
    return format.format(value);
  }

  /** A number with exactly `digits` decimals, for columns that must not dance. */
  fixed(value: Value, digits: number): string {
    if (!known(value)) return absent;
    const key = -1 - digits;
    let format = this.#numbers.get(key);
    if (!format) {
      format = new Intl.NumberFormat(this.locale, {
        minimumFractionDigits: digits,
        maximumFractionDigits: digits,
      });
      this.#numbers.set(key, format);
    }
    return format.format(value);
  }

  /** `42.3%` of a value in percent. */
  percent(value: Value, digits = 1): string {
    return known(value) ? `${this.fixed(value, digits)}%` : absent;
  }

  /** A share of a whole where room is short: `42.3%`, and `100%` when it is full. */
  share(value: Value): string {
    return this.percent(value, known(value) && value >= 99.95 ? 0 : 1);
  }

  /** `1.5 GiB`, three significant digits. */
  bytes(value: Value): string {
    if (!known(value)) return absent;
    let scaled = Math.abs(value);
    let unit = 0;
    // 1023.6 KiB would be shown as 1024: move on to the next unit before that.
    while (scaled >= 999.5 && unit < byteUnits.length - 1) {
      scaled /= 1024;
      unit += 1;
    }
    const digits = unit === 0 || scaled >= 99.95 ? 0 : scaled >= 9.995 ? 1 : 2;
    return `${value < 0 ? '-' : ''}${this.number(scaled, digits)} ${byteUnits[unit]}`;
  }

  /** `1.5 MiB/s`. */
  rate(value: Value): string {
    return known(value) ? `${this.bytes(value)}/s` : absent;
  }

  /** `3 d 4 h`: the two largest units of a span in seconds. */
  duration(seconds: Value): string {
    if (!known(seconds)) return absent;
    const unit = spanUnits[this.language];
    const whole = Math.max(0, Math.floor(seconds));
    const parts: [number, string][] = [
      [Math.floor(whole / 86_400), unit.day],
      [Math.floor(whole / 3600) % 24, unit.hour],
      [Math.floor(whole / 60) % 60, unit.minute],
      [whole % 60, unit.second],
    ];
    const first = parts.findIndex(([count]) => count > 0);
    if (first === -1) return `0${this.language === 'zh' ? '' : ' '}${unit.second}`;
    const space = this.language === 'zh' ? '' : ' ';
    return parts
      .slice(first, first + 2)
      .filter(([count]) => count > 0)
      .map(([count, name]) => `${this.number(count)}${space}${name}`)
      .join(unit.gap);
  }

  /** `+1.25 s`: how far a clock is ahead, from milliseconds. */
  offset(milliseconds: Value): string {
    if (!known(milliseconds)) return absent;
    const seconds = milliseconds / 1000;
    const size = Math.abs(seconds);
    const sign = seconds < 0 ? '−' : '+';
    return size < 100 ? `${sign}${this.number(size, 2)} s` : `${sign}${this.duration(size)}`;
  }

  /** `5 y`, `45 d`: a long span in the largest unit that says it exactly. */
  span(seconds: Value): string {
    if (!known(seconds)) return absent;
    const year = 365 * 86_400;
    if (seconds < year || seconds % year !== 0) return this.duration(seconds);
    const count = this.number(seconds / year);
    return this.language === 'zh' ? `${count}年` : `${count} y`;
  }

  /** `2 min`: the largest unit alone, for "2 min ago". */
  roughly(seconds: Value): string {
    if (!known(seconds)) return absent;
    const whole = Math.max(0, Math.floor(seconds));
    const step = whole < 60 ? 1 : whole < 3600 ? 60 : whole < 86_400 ? 3600 : 86_400;
    return this.duration(Math.floor(whole / step) * step);
  }

  /** `22 Nov 2026, 16:04:05` in the viewer's time zone. */
  dateTime(moment: string | number | null | undefined): string {
    return this.#date(moment, 'dateTime', {
      year: 'numeric',
      month: 'short',
      day: 'numeric',
      hour: '2-digit',
      minute: '2-digit',
      second: '2-digit',
      hourCycle: 'h23',
    });
  }

  /** `22 Nov, 16:04`. */
  shortDateTime(moment: string | number | null | undefined): string {
    return this.#date(moment, 'shortDateTime', {
      month: 'short',
      day: 'numeric',
      hour: '2-digit',
      minute: '2-digit',
      hourCycle: 'h23',
    });
  }

  /** `22 Nov 2026`. */
  date(moment: string | number | null | undefined): string {
    return this.#date(moment, 'date', { year: 'numeric', month: 'short', day: 'numeric' });
  }

  /** `22 Nov`. */
  day(moment: string | number | null | undefined): string {
    return this.#date(moment, 'day', { month: 'short', day: 'numeric' });
  }

  /** `16:04`, or with seconds `16:04:05`. */
  time(moment: string | number | null | undefined, seconds = true): string {
    return this.#date(moment, seconds ? 'time' : 'minute', {
      hour: '2-digit',
      minute: '2-digit',
      ...(seconds ? { second: '2-digit' } : {}),
      hourCycle: 'h23',
    });
  }

  #date(
    moment: string | number | null | undefined,
    name: string,
    options: Intl.DateTimeFormatOptions,
  ): string {
    if (moment === null || moment === undefined) return absent;
    const date = new Date(moment);
    if (Number.isNaN(date.getTime())) return absent;
    let format = this.#dates.get(name);
    if (!format) {
      format = new Intl.DateTimeFormat(this.locale, {
        ...options,
        ...(this.timeZone ? { timeZone: this.timeZone } : {}),
      });
      this.#dates.set(name, format);
    }
    return format.format(date);
  }
}

/** What a value means against its two thresholds. */
export type Severity = 'ok' | 'warning' | 'critical';

export function severity(value: Value, warning: number, critical: number): Severity {
  if (!known(value)) return 'ok';
  return value >= critical ? 'critical' : value >= warning ? 'warning' : 'ok';
}

/** Milliseconds since 1970 of an RFC 3339 text; null for none. */
export function millis(moment: string | null | undefined): number | null {
  if (!moment) return null;
  const value = Date.parse(moment);
  return Number.isNaN(value) ? null : value;
}

/** A date and time for `<input type="datetime-local">`, in the viewer's time zone, to the minute. */
export function toLocalInput(moment: number): string {
  const date = new Date(moment);
  const two = (value: number) => String(value).padStart(2, '0');
  const day = `${date.getFullYear()}-${two(date.getMonth() + 1)}-${two(date.getDate())}`;
  return `${day}T${two(date.getHours())}:${two(date.getMinutes())}`;
}

/** The moment a `<input type="datetime-local">` means; null when it is empty. */
export function fromLocalInput(text: string): number | null {
  const value = new Date(text).getTime();
  return text === '' || Number.isNaN(value) ? null : value;
}
