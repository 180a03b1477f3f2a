import type { JupyterFrontEnd } from '@jupyterlab/application';
import { InputDialog } from '@jupyterlab/apputils';

import type { MaasModel, MaasState, WatchedEndpoint } from '../model';
import type { RunRow } from '../schema';
import type { IMaas } from '../tokens';

/** What a command is about, as its arguments say it. */
export interface EndpointSubject {
  readonly target: string;
  readonly name: string;
}

/** A model; with a version, that one. */
export interface ModelSubject {
  readonly model: string;
  readonly version?: string;
}

/** A command's arguments, which may be anything. */
export type Arguments = Readonly<Record<string, unknown>>;

/** Says that a command is about the row whose context menu is open. */
export const OF_ROW = { row: true } as const;

/** Rows asked for when a model is chosen from a list; others are typed. */
const LISTED = 200;

/** Finds what a command is about: in its arguments, in the row of the context menu, or by asking. */
export class Subjects {
  constructor(
    private readonly app: Pick<JupyterFrontEnd, 'contextMenuHitTest'>,
    private readonly maas: IMaas
  ) {}

  /** The endpoint that arguments or row name; null where they name none. */
  namedEndpoint(args: Arguments): EndpointSubject | null {
    const row = args.row === true ? this.row('endpoint') : undefined;
    const target = row?.dataset.target ?? args.target;
    const name = row?.dataset.endpoint ?? args.name;
    return typeof target === 'string' && typeof name === 'string' ? { target, name } : null;
  }

  /** The model, and the version where there is one, that arguments or row name; null where they name none. */
  namedModel(args: Arguments): ModelSubject | null {
    if (args.row === true) {
      const model = this.row('model')?.dataset.model;
      return model === undefined ? null : { model, version: this.row('version')?.dataset.version };
    }
    const { model, version } = args;
    return typeof model === 'string' ? { model, version: typeof version === 'string' ? version : undefined } : null;
  }

  /** The run that arguments or row name; null where they name none. */
  namedRun(args: Arguments): string | null {
    const id = args.row === true ? this.row('run')?.dataset.run : args.run;
    return typeof id === 'string' ? id : null;
  }

  /** All runs that are known, once they were looked for. */
  async runs(): Promise<readonly RunRow[]> {
    return seen(this.maas.model, state => state.runs ?? (state.runsError === null ? null : []));
  }

  /** What is known of an endpoint. */
  known(subject: EndpointSubject): WatchedEndpoint | undefined {
    return this.maas.model.state.endpoints?.find(row => row.target === subject.target && row.name === subject.name);
  }

  /**
   * The endpoint that is named, or one that the user chooses; null where none is chosen.
   *
   * @throws Error where there is none to choose from.
   */
  async endpoint(args: Arguments, title: string, fits: (row: WatchedEndpoint) => boolean): Promise<EndpointSubject | null> {
    const named = this.namedEndpoint(args);
    if (named !== null) {
      return named;
    }
    const { trans } = this.maas.locale;
    const rows = (await seen(this.maas.model, state => state.endpoints)).filter(fits);
    if (rows.length === 0) {
      throw new Error(trans.__('There is no endpoint for which this makes sense now.'));
    }
    const names = rows.map(row => trans.__('%1 on %2', row.name, row.target));
    const { value } = await InputDialog.getItem({ title, label: trans.__('Endpoint'), items: names });
    const chosen = value === null ? undefined : rows[names.indexOf(value)];
    return chosen === undefined ? null : { target: chosen.target, name: chosen.name };
  }

  /**
   * The model that is named, or one that the user chooses; null where none is chosen.
   *
   * @throws Error where there is none, RequestError where they cannot be listed.
   */
  async model(args: Arguments, title: string): Promise<ModelSubject | null> {
    const named = this.namedModel(args);
    if (named !== null) {
      return named;
    }
    const { trans } = this.maas.locale;
    await seen(this.maas.model, state => state.endpoints);
    const page = await this.maas.model.modelPage({ search: '', sort: 'updated', order: 'desc' }, 0, LISTED);
    if (page.total === 0) {
      throw new Error(trans.__('There are no models yet.'));
    }
    const items = page.rows.map(row => row.name);
    // A list that is cut off can be typed over.
    const editable = page.total > items.length;
    const { value } = await InputDialog.getItem({ title, label: trans.__('Model'), items, editable });
    return value ? { model: value } : null;
  }

  /**
   * A version of a model that is named, or that the user chooses; null where none is chosen.
   *
   * @throws RequestError where they cannot be listed.
   */
  async version(args: Arguments, title: string): Promise<Required<ModelSubject> | null> {
    const { trans } = this.maas.locale;
    const subject = await this.model(args, title);
    if (subject === null || subject.version !== undefined) {
      return subject as Required<ModelSubject> | null;
    }
    const { versions } = await this.maas.model.modelVersions(subject.model);
    const names = versions.map(row => [row.version, ...row.aliases.map(alias => `@${alias}`)].join(' '));
    const { value } = await InputDialog.getItem({ title, label: trans.__('Version of %1', subject.model), items: names });
    const chosen = value === null ? undefined : versions[names.indexOf(value)];
    return chosen === undefined ? null : { model: subject.model, version: chosen.version };
  }

  /** The row of the context menu that has an attribute; a version's is only that of a model. */
  private row(kind: 'endpoint' | 'model' | 'version' | 'run'): HTMLElement | undefined {
    const inModel = kind !== 'version' || this.row('model') !== undefined;
    return inModel ? this.app.contextMenuHitTest(node => node.dataset[kind] !== undefined) : undefined;
  }
}

/** What a snapshot tells, once one has come; the panel may be closed, and then nobody has asked. */
async function seen<T>(model: MaasModel, pick: (state: MaasState) => T | null): Promise<T> {
  const watching = model.watch();
  try {
    for (;;) {
      const found = pick(model.state);
      if (found !== null) {
        return found;
      }
      await new Promise<void>(resolve => {
        const once = (): void => {
          model.changed.disconnect(once);
          resolve();
        };
        model.changed.connect(once);
      });
      if (pick(model.state) === null && model.state.problem !== null) {
        throw model.state.problem;
      }
    }
  } finally {
    watching.dispose();
  }
}
