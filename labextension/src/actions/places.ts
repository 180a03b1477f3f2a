import type { MaasModel } from '../model';

/** Where models can be published, where MLflow's own pages are, and where it is no server what shows them; null what is not known. */
export interface Places {
  readonly targets: readonly string[];
  readonly default: string;
  readonly mlflow_url: string | null;
  readonly mlflow_command: string | null;
}

/** Keeps what the server said of places, and asks again when an endpoint shows up on one that it did not name. */
export class KnownPlaces {
  constructor(
    private readonly model: MaasModel,
    private readonly onChange: () => void
  ) {
    model.changed.connect(() => this.follow());
  }

  /** What is known; null until the server has answered. */
  get now(): Places | null {
    return this.known;
  }

  /**
   * Ask the server.
   *
   * @throws RequestError
   */
  async fetch(): Promise<Places> {
    this.known = await this.model.act<Places>('GET', ['targets']);
    this.onChange();
    return this.known;
  }

  /** Whether models can be published there: one that was only attached is watched and no more. */
  has(target: string): boolean {
    return this.known === null || this.known.targets.includes(target);
  }

  private follow(): void {
    const { endpoints, problem } = this.model.state;
    const seen = problem === null && endpoints !== null ? [...new Set(endpoints.map(row => row.target))].sort().join(' ') : null;
    if (seen !== null && seen !== this.seen) {
      this.seen = seen;
      // Without an answer nothing is ruled out, and the server refuses what cannot be.
      this.fetch().catch(() => (this.seen = null));
    } else {
      this.onChange();
    }
  }

  private known: Places | null = null;
  private seen: string | null = null;
}
