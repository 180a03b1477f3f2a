/** What JupyterLab's packages expect of a browser and jsdom does not have. */
class NoObserver {
  observe = (): void => undefined;
  unobserve = (): void => undefined;
  disconnect = (): void => undefined;
}

Object.assign(globalThis, {
  DragEvent: class extends MouseEvent {},
  ResizeObserver: NoObserver,
  matchMedia: () => ({ matches: false, addEventListener: () => undefined, removeEventListener: () => undefined }),
  requestIdleCallback: (callback: () => void) => setTimeout(callback, 0),
  IS_REACT_ACT_ENVIRONMENT: true
});

export {};
