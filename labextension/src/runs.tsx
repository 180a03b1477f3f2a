import { stopIcon } from '@jupyterlab/ui-components';
import React, { useContext, useState } from 'react';

import { Age } from './age';
import { LocaleContext } from './locale';
import type { RunRow, RunStatus } from './schema';
import { Empty, Section, Skeleton } from './section';
import { Course } from './sparkline';

export interface RunsSectionProps {
  /** Null until the folder of runs was read for the first time. */
  readonly rows: readonly RunRow[] | null;
  readonly runsError: string | null;
  /** Rejected with an error in the user's words. */
  readonly onStop: (runId: string) => Promise<void>;
}

/** The section of trainings: those under way with all that moves, those that ended in two lines. */
export function RunsSection({ rows, runsError, onStop }: RunsSectionProps): React.ReactElement {
  const { trans } = useContext(LocaleContext);
  return (
    <Section name="runs" title={trans.__('Runs')} count={rows?.length ?? null}>
      {runsError !== null && (
        <div className="maas-notice" role="alert" data-notice="runs">
          {runsError}
        </div>
      )}
      {rows === null && runsError === null && <Skeleton label={trans.__('Loading runs')} />}
      {rows?.length === 0 && <Empty text={trans.__('No runs yet. Start one:')} code="%maas train net --data DATA" />}
      {rows !== null && rows.length > 0 && (
        <ul className="maas-runs">
          {rows.map(row => (
            <Run key={row.run_id} row={row} onStop={onStop} />
          ))}
        </ul>
      )}
    </Section>
  );
}

interface RunProps {
  readonly row: RunRow;
  readonly onStop: (runId: string) => Promise<void>;
}

function Run({ row, onStop }: RunProps): React.ReactElement {
  const active = row.status === 'training';
  return (
    <li className="maas-run" data-run={row.run_id} data-status={row.status}>
      <div className="maas-row">
        <h3 className="maas-name" title={`${row.name}\n${row.run_id}`}>
          {row.name}
        </h3>
        {row.verb !== 'train' && <span className="maas-verb">{row.verb}</span>}
        <StatusBadge row={row} />
        {active ? <Stop row={row} onStop={onStop} /> : <Age time={row.updated} />}
      </div>
      {active && <Progress row={row} />}
      <div className="maas-row">
        <Details row={row} />
        <Metric row={row} />
      </div>
      {row.error !== '' && <p className="maas-reason">{row.error}</p>}
    </li>
  );
}

function Progress({ row }: { readonly row: RunRow }): React.ReactElement {
  const { trans, format } = useContext(LocaleContext);
  const { loss } = row;
  return (
    <>
      <div
        className="maas-progress"
        role="progressbar"
        aria-valuemin={0}
        aria-valuemax={100}
        aria-valuenow={Math.round(row.fraction * 100)}
        aria-label={trans.__('Progress of %1', row.name)}
      >
        <span style={{ width: `${row.fraction * 100}%` }} />
      </div>
      {loss.length > 1 && (
        <Course
          values={loss}
          label={trans.__(
            row.verb === 'tune' ? 'Trials from the first until now: %1' : 'Loss from the start until now: %1',
            format.metric(loss[loss.length - 1])
          )}
        />
      )}
    </>
  );
}

function Details({ row }: { readonly row: RunRow }): React.ReactElement {
  const { trans, format } = useContext(LocaleContext);
  const reached = format.count(row.epoch);
  const asked = format.count(row.epochs);
  const whole = row.status === 'finished' && row.epoch === row.epochs;
  const words = [
    row.verb === 'tune'
      ? whole
        ? trans._n('%2 trial', '%2 trials', row.epochs, asked)
        : trans.__('trial %1 of %2', reached, asked)
      : whole
        ? trans._n('%2 epoch', '%2 epochs', row.epochs, asked)
        : trans.__('epoch %1 of %2', reached, asked)
  ];
  if (row.status === 'training') {
    words.push(
      ...(row.rows_per_second === null ? [] : [trans.__('%1 rows/s', format.rate(row.rows_per_second))]),
      ...(row.remaining === null ? [] : [trans.__('%1 left', format.duration(row.remaining))])
    );
  }
  words.push(row.run_id.slice(0, 8));
  return <span className="maas-details">{words.join(' · ')}</span>;
}

function Metric({ row }: { readonly row: RunRow }): React.ReactElement | null {
  const { format } = useContext(LocaleContext);
  return row.metric === null ? null : (
    <span className="maas-metric">
      {row.metric_name} <b>{format.metric(row.metric)}</b>
    </span>
  );
}

/** Asks once; what came of it is in the next rows, or here where it failed. */
function Stop({ row, onStop }: RunProps): React.ReactElement {
  const { trans } = useContext(LocaleContext);
  const [asking, setAsking] = useState(false);
  const [problem, setProblem] = useState('');
  const ask = (): void => {
    setAsking(true);
    setProblem('');
    onStop(row.run_id).catch((error: unknown) => {
      setProblem(error instanceof Error ? error.message : String(error));
      setAsking(false);
    });
  };
  return (
    <>
      {problem !== '' && (
        <span className="maas-stop-problem" role="alert">
          {problem}
        </span>
      )}
      <button
        type="button"
        className="maas-stop"
        aria-label={trans.__('Stop %1', row.name)}
        title={trans.__('Stop after this step and keep a checkpoint')}
        disabled={asking || row.stopping}
        onClick={ask}
      >
        <stopIcon.react tag="span" />
      </button>
    </>
  );
}

function StatusBadge({ row }: { readonly row: RunRow }): React.ReactElement {
  const { trans } = useContext(LocaleContext);
  const names: Record<RunStatus, string> = {
    training: row.stopping
      ? trans.__('stopping')
      : row.verb === 'tune'
        ? trans.__('searching')
        : trans.__('training'),
    finished: trans.__('finished'),
    stopped_early: trans.__('stopped early'),
    interrupted: trans.__('interrupted'),
    failed: trans.__('failed')
  };
  return (
    <span className="maas-state" data-state={row.status}>
      {names[row.status]}
    </span>
  );
}
