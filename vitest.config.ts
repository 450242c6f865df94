import { defineConfig } from 'vitest/config';

export default defineConfig({
  test: {
    testTimeout: 300_000,
    hookTimeout: 300_000,
    pool: 'forks',
    projects: [
      {
        extends: true,
        test: {
          name: 'all',
          include: ['src/**/*.test.ts', 'guests/**/*.test.ts', 'tools/**/*.test.ts', 'tests/**/*.test.ts'],
        },
      },
      {
        // what the machine's tests ask of the interpreter they ask of compiled code too
        extends: true,
        test: {
          name: 'compiled',
          include: ['src/machine/**/*.test.ts'],
          exclude: ['src/machine/compiler/structure.test.ts'],
          setupFiles: ['tests/compile-all.ts'],
        },
      },
    ],
  },
});
