import { ServerConnection } from '@jupyterlab/services';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';

import { INTERVAL, LONGEST_WAIT, MaasModel, SAMPLES_KEPT } from '../src/model';
import type { Snapshot } from '../src/schema';
import { endpoint, run, sample, sent, snapshot } from './samples';

type Answer = () => Response | Promise<Response>;

const json = (body: unknown, status = 200): Response => new Response(JSON.stringify(body), { status });
const refused: Answer = () => Promise.reject(new TypeError('Failed to fetch'));

/** A model whose server gives these answers in turn, the last one for ever. */
function made(...answers: Answer[]): { model: MaasModel; urls: URL[]; methods: string[] } {
  const urls: URL[] = [];
  const methods: string[] = [];
  const settings = ServerConnection.makeSettings({
    baseUrl: 'http://hub.example/user/ada/',
    wsUrl: 'ws://hub.example/user/ada/',
    // jsdom's AbortSignal is none that Node's Request knows.
    Request: class {
      readonly headers = new Headers();

      readonly method: string;

      constructor(
        readonly url: string,
        init: RequestInit
      ) {
        this.method = init.method ?? 'GET';
      }
    } as unknown as typeof Request,
    fetch: (request: RequestInfo | URL) => {
      urls.push(new URL((request as Request).url));
      methods.push((request as Request).method);
      return Promise.resolve(answers[Math.min(urls.length, answers.length) - 1]());
    }
  });
  return { model: new MaasModel(settings), urls, methods };
}

const gives =
  (changes: Partial<Snapshot> = {}): Answer =>
  () =>
    json(snapshot(changes));

/** Let the request that is due now go out and come back. */
const settle = (): Promise<unknown> => vi.advanceTimersByTimeAsync(1);
const nextTurn = (): Promise<unknown> => vi.advanceTimersByTimeAsync(INTERVAL);

function setTabHidden(hidden: boolean): void {
  vi.spyOn(document, 'visibilityState', 'get').mockReturnValue(hidden ? 'hidden' : 'visible');
  document.dispatchEvent(new Event('visibilitychange'));
}

beforeEach(() => {
  vi.useFakeTimers();
  setTabHidden(false);
});

afterEach(() => {
  vi.restoreAllMocks();
  vi.useRealTimers();
});

describe('asking', () => {
  it('asks nothing until somebody watches, and rests when nobody does', async () => {
    const { model, urls } = made(gives());
    await vi.advanceTimersByTimeAsync(5 * INTERVAL);
    expect(urls).toHaveLength(0);

    const first = model.watch();
    const second = model.watch();
    await settle();
    expect(urls).toHaveLength(1);

    first.dispose();
    await nextTurn();
    expect(urls).toHaveLength(2);

    second.dispose();
    await vi.advanceTimersByTimeAsync(5 * INTERVAL);
    expect(urls).toHaveLength(2);

    model.watch();
    await settle();
    expect(urls).toHaveLength(3);
  });

  it('rests while the browser tab is hidden', async () => {
    const { model, urls } = made(gives());
    model.watch();
    await settle();
    setTabHidden(true);
    await vi.advanceTimersByTimeAsync(20 * INTERVAL);
    expect(urls.length).toBeLessThanOrEqual(2);
    setTabHidden(false);
    await nextTurn();
    expect(urls.length).toBeGreaterThanOrEqual(2);
    expect(urls.length).toBeLessThanOrEqual(3);
  });

  it('honours base_url and sends the cursor back', async () => {
    const { model, urls } = made(gives({ cursor: 'a b&c' }));
    model.watch();
    await settle();
    await nextTurn();
    expect(urls.map(url => url.origin + url.pathname)).toEqual(
      Array(2).fill('http://hub.example/user/ada/maas-jupyter/snapshot')
    );
    expect(urls[0].searchParams.has('since')).toBe(false);
    expect(urls[1].searchParams.get('since')).toBe('a b&c');
  });

  it('asks no more once it is disposed', async () => {
    const { model, urls } = made(gives());
    model.watch();
    await settle();
    model.dispose();
    await vi.advanceTimersByTimeAsync(5 * INTERVAL);
    expect(model.isDisposed).toBe(true);
    expect(urls).toHaveLength(1);
  });
});

describe('merging', () => {
  it('keeps the endpoints where the answer has none, with their newer samples', async () => {
    const samples = { 'local/digits': sent(sample(102)) };
    const { model } = made(gives(), gives({ endpoints: null, samples, cursor: 'c2' }));
    model.watch();
    await settle();
    expect(model.state.endpoints?.[0].latest).toEqual(sample(100));
    await nextTurn();
    const [row] = model.state.endpoints ?? [];
    expect([row.name, row.samples.map(point => point.time), row.latest?.time]).toEqual(['digits', [98, 100, 102], 102]);
  });

  it.each(['unavailable', 'stopped'] as const)('has no newest sample of one that is %s', async state => {
    const { model } = made(gives({ endpoints: [endpoint({ state })] }));
    model.watch();
    await settle();
    expect(model.state.endpoints?.[0].latest).toBeNull();
    expect(model.state.endpoints?.[0].samples).toHaveLength(2);
  });

  it('keeps the runs where the answer has none, and says why they cannot be read', async () => {
    const { model } = made(gives({ runs: [run()] }), gives({ runs: null, runs_error: 'not yours' }));
    model.watch();
    await settle();
    const { runs } = model.state;
    expect(runs).toHaveLength(1);
    await nextTurn();
    expect(model.state.runs).toBe(runs);
    expect(model.state.runsError).toBe('not yours');
  });

  it('appends samples once, in order, and keeps the last ones only', async () => {
    const early = Array.from({ length: SAMPLES_KEPT }, (_, index) => sample(index));
    const late = [sample(SAMPLES_KEPT - 1), sample(SAMPLES_KEPT), sample(SAMPLES_KEPT + 1)];
    const { model } = made(
      gives({ samples: { 'local/digits': sent(...early) } }),
      gives({ samples: { 'local/digits': sent(...late) } }),
      gives({ samples: {} })
    );
    model.watch();
    await settle();
    await nextTurn();
    const times = model.state.endpoints?.[0].samples.map(point => point.time);
    expect(times).toEqual(Array.from({ length: SAMPLES_KEPT }, (_, index) => index + 2));
    await nextTurn();
    expect(model.state.endpoints?.[0].samples.map(point => point.time)).toEqual(times);
  });

  it('forgets an endpoint that is gone and keeps the series of two targets apart', async () => {
    const local = endpoint();
    const remote = endpoint({ target: 'gpu' });
    const { model } = made(
      gives({ endpoints: [local, remote], samples: { 'local/digits': sent(sample(1)), 'gpu/digits': sent(sample(5)) } }),
      gives({ endpoints: [local], samples: { 'local/digits': sent(sample(3)) } })
    );
    model.watch();
    await settle();
    await nextTurn();
    expect(model.state.endpoints?.map(row => [row.target, row.samples.map(point => point.time)])).toEqual([['local', [1, 3]]]);
  });

  it('says what the registry said', async () => {
    const { model } = made(gives({ models: null, registry_error: 'no answer' }));
    model.watch();
    await settle();
    expect(model.state).toMatchObject({ models: null, registryError: 'no answer', problem: null });
  });

  it('tells its watchers of every change', async () => {
    const { model } = made(gives());
    const changed = vi.fn();
    model.changed.connect(changed);
    model.watch();
    await settle();
    expect(changed).toHaveBeenCalledTimes(1);
  });
});

describe('stopping a run', () => {
  it('asks under base_url with what cannot leave it, and looks at once', async () => {
    const { model, urls, methods } = made(gives(), () => new Response(null, { status: 202 }), gives());
    model.watch();
    await settle();
    await model.stopRun('../a b');
    await settle();
    expect(urls[1].origin + urls[1].pathname).toBe('http://hub.example/user/ada/maas-jupyter/runs/..%2Fa%20b/stop');
    expect(methods).toEqual(['GET', 'POST', 'GET']);
  });

  it('throws what the server says, and leaves the poll alone', async () => {
    const { model, urls } = made(gives(), () => json({ message: 'It has ended already.', hint: '' }, 409));
    model.watch();
    await settle();
    await expect(model.stopRun('abc')).rejects.toThrow('It has ended already.');
    await settle();
    expect(urls).toHaveLength(2);
    expect(model.state.problem).toBeNull();
  });
});

describe('failing', () => {
  it('keeps what it has, backs off, says when it tries again, and recovers', async () => {
    vi.spyOn(Math, 'random').mockReturnValue(0.999);
    const { model, urls } = made(gives(), refused, refused, refused, gives({ cursor: 'c9' }));
    model.watch();
    await settle();
    await nextTurn();
    const first = model.state;
    expect(first.problem?.kind).toBe('unreachable');
    expect(first.endpoints).toHaveLength(1);
    const firstWait = (first.retryAt as number) - Date.now();
    expect(firstWait).toBeGreaterThan(INTERVAL);

    await vi.advanceTimersByTimeAsync(firstWait - 1);
    expect(urls).toHaveLength(2);
    await vi.advanceTimersByTimeAsync(2);
    expect(urls).toHaveLength(3);
    const secondWait = (model.state.retryAt as number) - Date.now();
    expect(secondWait).toBeGreaterThan(firstWait);
    expect(secondWait).toBeLessThanOrEqual(LONGEST_WAIT);

    await vi.advanceTimersByTimeAsync(secondWait + LONGEST_WAIT + 2);
    expect(model.state).toMatchObject({ problem: null, retryAt: null });
    expect(urls[4].searchParams.get('since')).toBe('c1');
  });

  it('tries at once when it is told to', async () => {
    const { model, urls } = made(refused, gives());
    model.watch();
    await settle();
    expect(model.state.endpoints).toBeNull();
    model.retry();
    expect(model.state.retryAt).toBeNull();
    await settle();
    expect(urls).toHaveLength(2);
    expect(model.state.problem).toBeNull();
  });

  it.each([
    [401, 'forbidden'],
    [403, 'forbidden'],
    [404, 'missing'],
    [500, 'server']
  ])('knows what the status %i means', async (status, kind) => {
    const { model } = made(() => json({ message: 'In words.', hint: 'The next step.' }, status));
    model.watch();
    await settle();
    expect(model.state.problem).toMatchObject({ kind, message: 'In words. The next step.' });
  });

  it('names the status where an error has no words', async () => {
    const { model } = made(() => new Response('<html></html>', { status: 502, statusText: 'Bad Gateway' }));
    model.watch();
    await settle();
    expect(model.state.problem).toMatchObject({ kind: 'server', message: '502 Bad Gateway' });
  });

  it.each([
    ['a page', () => new Response('<html>Log in</html>')],
    ['some other JSON', () => json({ ok: true })],
    ['null', () => json(null)]
  ])('takes %s for a failure', async (_, answer) => {
    const { model } = made(answer);
    model.watch();
    await settle();
    expect(model.state.problem?.kind).toBe('server');
  });
});
