import type { TranslationBundle } from '@jupyterlab/translation';
import type { Title, Widget } from '@lumino/widgets';

/** What the style sheet draws the badge from, after `data-`. */
const FIRING = 'maas-firing';

/** Shows how many alerts fire on the tab of a side panel: a number for eyes, words in the caption for screen readers. */
export class Badge {
  constructor(
    private readonly title: Title<Widget>,
    private readonly trans: TranslationBundle
  ) {
    this.caption = title.caption;
  }

  show(firing: number): void {
    if (firing === this.firing) {
      return;
    }
    this.firing = firing;
    // JupyterLab keeps the tab's id in the same place.
    const others = Object.entries(this.title.dataset).filter(([name]) => name !== FIRING);
    this.title.dataset = Object.fromEntries(firing === 0 ? others : [...others, [FIRING, String(firing)]]) as Record<string, string>;
    const words = this.trans._n('%1 alert fires', '%1 alerts fire', firing);
    this.title.caption = firing === 0 ? this.caption : `${this.caption}\n${words}`;
  }

  private readonly caption: string;
  private firing = 0;
}
