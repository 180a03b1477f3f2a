import { Form } from '../actions/form';
import type { EndpointSubject } from '../actions/subject';
import type { Locale } from '../locale';
import type { AlertKind } from '../schema';
import type { NewRule } from './client';
import { KINDS, kindNames, unitOf } from './words';

/** What is suggested. */
const SUGGESTED: Readonly<Record<'ms' | '%', string>> = { ms: '250', '%': '5' };
const SUGGESTED_SECONDS = '60';

/** What a rule is made of: kind, threshold in the unit of the kind, seconds. */
export class RuleForm extends Form {
  constructor(
    private readonly subject: EndpointSubject,
    private readonly locale: Locale,
    kind: AlertKind = 'p95_above'
  ) {
    super();
    const { trans } = locale;
    this.say(trans.__('A notification comes when this endpoint is unwell, and when it is well again.'));
    this.select('kind', trans.__('When'), new Map(KINDS.map(each => [each, kindNames(trans)[each]])), kind);
    this.input('threshold', '', { type: 'number', required: '', step: 'any' });
    this.input('for_seconds', trans.__('for so many seconds'), {
      type: 'number',
      required: '',
      min: '0',
      max: '604800',
      step: '1',
      value: SUGGESTED_SECONDS
    });
    this.field('kind').addEventListener('change', () => this.follow());
    this.follow();
  }

  /** The rule that the fields describe. */
  rule(values: Readonly<Record<string, string>>): NewRule {
    const kind = values.kind as AlertKind;
    const unit = unitOf(kind);
    return {
      ...this.subject,
      kind,
      threshold: unit === null ? null : Number(values.threshold) / (unit === '%' ? 100 : 1),
      for_seconds: Number(values.for_seconds)
    };
  }

  private follow(): void {
    const { trans } = this.locale;
    const field = this.field('threshold') as HTMLInputElement;
    const unit = unitOf(this.field('kind').value as AlertKind);
    const line = field.parentElement as HTMLElement;
    line.hidden = unit === null;
    field.disabled = unit === null;
    if (unit !== null && unit !== this.unit) {
      field.value = SUGGESTED[unit];
      field.min = unit === 'ms' ? '0.001' : '0';
      field.max = unit === 'ms' ? '' : '99.999';
      const label = line.querySelector('span') as HTMLElement;
      label.textContent = unit === 'ms' ? trans.__('Milliseconds') : trans.__('Percent');
      this.unit = unit;
    }
  }

  private unit: 'ms' | '%' | null = null;
}
