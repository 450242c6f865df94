/** Set-up of the tests that run a second time with everything compiled. */
import { COMPILE_ALL } from '../src/machine/compiler/regions.ts';
import { TestCpu } from '../src/machine/testing.ts';

TestCpu.compile = COMPILE_ALL;
