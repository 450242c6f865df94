/** The opcode tables compiled into what the decoder walks: forms, and decision nodes that select them. */
import { type Alternative, type Form, parseAlternative } from './opcode-form.ts';
import { TWO_BYTE } from './opcode-table-0f.ts';
import { MAP_0F3A, MAP_0F38 } from './opcode-table-0f38.ts';
import { ONE_BYTE } from './opcode-table-one.ts';
import { VEX_0F3A, VEX_0F38 } from './opcode-table-vex.ts';
import { X87 } from './opcode-table-x87.ts';

type Table = Readonly<Record<number, string | readonly string[]>>;

/** Legacy maps 0 to 3, then VEX maps 1 to 3; VEX map 1, and EVEX, have nothing in them. */
export const MAPS: readonly Table[] = [
  { ...ONE_BYTE, 216: X87 },
  TWO_BYTE,
  MAP_0F38,
  MAP_0F3A,
  {},
  VEX_0F38,
  VEX_0F3A,
];

/** Index of the first VEX map, less one: VEX.mmmmm is added to it. */
export const VEX_MAPS = 3;

/** What a node asks; its children follow in NODES in the order of the answers. */
export const ASK = { prefix: 0, modReg: 1, rm: 2, w: 3, b: 4 } as const;
const ANSWERS = [4, 16, 8, 2, 2];

const roots = new Int32Array(2 * MAPS.length * 256);
const forms: Form[] = [{ op: 0, flags: 0, operands: [] }];
const formIds = new Map<Form, number>();
const nodes: number[] = [0];
const compiled = new Map<string, readonly number[]>();

/** Does `a` admit this answer to this question? */
function admits(a: Alternative, question: number, answer: number): boolean {
  switch (question) {
    case ASK.prefix:
      return ((a.prefix >> answer) & 1) === 1;
    case ASK.modReg:
      return ((a.mod >> (answer >> 3)) & (a.reg >> (answer & 7)) & 1) === 1;
    case ASK.rm:
      return ((a.rm >> answer) & 1) === 1;
    case ASK.w:
      return ((a.w >> answer) & 1) === 1;
    default:
      return ((a.b >> answer) & 1) === 1;
  }
}

/** Does `a` admit some answers only? */
function depends(a: Alternative, question: number): boolean {
  if (question === ASK.modReg) return a.mod !== 3 || a.reg !== 255;
  return [a.prefix !== 15, false, a.rm !== 255, a.w !== 3, a.b !== 3][question]!;
}

/** Returns a form's index, or the negated offset of a node. Answers that lead to the same place need no node. */
function build(alternatives: readonly Alternative[], question: number): number {
  if (alternatives.length === 0) return 0;
  if (question === ANSWERS.length) return formOf(alternatives[0]!.form);
  if (!alternatives.some((a) => depends(a, question))) return build(alternatives, question + 1);
  const children = Array.from({ length: ANSWERS[question]! }, (_, answer) => {
    return build(
      alternatives.filter((a) => admits(a, question, answer)),
      question + 1,
    );
  });
  if (children.every((child) => child === children[0])) return children[0]!;
  return -(nodes.push(question, ...children) - children.length - 1);
}

function formOf(form: Form): number {
  const known = formIds.get(form) ?? forms.push(form) - 1;
  formIds.set(form, known);
  return known;
}

/** The roots of an opcode outside and inside 64-bit mode. Many opcodes share their text. */
function compile(spec: string): readonly number[] {
  const known = compiled.get(spec);
  if (known !== undefined) return known;
  const alternatives = spec.split('|').map(parseAlternative);
  const out = [0, 1].map((mode) =>
    build(
      alternatives.filter((a) => (a.modes >> mode) & 1),
      0,
    ),
  );
  compiled.set(spec, out);
  return out;
}

MAPS.forEach((map, n) => {
  for (const [first, specs] of Object.entries(map)) {
    const list = typeof specs === 'string' ? [specs] : specs;
    list.forEach((spec, i) => {
      const [legacy, long] = compile(spec) as [number, number];
      roots[n * 256 + Number(first) + i] = legacy;
      roots[(MAPS.length + n) * 256 + Number(first) + i] = long;
    });
  }
});

/** Where an opcode's selection starts: index `(mode64 ? MODE64 : 0) + map * 256 + opcode`. */
export const ROOTS: Int32Array = roots;
export const MODE64 = MAPS.length * 256;
export const NODES: Int32Array = Int32Array.from(nodes);
export const FORM_OP: Uint16Array = Uint16Array.from(forms, (form) => form.op);
export const FORM_FLAGS: Uint16Array = Uint16Array.from(forms, (form) => form.flags);
export const FORM_COUNT: Uint8Array = Uint8Array.from(forms, (form) => form.operands.length);
/** Four operand slots to a form. */
export const FORM_OPERANDS: Int32Array = Int32Array.from({ length: forms.length * 4 }, (_, i) => {
  return forms[i >> 2]!.operands[i & 3] ?? 0;
});
