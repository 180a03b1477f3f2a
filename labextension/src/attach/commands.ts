export const WATCH_ENDPOINT = 'maas:watch-endpoint';
export const UNWATCH_ENDPOINT = 'maas:unwatch-endpoint';
