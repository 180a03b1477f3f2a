import { createContext } from 'react';

/** Runs one of JupyterLab's commands. */
export type Execute = (command: string, args: Readonly<Record<string, string>>) => void;

/** Null where there are no commands, and so no buttons for them. */
export const ExecuteContext = createContext<Execute | null>(null);
