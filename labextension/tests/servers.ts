import { ServerConnection } from '@jupyterlab/services';

import { MaasModel } from '../src/model';

/** What a server answers to a path below `maas-jupyter/` */
export type Route = (url: URL) => unknown;

/** A model whose server answers by path, with what was asked. */
export function served(routes: Record<string, Route>): { model: MaasModel; asked: string[] } {
  const asked: string[] = [];
  const settings = ServerConnection.makeSettings({
    baseUrl: 'http://hub.example/user/ada/',
    wsUrl: 'ws://hub.example/user/ada/',
    // jsdom's AbortSignal is none that Node's Request knows.
    Request: class {
      readonly headers = new Headers();

      constructor(readonly url: string) {}
    } as unknown as typeof Request,
    fetch: async (request: RequestInfo | URL) => {
      const url = new URL((request as Request).url);
      const route = url.pathname.replace('/user/ada/maas-jupyter/', '');
      // JupyterLab adds the time, against caches.
      asked.push(route + url.search.replace(/[?&]\d+$/, ''));
      const answer = await routes[route](url);
      return answer instanceof Response ? answer : new Response(JSON.stringify(answer));
    }
  });
  return { model: new MaasModel(settings), asked };
}
