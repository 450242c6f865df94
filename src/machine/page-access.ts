/** What is wanted of a page. */
export const ACCESS = { read: 0, write: 1, exec: 2 } as const;
export type AccessKind = (typeof ACCESS)[keyof typeof ACCESS];
