/** The program `xl`, as far as it goes without a daemon: `xl create -F FILE` runs a guest in the foreground. */
import { runProgram } from './program.ts';
import { runGuests } from './run-guests.ts';
import { xlMain } from './xl-main.ts';

await runProgram('xl', (parts) => xlMain(process.argv.slice(2), { ...parts, runGuests }));
