/**
 * The layers of src/ and what each may import (docs/ARCHITECTURE.md). Tests are free to import more, but nothing
 * imports a test.
 */
const LAYERS = {
  base: [],
  abi: ['base'],
  wasm: ['base'],
  x86: ['base'],
  machine: ['base', 'wasm', 'x86'],
  hypervisor: ['base', 'abi', 'x86', 'machine'],
  kernel: ['base', 'abi'],
  control: ['base', 'abi', 'kernel'],
  toolstack: ['base', 'abi', 'kernel', 'control'],
  servers: ['base', 'toolstack'],
  host: ['base'],
};
/** Layers that may use Node's own modules; `apps` wires everything and has no rule. */
const ON_NODE = ['host', 'apps'];
/** Layers that may use packages from npm; the toolstack only pure ones, for decompression. */
const WITH_PACKAGES = ['host', 'apps', 'servers', 'toolstack'];

const TEST = '\\.(test|fuzz|bench)\\.ts$|/testing/';
const not = (layers) => layers.map((layer) => `^src/${layer}/`);

const layerRules = Object.entries(LAYERS).map(([layer, below]) => ({
  name: `${layer}-imports-downward`,
  comment: `src/${layer} may import ${below.join(', ') || 'nothing'} only`,
  severity: 'error',
  from: { path: `^src/${layer}/`, pathNot: TEST },
  to: { path: '^src/', pathNot: not([layer, ...below]) },
}));

module.exports = {
  forbidden: [
    ...layerRules,
    {
      name: 'no-cycles',
      comment: 'an import of types alone is erased, so it closes no cycle',
      severity: 'error',
      from: {},
      to: { circular: true, viaOnly: { dependencyTypesNot: ['type-only'] } },
    },
    {
      name: 'no-node-in-the-core',
      severity: 'error',
      from: { path: '^src/', pathNot: [TEST, ...not(ON_NODE)] },
      to: { dependencyTypes: ['core'] },
    },
    {
      name: 'no-packages-in-the-core',
      severity: 'error',
      from: { path: '^src/', pathNot: [TEST, ...not(WITH_PACKAGES)] },
      to: { path: 'node_modules' },
    },
    {
      name: 'nothing-imports-a-test',
      severity: 'error',
      from: { path: '^src/', pathNot: TEST },
      to: { path: TEST },
    },
    { name: 'resolvable', severity: 'error', from: {}, to: { couldNotResolve: true } },
  ],
  options: {
    tsPreCompilationDeps: true,
    tsConfig: { fileName: 'tsconfig.json' },
    doNotFollow: { path: 'node_modules' },
    enhancedResolveOptions: { exportsFields: ['exports'], conditionNames: ['import', 'node', 'types'] },
  },
};
