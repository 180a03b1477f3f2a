/** The command that opens a model's page; its arguments are `model` and, for one of its versions, `version`. */
export const OPEN_MODEL = 'maas:open-model';
