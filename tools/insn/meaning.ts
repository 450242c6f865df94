/**
 * Where an operation's meaning stands in the source: its entry in the semantics (src/x86/sem), in the engine's helpers
 * (src/machine/engine) or in both, found by its name in the parsed source; and the functions that the entry uses.
 */
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import ts from 'typescript';
import { vectorRow } from '../../src/x86/sem/vector.ts';

export interface Meaning {
  /** `src/x86/sem/integer.ts` */
  readonly file: string;
  readonly line: number;
  readonly text: string;
  readonly node: ts.Node;
}

const FOLDERS = ['src/x86/sem', 'src/machine/engine', 'src/machine/engine/x87'];
const SINGLE = [
  'src/x86/flags.ts',
  'src/machine/emit/system.ts',
  'src/machine/interp/system-routines.ts',
  'src/machine/interp/state-routines.ts',
];
/** Files that mention operations for other reasons than to say what they do. */
const OTHER = /\.test\.ts$|\/(engine|dispatch|limits|trace|code-cache|offered|missing|sem)\.ts$/;

/** Semantics that go by another name than the operation's. */
const VARIANTS: Readonly<Record<string, readonly string[]>> = {
  iret: ['iret', 'iretq'],
  imul: ['imul1', 'imul2', 'imul3'],
  jmp: ['jmp', 'jmpRel'],
  call: ['call', 'callRel'],
  cmpxchg8b: ['cmpxchgPair'],
  cmpxchg16b: ['cmpxchgPair', 'cmpxchg16b'],
  movd: ['movd', 'movdToGpr'],
  mov_cr: ['mov_cr', 'movFromCr'],
  xsaveopt: ['xsaveopt', 'xsave'],
  xsavec: ['xsavec', 'xsave'],
};
const VECTOR_FORMS = ['rr', 'rm', 'mr', 'rri'];
/** x87 arithmetic with an integer, popping, or with its answer in the flags. */
const X87 = /^fi?(add|mul|subr?|divr?|com|ucom)(i?)p{0,2}$/;

/** All names under which an operation's semantics may stand. */
function namesOf(op: string): Set<string> {
  const names = new Set([op, `lock.${op}`, ...(VARIANTS[op] ?? [])]);
  const [, base, toFlags] = X87.exec(op) ?? [];
  if (base !== undefined) names.add(`f${base}`).add(`f${base}${toFlags}`);
  for (const form of VECTOR_FORMS) for (const z of [4, 8]) names.add(vectorRow(op, form, z)?.name ?? op);
  return names;
}

/** A name in the source that may be an operation's: the name, or the pattern of a template. */
interface Mention {
  readonly node: ts.Node;
  readonly name: string | RegExp;
}

export class Sources {
  private readonly files: ts.SourceFile[] = [];
  private readonly mentions: Mention[] = [];
  private readonly root: string;

  constructor(root: string) {
    this.root = root;
    for (const path of SINGLE) this.parse(path);
    for (const folder of FOLDERS)
      for (const name of readdirSync(join(root, folder)).sort())
        if (name.endsWith('.ts') && !OTHER.test(`/${name}`)) this.parse(`${folder}/${name}`);
    for (const file of this.files)
      visit(file, (node) => {
        for (const name of namesIn(node)) this.mentions.push({ node, name });
      });
  }

  private parse(path: string): void {
    const text = readFileSync(join(this.root, path), 'utf8');
    this.files.push(ts.createSourceFile(path, text, ts.ScriptTarget.ES2023, true));
  }

  /** The entries that say what an operation does, semantics before helpers. */
  meaningsOf(op: string): Meaning[] {
    const names = [...namesOf(op)];
    const fits = ({ name }: Mention): boolean =>
      typeof name === 'string' ? names.includes(name) : names.some((n) => name.test(n));
    const entries = this.mentions.filter(fits).map(({ node }) => entryOf(node));
    return [...new Set(entries)].filter((e) => e !== undefined).map(meaning);
  }

  /** The functions and constants that an entry names, from its own file or those it imports, one step further too. */
  usedBy(entries: readonly Meaning[], steps = 2): Meaning[] {
    const seen = new Set<ts.Node>(entries.map((e) => e.node));
    const out: Meaning[] = [];
    // a row of a table, with what the table is made into
    let from: readonly ts.Node[] = entries.map(({ node }) =>
      ts.isPropertyAssignment(node) && ts.isCallExpression(node.parent.parent)
        ? node.parent.parent.expression
        : node,
    );
    for (let step = 0; step < steps; step++) {
      const next: ts.Node[] = [];
      for (const node of from)
        visit(node, (n) => {
          if (!ts.isIdentifier(n) || (ts.isPropertyAccessExpression(n.parent) && n.parent.name === n)) return;
          const declared = this.declaration(n.text, n.getSourceFile());
          if (declared === undefined || seen.has(declared) || contains(declared, n)) return;
          seen.add(declared);
          next.push(declared);
          out.push(meaning(declared));
        });
      from = next;
    }
    return out;
  }

  /** A function or constant of a file, or of one that it is imported from. */
  private declaration(name: string, file: ts.SourceFile): ts.Node | undefined {
    for (const statement of file.statements) {
      if (PLUMBING.has(name)) return undefined;
      if (ts.isFunctionDeclaration(statement) && statement.name?.text === name) return statement;
      if (
        ts.isVariableStatement(statement) &&
        statement.declarationList.declarations.some((d) => d.name.getText() === name)
      )
        return isNumber(statement) ? undefined : statement;
      if (!ts.isImportDeclaration(statement) || statement.importClause?.isTypeOnly) continue;
      const bindings = statement.importClause?.namedBindings;
      if (!bindings || !ts.isNamedImports(bindings)) continue;
      const named = bindings.elements.find((e) => e.name.text === name);
      const target = named && this.imported(file, (statement.moduleSpecifier as ts.StringLiteral).text);
      if (target) return this.declaration((named.propertyName ?? named.name).text, target);
    }
    return undefined;
  }
  private imported(from: ts.SourceFile, specifier: string): ts.SourceFile | undefined {
    const path = join(from.fileName, '..', specifier);
    return this.files.find((file) => file.fileName === path);
  }
}

/** What stands around the meanings: registers, modes, tables of everything. */
const PLUMBING = new Set([
  'table',
  'plain',
  'jumps',
  'define',
  'on',
  'NEXT',
  'EXC',
  'SEG',
  'sem',
  'rr',
  'rri',
  'row',
  'routine',
  'load',
  'store',
  'INTEGER',
  'BMI',
  'OP',
  'X',
  'unit',
  'S',
  'D',
  'F32',
  'F64',
]);

/** A register's number and the like, whose name says enough. */
function isNumber(statement: ts.VariableStatement): boolean {
  const { initializer } = statement.declarationList.declarations[0]!;
  const literal = initializer && ts.isPrefixUnaryExpression(initializer) ? initializer.operand : initializer;
  return (
    literal !== undefined && (ts.isLiteralExpression(literal) || /^(true|false)$/.test(literal.getText()))
  );
}

function visit(node: ts.Node, see: (node: ts.Node) => void): void {
  see(node);
  ts.forEachChild(node, (child) => visit(child, see));
}
const contains = (outer: ts.Node, inner: ts.Node): boolean =>
  outer.getSourceFile() === inner.getSourceFile() && outer.pos <= inner.pos && inner.end <= outer.end;

/** The names that a node may stand for: a key, a string, a template with its holes, X.name. */
function namesIn(node: ts.Node): (string | RegExp)[] {
  if (ts.isPropertyAssignment(node) || ts.isShorthandPropertyAssignment(node))
    return ts.isIdentifier(node.name) || ts.isStringLiteral(node.name) ? [node.name.text] : [];
  if (ts.isStringLiteral(node)) return namesInString(node);
  if (ts.isPropertyAccessExpression(node))
    return ['X', 'OP'].includes(node.expression.getText()) ? [node.name.text] : [];
  return ts.isTemplateExpression(node) ? templatePattern(node) : [];
}
/** `define('add', ...)` stands for four operations. */
function namesInString(node: ts.StringLiteral): string[] {
  const { parent } = node;
  if (ts.isPropertyAssignment(parent)) return parent.name.getText() === 'op' ? [node.text] : [];
  const suffixed = ts.isCallExpression(parent) && parent.expression.getText() === 'define';
  return suffixed ? ['ps', 'pd', 'ss', 'sd'].map((suffix) => node.text + suffix) : [node.text];
}
/** `adds${s}`: a few letters in each hole. One that begins with a hole stands for nothing. */
function templatePattern(node: ts.TemplateExpression): RegExp[] {
  const parts = [node.head.text, ...node.templateSpans.map((span) => span.literal.text)];
  return node.head.text.length < 2 ? [] : [new RegExp(`^${parts.join('[a-z0-9]{0,3}')}$`)];
}

/** The smallest piece of source around a name that says something by itself; undefined where it is but a comparison. */
function entryOf(name: ts.Node): ts.Node | undefined {
  for (let node = name; node.parent; node = node.parent) {
    const { parent } = node;
    if (ts.isBinaryExpression(parent) && parent.operatorToken.kind !== ts.SyntaxKind.EqualsToken)
      return undefined;
    if (ts.isNewExpression(parent) && ['Set', 'Map'].includes(parent.expression.getText())) return undefined;
    if (ts.isTypeNode(parent) || ts.isImportDeclaration(parent) || ts.isCaseClause(parent)) return undefined;
    if (ts.isPropertyAssignment(node)) {
      if (node.name.getText() === 'op') return parent;
      // a table of names alone says nothing, unless something is made of it there and then
      return ts.isStringLiteral(node.initializer) && !ts.isCallExpression(parent.parent) ? undefined : node;
    }
    if (ts.isShorthandPropertyAssignment(node)) return node;
    if (ts.isForOfStatement(parent) && parent.expression === node) return parent;
    if (ts.isExpressionStatement(node))
      return ts.isBlock(parent) && !registers(node, name) ? undefined : node;
    if (ts.isCallExpression(node) && (ts.isArrayLiteralExpression(parent) || ts.isSpreadElement(parent)))
      return node;
    if (ts.isVariableStatement(node) || ts.isReturnStatement(node)) return undefined;
  }
  return undefined;
}
/** Is the name what the statement's call is first told? */
function registers({ expression }: ts.ExpressionStatement, name: ts.Node): boolean {
  const first = ts.isCallExpression(expression) ? expression.arguments[0] : undefined;
  return first !== undefined && contains(first, name);
}

function meaning(node: ts.Node): Meaning {
  const file = node.getSourceFile();
  const { line } = file.getLineAndCharacterOfPosition(node.getStart(file));
  const start = node.getStart(file);
  const comment = ts.getLeadingCommentRanges(file.text, node.pos)?.at(-1);
  const belongs = comment !== undefined && !file.text.slice(comment.end, start).includes('\n\n');
  const from = belongs && !ts.isPropertyAssignment(node) ? comment.pos : start;
  return { file: file.fileName, line: line + 1, text: outdent(file.text.slice(from, node.end)), node };
}
/** Without the indentation that it has in its file. */
function outdent(text: string): string {
  const lines = text.split('\n');
  const indents = lines
    .slice(1)
    .filter((l) => l.trim())
    .map((l) => l.length - l.trimStart().length);
  const common = Math.min(...indents, 99);
  return lines.map((l, n) => (n === 0 ? l : l.slice(common))).join('\n');
}
