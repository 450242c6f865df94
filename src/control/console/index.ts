/** PV consoles: the daemon that serves every domain's, and what it needs of its surroundings. */
export { ConsoleDaemon, type ConsoleKernel } from './daemon.ts';
export { type ConsoleSink, GuestConsole } from './guest-console.ts';
