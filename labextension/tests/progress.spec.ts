import { Notification } from '@jupyterlab/apputils';
import { nullTranslator } from '@jupyterlab/translation';
import { afterEach, beforeEach, expect, it, vi } from 'vitest';

import { report } from '../src/actions/progress';

const trans = nullTranslator.load('maas_jupyter');
const notes = (): string[] => Notification.manager.notifications.map(each => `${each.type}: ${each.message}`);

beforeEach(() => {
  vi.useFakeTimers();
});

afterEach(() => {
  Notification.dismiss();
  vi.useRealTimers();
});

it('tells only the end of what is done at once', async () => {
  await report(Promise.resolve('It is done.'), 'Doing it…', trans);
  await report(Promise.reject(new Error('It cannot be done.')), 'Doing it…', trans);
  await vi.advanceTimersByTimeAsync(60_000);
  expect(notes()).toEqual(['error: It cannot be done.', 'success: It is done.']);
});

it('says that something takes a while, for long enough to be drawn', async () => {
  const work = new Promise<string>(resolve => setTimeout(() => resolve('It is done.'), 310));
  const reported = report(work, 'Doing it…', trans);
  await vi.advanceTimersByTimeAsync(299);
  expect(notes()).toEqual([]);
  await vi.advanceTimersByTimeAsync(400);
  expect(notes()).toEqual(['in-progress: Doing it…']);
  await vi.advanceTimersByTimeAsync(200);
  await reported;
  expect(notes()).toEqual(['success: It is done.']);
});
