/** What sizes and latencies are counted in. */
export interface Units {
  /** By thousands (kB) or by 1024 (KiB). */
  readonly sizes: 'decimal' | 'binary';
  /** Milliseconds always, or seconds where they are many. */
  readonly latencies: 'automatic' | 'milliseconds';
}

/** Those of the disk and of the registry. */
export const USUAL_UNITS: Units = { sizes: 'decimal', latencies: 'automatic' };

/** Numbers, sizes and ages as people of one language read them. */
export class Format {
  /** @param languageCode - JupyterLab's, with an underscore or a hyphen: `en`, `zh_CN`. */
  constructor(
    languageCode: string,
    private readonly units = USUAL_UNITS
  ) {
    const locale = languageCode.replace('_', '-');
    const number = (options: Intl.NumberFormatOptions): Intl.NumberFormat => new Intl.NumberFormat(locale, options);
    this.integer = number({ maximumFractionDigits: 0 });
    this.tenths = number({ maximumFractionDigits: 1 });
    this.hundredths = number({ maximumFractionDigits: 2 });
    this.significant = number({ maximumSignificantDigits: 4 });
    this.small = number({ maximumSignificantDigits: 2 });
    this.signed = number({ maximumSignificantDigits: 2, signDisplay: 'always' });
    this.percent = number({ style: 'percent', maximumFractionDigits: 1 });
    this.spans = SPANS.map(([unit, length]) => [number({ style: 'unit', unit, unitDisplay: 'narrow' }), length]);
    this.relative = new Intl.RelativeTimeFormat(locale, { numeric: 'always', style: 'narrow' });
    this.absolute = new Intl.DateTimeFormat(locale, { dateStyle: 'medium', timeStyle: 'medium' });
    this.minutes = new Intl.DateTimeFormat(locale, { timeStyle: 'short' });
    this.seconds = new Intl.DateTimeFormat(locale, { timeStyle: 'medium' });
  }

  count(value: number): string {
    return this.integer.format(value);
  }

  /** Two decimals below ten, one below a hundred, two digits of what is smaller than a tenth. A dash where nothing was measured. */
  rate(value: number | null): string {
    return value === null ? NOTHING : this.threeDigits(value);
  }

  /** Milliseconds; from ten seconds on as seconds where that was not ruled out. A dash where nothing was measured. */
  latency(ms: number | null): string {
    if (ms === null) {
      return NOTHING;
    }
    return ms < 10_000 || this.units.latencies === 'milliseconds' ? `${this.threeDigits(ms)} ms` : `${this.threeDigits(ms / 1000)} s`;
  }

  /** The two largest units: `1h 5m`. @param seconds - From zero. */
  duration(seconds: number): string {
    let rest = Math.round(seconds);
    const parts: string[] = [];
    for (const [format, length] of this.spans) {
      const whole = Math.floor(rest / length);
      if (whole > 0 || (length === 1 && parts.length === 0)) {
        parts.push(format.format(whole));
      }
      rest -= whole * length;
    }
    return parts.slice(0, 2).join(' ');
  }

  bytes(value: number): string {
    let scaled = value;
    let unit = 0;
    const [base, names] = BYTE_UNITS[this.units.sizes];
    while (scaled >= base - 0.5 && unit < names.length - 1) {
      scaled /= base;
      unit += 1;
    }
    return `${unit === 0 ? this.count(scaled) : this.threeDigits(scaled)} ${names[unit]}`;
  }

  /** Bytes; a dash where nothing was measured. */
  size(value: number | null): string {
    return value === null ? NOTHING : this.bytes(value);
  }

  metric(value: number): string {
    return this.significant.format(value);
  }

  /** A difference with its sign. */
  change(value: number): string {
    return this.signed.format(value);
  }

  /** @param share - From 0 to 1. */
  share(share: number): string {
    return this.percent.format(share);
  }

  /** How long ago. @param time - Epoch seconds. @param now - Epoch milliseconds. */
  age(time: number, now: number): string {
    const seconds = Math.max(0, now / 1000 - time);
    for (const [unit, length] of AGE_UNITS) {
      if (seconds >= length) {
        return this.relative.format(-Math.floor(seconds / length), unit);
      }
    }
    return this.relative.format(-Math.floor(seconds), 'second');
  }

  /** @param time - Epoch seconds. */
  date(time: number): string {
    return this.absolute.format(time * 1000);
  }

  /** The time of day. @param time - Epoch seconds. */
  clock(time: number, withSeconds: boolean): string {
    return (withSeconds ? this.seconds : this.minutes).format(time * 1000);
  }

  private threeDigits(value: number): string {
    if (value >= 99.95) {
      return this.integer.format(value);
    }
    if (value > 0 && value < 0.095) {
      return this.small.format(value);
    }
    return (value >= 9.995 ? this.tenths : this.hundredths).format(value);
  }

  private readonly integer: Intl.NumberFormat;
  private readonly tenths: Intl.NumberFormat;
  private readonly hundredths: Intl.NumberFormat;
  private readonly significant: Intl.NumberFormat;
  private readonly small: Intl.NumberFormat;
  private readonly signed: Intl.NumberFormat;
  private readonly percent: Intl.NumberFormat;
  private readonly spans: readonly (readonly [Intl.NumberFormat, number])[];
  private readonly relative: Intl.RelativeTimeFormat;
  private readonly absolute: Intl.DateTimeFormat;
  private readonly minutes: Intl.DateTimeFormat;
  private readonly seconds: Intl.DateTimeFormat;
}

const NOTHING = '–';

const BYTE_UNITS: Record<Units['sizes'], readonly [number, readonly string[]]> = {
  decimal: [1000, ['B', 'kB', 'MB', 'GB', 'TB']],
  binary: [1024, ['B', 'KiB', 'MiB', 'GiB', 'TiB']]
};

const AGE_UNITS: readonly [Intl.RelativeTimeFormatUnit, number][] = [
  ['year', 31_557_600],
  ['month', 2_629_800],
  ['day', 86_400],
  ['hour', 3_600],
  ['minute', 60]
];

const SPANS: readonly (readonly [string, number])[] = [
  ['day', 86_400],
  ['hour', 3_600],
  ['minute', 60],
  ['second', 1]
];
