import { describe, expect, it } from 'vitest';
import { absent, Formatter, fromLocalInput, severity, toLocalInput } from './format';

const en = new Formatter('en', 'en-GB', 'UTC');
const zh = new Formatter('zh', 'zh-CN', 'Asia/Shanghai');

describe('numbers', () => {
  it('shows what is absent as absent, and zero as zero', () => {
    for (const value of [null, undefined, Number.NaN, Infinity]) {
      expect(en.number(value)).toBe(absent);
      expect(en.percent(value)).toBe(absent);
      expect(en.bytes(value)).toBe(absent);
      expect(en.rate(value)).toBe(absent);
      expect(en.duration(value)).toBe(absent);
    }
    expect(en.number(0)).toBe('0');
    expect(en.percent(0)).toBe('0.0%');
    expect(en.bytes(0)).toBe('0 B');
  });

  it('keeps the decimals of a percentage, so that columns stand still', () => {
    expect(en.percent(42)).toBe('42.0%');
    expect(en.percent(99.96)).toBe('100.0%');
  });

  it('leaves the decimal of a full share out where room is short', () => {
    expect(en.share(99.94)).toBe('99.9%');
    expect(en.share(99.95)).toBe('100%');
    expect(en.share(null)).toBe(absent);
  });

  it('writes sizes with three digits in the unit that fits', () => {
    expect(en.bytes(999)).toBe('999 B');
    expect(en.bytes(1024)).toBe('1 KiB');
    expect(en.bytes(1536)).toBe('1.5 KiB');
    expect(en.bytes(1023.9 * 1024)).toBe('1 MiB');
    expect(en.bytes(123.4 * 1024 ** 3)).toBe('123 GiB');
    expect(en.bytes(9.876 * 1024 ** 4)).toBe('9.88 TiB');
    expect(en.bytes(-2048)).toBe('-2 KiB');
    expect(en.rate(2048)).toBe('2 KiB/s');
  });
});

describe('spans', () => {
  it('says how far a clock is off, and which way', () => {
    expect([en.offset(1250), en.offset(-40), en.offset(3_600_000)]).toEqual(['+1.25 s', '−0.04 s', '+1 h']);
  });

  it('says years where they are whole', () => {
    expect([en.span(365 * 86_400), zh.span(730 * 86_400)]).toEqual(['1 y', '2年']);
    expect(en.span(400 * 86_400)).toBe('400 d');
    expect(en.span(null)).toBe(absent);
  });

  it('shows the two largest units', () => {
    expect(en.duration(0)).toBe('0 s');
    expect(en.duration(61)).toBe('1 min 1 s');
    expect(en.duration(86_400 * 3 + 3600 * 4 + 59)).toBe('3 d 4 h');
    expect(en.duration(86_400)).toBe('1 d');
    expect(zh.duration(86_400 * 3 + 3600 * 4)).toBe('3天4小时');
    expect(zh.duration(0)).toBe('0秒');
  });

  it('shows the largest alone where it is rough', () => {
    expect(en.roughly(59)).toBe('59 s');
    expect(en.roughly(119)).toBe('1 min');
    expect(en.roughly(86_400 * 2 + 3600 * 5)).toBe('2 d');
  });
});

describe('dates', () => {
  it("are in the viewer's time zone and language", () => {
    const moment = '2026-11-22T20:04:05.000Z';
    expect(en.dateTime(moment)).toBe('22 Nov 2026, 20:04:05');
    expect(zh.dateTime(moment)).toContain('2026年11月23日');
    expect(zh.time(moment)).toBe('04:04:05');
    expect(en.time('2026-11-22T00:00:00Z', false)).toBe('00:00');
  });

  it('are absent when there is none, and when it is no date', () => {
    expect(en.dateTime(null)).toBe(absent);
    expect(en.dateTime('yesterday')).toBe(absent);
  });

  it('go through an input field and back, to the minute', () => {
    const moment = new Date(2026, 2, 9, 7, 5).getTime();
    expect(toLocalInput(moment)).toBe('2026-03-09T07:05');
    expect(fromLocalInput(toLocalInput(moment))).toBe(moment);
    expect(fromLocalInput('')).toBeNull();
  });
});

describe('severity', () => {
  it('counts a value at its threshold', () => {
    expect(severity(79.9, 80, 90)).toBe('ok');
    expect(severity(80, 80, 90)).toBe('warning');
    expect(severity(90, 80, 90)).toBe('critical');
    expect(severity(null, 80, 90)).toBe('ok');
  });
});
