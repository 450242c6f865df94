/** The program `domzero`: the composition root of the command line. */
import { main } from './main.ts';
import { runProgram } from './program.ts';
import { runGuests } from './run-guests.ts';

await runProgram('domzero', (parts) => main(process.argv.slice(2), { ...parts, runGuests }));
