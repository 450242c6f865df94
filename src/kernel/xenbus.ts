/**
 * XenBus: the state that each end of a split device writes for the other to see.
 *
 *   front end   1 Initialising -> 3 Initialised -> 4 Connected -> 5 Closing -> 6 Closed
 *   back end    1 Initialising -> 2 InitWait    -> 4 Connected -> 5 Closing -> 6 Closed
 *
 * An end may skip states or repeat one, and a front end that starts anew goes from Closed to Initialising.
 *
 * @abi public/io/xenbus.h
 */
import * as abi from '../abi/io_xenbus.ts';

export const XenbusState = {
  Unknown: abi.XenbusStateUnknown,
  Initialising: abi.XenbusStateInitialising,
  InitWait: abi.XenbusStateInitWait,
  Initialised: abi.XenbusStateInitialised,
  Connected: abi.XenbusStateConnected,
  Closing: abi.XenbusStateClosing,
  Closed: abi.XenbusStateClosed,
  Reconfiguring: abi.XenbusStateReconfiguring,
  Reconfigured: abi.XenbusStateReconfigured,
} as const;

/** What XenBus needs of a XenStore client. */
export interface Xenstore {
  /** The value, or undefined where there is no such node. */
  tryRead(path: string): Promise<string | undefined>;
  write(path: string, value: string): Promise<void>;
  /** Calls `handler` at once and after each change at `path` or below. */
  watch(path: string, handler: (path: string) => void): Promise<{ close(): Promise<void> }>;
}

/** The state at a device's path; Unknown where there is none, or something that is not a state. */
export async function readState(xs: Xenstore, device: string): Promise<number> {
  const text = await xs.tryRead(`${device}/state`);
  if (text === undefined || !/^[0-8]$/.test(text)) return XenbusState.Unknown;
  return Number(text);
}

export async function switchState(xs: Xenstore, device: string, state: number): Promise<void> {
  await xs.write(`${device}/state`, String(state));
}

/**
 * Calls `changed` with the other end's state now, and whenever it is another one. One call at a time, in order; a call
 * that fails goes to `failed`. Answers a function that ends this.
 */
export async function watchState(
  xs: Xenstore,
  device: string,
  changed: (state: number) => void | Promise<void>,
  failed: (error: unknown) => void,
): Promise<() => Promise<void>> {
  let last: number | undefined;
  let ended = false;
  let turn = Promise.resolve();
  const look = async (): Promise<void> => {
    const state = await readState(xs, device);
    if (ended || state === last) return;
    last = state;
    await changed(state);
  };
  const watch = await xs.watch(`${device}/state`, () => {
    turn = turn.then(look).catch(failed);
  });
  return async () => {
    ended = true;
    await watch.close();
  };
}

/** Waits until a device's state is one of `states`, and answers it. */
export function waitForState(xs: Xenstore, device: string, states: readonly number[]): Promise<number> {
  return new Promise((resolve, reject) => {
    let found = false;
    const stop = watchState(
      xs,
      device,
      (state) => {
        if (found || !states.includes(state)) return;
        found = true;
        void stop.then((end) => end()).catch(reject);
        resolve(state);
      },
      reject,
    );
    stop.catch(reject);
  });
}
