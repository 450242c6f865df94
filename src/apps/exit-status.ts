/** Exit statuses of the programs, and the error that carries one to the top. docs/EXIT-STATUS.md explains them. */
export const EXIT = {
  ok: 0,
  failed: 1,
  usage: 2,
  config: 3,
  image: 4,
  memory: 5,
  crashed: 10,
  rebooted: 11,
  build: 12,
  timeout: 124,
  escape: 130,
} as const;

export type ExitStatus = number;

/** Ends the program with this status; the message is for the user and names the thing and the place. */
export class AppError extends Error {
  readonly status: ExitStatus;
  constructor(status: ExitStatus, message: string, options?: ErrorOptions) {
    super(message, options);
    this.name = 'AppError';
    this.status = status;
  }
}

/** What a shell reports for a program that a signal ended. */
export const SIGNAL_STATUS = { SIGHUP: 129, SIGINT: 130, SIGTERM: 143 } as const;
