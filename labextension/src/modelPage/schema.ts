/**
 * What the server extension answers of one version: the mirror of the structs in maas_jupyter/registry/details.py,
 * maas_jupyter/monitoring/details.py and of TensorSpec in maas_jupyter/schema.py, field by field.
 *
 * A Python test compares them, so a field that is added there and forgotten here fails it.
 */

/** One tensor of a signature; -1 in its shape is any size. */
export interface TensorSpec {
  readonly name: string;
  readonly datatype: string;
  readonly shape: readonly number[];
}

/** How well one class was told; `support` is how many rows belong to it. */
export interface ClassScores {
  readonly label: string;
  readonly precision: number;
  readonly recall: number;
  readonly f1: number;
  readonly support: number;
}

/**
 * How often each class was taken for which: a row for each true class, a column for each predicted one. Of many classes only
 * those are there that were confused most; `left_out` says how many are not.
 */
export interface Confusion {
  readonly labels: readonly string[];
  readonly counts: readonly (readonly number[])[];
  readonly left_out: number;
}

/** What a version's last evaluation found; intervals are the ends of 95 % ones, `time` in epoch seconds. */
export interface LastEvaluation {
  readonly subject: string;
  readonly rows: number;
  readonly time: number | null;
  readonly metrics: Readonly<Record<string, number>>;
  readonly intervals: Readonly<Record<string, readonly number[]>>;
  readonly classes: readonly ClassScores[];
  readonly confusion: Confusion | null;
  readonly notes: readonly string[];
}

/**
 * The run that a version came from: `verb` what was done, `method` how, `command` what was typed, `commit` that of the folder
 * in which it was done, `uncommitted` whether there was more than that, `started` in epoch seconds.
 */
export interface Origin {
  readonly run_id: string;
  readonly verb: string;
  readonly name: string;
  readonly method: string;
  readonly command: string;
  readonly started: number;
  readonly commit: string;
  readonly uncommitted: boolean;
  readonly params: Readonly<Record<string, string>>;
}

/**
 * All that is known of one version: `origin` is the run that it came from, `training` the one that its first ancestor
 * `trained_as` was trained in, `preprocessing` what the server makes of an input, `troubles` what could not be read, and why.
 */
export interface VersionDetails {
  readonly name: string;
  readonly version: string;
  readonly aliases: readonly string[];
  readonly task: string;
  readonly precision: string;
  readonly size: number;
  readonly parameters: number | null;
  readonly created: number;
  readonly digest: string;
  readonly parent: string | null;
  readonly metrics: Readonly<Record<string, number>>;
  readonly model_description: string;
  readonly description: string;
  readonly inputs: readonly TensorSpec[];
  readonly outputs: readonly TensorSpec[];
  readonly labels: readonly string[];
  readonly preprocessing: Readonly<Record<string, string>>;
  readonly runtime: string;
  readonly origin: Origin | null;
  readonly training: Origin | null;
  readonly trained_as: string;
  readonly packages: Readonly<Record<string, string>>;
  readonly evaluation: LastEvaluation | null;
  readonly passed: boolean | null;
  readonly gates: readonly string[];
  readonly comparison: string;
  readonly troubles: readonly string[];
}

/** The model card of a version, in Markdown. */
export interface ModelCard {
  readonly reference: string;
  readonly text: string;
}
