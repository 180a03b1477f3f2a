import { LabIcon } from '@jupyterlab/ui-components';

/** A model that is served: stacked layers under a signal. */
const SVG = `<svg xmlns="http://www.w3.org/2000/svg" width="16" viewBox="0 0 24 24">
  <g class="jp-icon3" fill="#616161">
    <path d="M12 10.2 3.6 14.4 12 18.6l8.4-4.2z"/>
    <path d="M3.6 17.4v1.7l8.4 4.2 8.4-4.2v-1.7L12 21.6z"/>
    <circle cx="12" cy="7.4" r="1.7"/>
    <path d="M7.9 7.4a4.1 4.1 0 0 1 8.2 0h-1.7a2.4 2.4 0 0 0-4.8 0z"/>
    <path d="M4.7 7.4a7.3 7.3 0 0 1 14.6 0h-1.7a5.6 5.6 0 0 0-11.2 0z"/>
  </g>
</svg>`;

export const maasIcon = new LabIcon({ name: 'maas-jupyter:maas', svgstr: SVG });

/** A line between two axes. */
const DASHBOARD_SVG = `<svg xmlns="http://www.w3.org/2000/svg" width="16" viewBox="0 0 24 24">
  <g class="jp-icon3" fill="#616161">
    <path d="M3 3h2v16h16v2H3z"/>
    <path d="m7 15.6 4-5.2 3.6 3 5-7 1.6 1.2-6.2 8.7-3.7-3.1L8.6 17z"/>
  </g>
</svg>`;

export const dashboardIcon = new LabIcon({ name: 'maas-jupyter:dashboard', svgstr: DASHBOARD_SVG });

/** Two columns of lines under a heading. */
const MODEL_PAGE_SVG = `<svg xmlns="http://www.w3.org/2000/svg" width="16" viewBox="0 0 24 24">
  <g class="jp-icon3" fill="#616161">
    <path d="M3 3h18v4H3z"/>
    <path d="M3 9h8v2H3zm0 4h8v2H3zm0 4h8v2H3zm10-8h8v2h-8zm0 4h8v2h-8zm0 4h8v2h-8z"/>
  </g>
</svg>`;

export const modelPageIcon = new LabIcon({ name: 'maas-jupyter:model-page', svgstr: MODEL_PAGE_SVG });
