/** The command that opens an endpoint's dashboard; its arguments are `target` and `name`. */
export const OPEN_DASHBOARD = 'maas:open-dashboard';
