import { defineConfig } from 'vitest/config';

export default defineConfig({
  // JupyterLab's packages import their icons as strings.
  plugins: [
    {
      name: 'svg-as-string',
      enforce: 'pre',
      load: id => (id.endsWith('.svg') ? 'export default "<svg xmlns=\\"http://www.w3.org/2000/svg\\"></svg>";' : null)
    }
  ],
  test: {
    environment: 'jsdom',
    include: ['tests/**/*.spec.{ts,tsx}'],
    setupFiles: ['tests/setup.ts'],
    server: { deps: { inline: [/@jupyterlab/, /@lumino/, /@jupyter\//, /@rjsf/] } }
  }
});
