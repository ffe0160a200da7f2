// The small faults that `npm run mutate` puts into a source file, and the file with all of them in it at once.
import ts from 'typescript';
import { regexMutants } from './mutate-regex.js';

/** One fault: the text from `start` to `end` replaced. */
export interface Mutant {
  readonly start: number;
  readonly end: number;
  readonly replacement: string;
}

export interface Instrumented {
  readonly mutants: readonly Mutant[];
  /** TypeScript in which each expression asks `$mutant(id)` whether it is to be another one; ids count up from `firstId`. */
  readonly code: string;
}

/** `<` may become `<=` or `>=`: the boundary and the opposite. Arithmetic becomes its inverse. */
const OPERATORS: Readonly<Record<string, readonly string[]>> = {
  ...{ '<': ['<=', '>='], '<=': ['<', '>'], '>': ['>=', '<='], '>=': ['>', '<'] },
  ...{ '===': ['!=='], '!==': ['==='] },
  ...{ '+': ['-'], '-': ['+'], '*': ['/'], '/': ['*'], '%': ['*'], '**': ['*'] },
  ...{ '<<': ['>>'], '>>': ['<<'], '>>>': ['<<'], '&': ['|'], '|': ['&'], '^': ['&'] },
  ...{ '+=': ['-='], '-=': ['+='], '*=': ['/='], '/=': ['*='], '%=': ['*='], '<<=': ['>>='], '>>=': ['<<='] },
  ...{ '|=': ['&='], '&=': ['|='], '??=': ['='] },
};
/** Of these, what is left when one side is gone. */
const EITHER = new Set(['&&', '||', '??']);
/** Calls that give something like what they were called on. */
const DROPPED =
  /^(slice|sort|reverse|toSorted|trim|filter|flat|at|normalize|replace|replaceAll|padEnd|padStart)$/;
const SWAPPED: Readonly<Record<string, string>> = {
  ...{ min: 'max', max: 'min', floor: 'ceil', ceil: 'floor', every: 'some', some: 'every' },
  ...{ startsWith: 'endsWith', endsWith: 'startsWith', push: 'unshift' },
};
/** Of `Math`: the argument is left. */
const PASSED = /^(abs|fround|round|trunc|sqrt|floor|ceil)$/;

const textOf = (node: ts.Node) => node.getText();
const isSkipped = (node: ts.Node) =>
  ts.isTypeNode(node) ||
  ts.isInterfaceDeclaration(node) ||
  ts.isTypeAliasDeclaration(node) ||
  ts.isImportDeclaration(node) ||
  (ts.isExportDeclaration(node) && node.moduleSpecifier !== undefined);

/** Alone under an `if` without `else`: taking it away is what a condition that is false does. */
function isWholeBranch(node: ts.Statement): boolean {
  const block = ts.isBlock(node.parent) && node.parent.statements.length === 1 ? node.parent : node;
  return ts.isIfStatement(block.parent) && block.parent.elseStatement === undefined;
}

function ofStatement(node: ts.Node): string[] {
  const isJump =
    ts.isBreakOrContinueStatement(node) || (ts.isReturnStatement(node) && node.expression === undefined);
  const isCall =
    ts.isExpressionStatement(node) &&
    !ts.isStringLiteral(node.expression) &&
    !(ts.isCallExpression(node.expression) && node.expression.expression.kind === ts.SyntaxKind.SuperKeyword);
  if (isJump || isCall || ts.isThrowStatement(node))
    return ts.isCaseOrDefaultClause(node.parent) || isWholeBranch(node) ? [] : [';'];
  return ts.isForOfStatement(node) ? [';'] : [];
}

const isCondition = (node: ts.Node) =>
  (ts.isIfStatement(node.parent) && node.parent.expression === node) ||
  (ts.isConditionalExpression(node.parent) && node.parent.condition === node);
const isLoopCondition = (node: ts.Node) =>
  ((ts.isWhileStatement(node.parent) || ts.isDoStatement(node.parent)) && node.parent.expression === node) ||
  (ts.isForStatement(node.parent) && node.parent.condition === node);

/** Text for people is not tested word by word; names and codes are. */
const isName = (text: string) => text !== '' && !/\s/.test(text);

function ofLiteral(node: ts.Node): string[] {
  if (ts.isNumericLiteral(node)) {
    const value = Number(node.text);
    return [String(value + 1 === value ? value / 2 : value + 1)];
  }
  if (ts.isStringLiteral(node)) return isName(node.text) ? ["''"] : [];
  if (ts.isTemplateExpression(node) || ts.isNoSubstitutionTemplateLiteral(node))
    return isName(
      textOf(node)
        .slice(1, -1)
        .replace(/\$\{[^}]*\}/g, '$'),
    )
      ? ['``']
      : [];
  if (node.kind === ts.SyntaxKind.TrueKeyword) return ['false'];
  if (node.kind === ts.SyntaxKind.FalseKeyword) return ['true'];
  if (ts.isArrayLiteralExpression(node)) return node.elements.length > 0 ? ['[]'] : [];
  return ts.isRegularExpressionLiteral(node) ? regexMutants(node.text) : [];
}

function ofCall(node: ts.CallExpression): string[] {
  if (!ts.isPropertyAccessExpression(node.expression)) return [];
  const { expression: object, name } = node.expression;
  const isMath = textOf(object) === 'Math';
  const [first] = node.arguments;
  const found: string[] = [];
  if (Object.hasOwn(SWAPPED, name.text))
    found.push(`${textOf(object)}.${SWAPPED[name.text]}(${node.arguments.map(textOf).join(', ')})`);
  if (isMath && PASSED.test(name.text) && first) found.push(textOf(first));
  if (!isMath && DROPPED.test(name.text)) found.push(textOf(object));
  return found;
}

function ofExpression(node: ts.Node): string[] {
  const found: string[] = [];
  if (isCondition(node)) found.push('true', 'false');
  else if (isLoopCondition(node) && node.kind !== ts.SyntaxKind.TrueKeyword) found.push('false');
  if (ts.isBinaryExpression(node)) {
    const [left, operator, right] = [node.left, textOf(node.operatorToken), node.right];
    const isText = [left, right].some(
      (side) => ts.isStringLiteralLike(side) || ts.isTemplateExpression(side),
    );
    if (EITHER.has(operator)) found.push(textOf(left), textOf(right));
    else if (!isText || !/^\+=?$/.test(operator))
      found.push(...(OPERATORS[operator] ?? []).map((other) => `${textOf(left)} ${other} ${textOf(right)}`));
  } else if (ts.isPrefixUnaryExpression(node)) {
    const { operator, operand } = node;
    if (operator === ts.SyntaxKind.PlusPlusToken) found.push(`--${textOf(operand)}`);
    else if (operator === ts.SyntaxKind.MinusMinusToken) found.push(`++${textOf(operand)}`);
    else found.push(textOf(operand));
  } else if (ts.isPostfixUnaryExpression(node)) {
    found.push(`${textOf(node.operand)}${node.operator === ts.SyntaxKind.PlusPlusToken ? '--' : '++'}`);
  } else if (ts.isCallExpression(node)) found.push(...ofCall(node));
  else if (!isCondition(node)) found.push(...ofLiteral(node));
  return found;
}

/** Whether another expression can stand in its place: it is no name, no target and no link of a chain. */
function isReplaceable(node: ts.Node): boolean {
  if (!ts.isExpression(node) || node.flags & ts.NodeFlags.OptionalChain) return false;
  const { parent } = node;
  if (ts.isPropertyAssignment(parent) || ts.isPropertyDeclaration(parent) || ts.isMethodDeclaration(parent))
    return parent.name !== node;
  if (ts.isBindingElement(parent)) return parent.propertyName !== node;
  if (ts.isBinaryExpression(parent) && parent.left === node)
    return (
      parent.operatorToken.kind < ts.SyntaxKind.FirstAssignment ||
      parent.operatorToken.kind > ts.SyntaxKind.LastAssignment
    );
  if (ts.isForOfStatement(parent) && parent.initializer === node) return false;
  if (ts.isTaggedTemplateExpression(parent)) return parent.template !== node;
  return !(ts.isLiteralTypeNode(parent) || ts.isExternalModuleReference(parent));
}

/** Everything below a `throw` is a message, but for the code of the error. */
function isMessage(node: ts.Node): boolean {
  for (let at = node; at.parent; at = at.parent) {
    if (ts.isStatement(at) && !ts.isThrowStatement(at)) return false;
    const { parent } = at;
    const isCode =
      ts.isNewExpression(parent) &&
      textOf(parent.expression) === 'BitnibbleError' &&
      parent.arguments?.[0] === at;
    if (isCode) return false;
    if (ts.isThrowStatement(parent)) return true;
    if (ts.isNewExpression(parent) && /Error$/.test(textOf(parent.expression))) return true;
  }
  return false;
}

/** Finds the mutants of a file; `isWanted` chooses among its lines, counted from 1. */
export function instrument(
  source: string,
  name: string,
  firstId = 0,
  isWanted: (line: number) => boolean = () => true,
): Instrumented {
  const file = ts.createSourceFile(name, source, ts.ScriptTarget.ES2022, true);
  const mutants: Mutant[] = [];
  const add = (node: ts.Node, replacement: string) => {
    const [start, end] = [node.getStart(), node.getEnd()];
    mutants.push({ start, end, replacement });
    return `$mutant(${firstId + mutants.length - 1})`;
  };
  /** The node with what its children became. */
  const inner = (node: ts.Node): string => {
    let text = '';
    let at = node.getStart();
    ts.forEachChild(node, (child) => {
      if (child.getEnd() === child.getStart()) return;
      text += source.slice(at, child.getStart()) + render(child);
      at = child.getEnd();
    });
    return text + source.slice(at, node.getEnd());
  };
  const render = (node: ts.Node): string => {
    if (isSkipped(node)) return textOf(node);
    const wanted = isWanted(file.getLineAndCharacterOfPosition(node.getStart()).line + 1);
    if (ts.isShorthandPropertyAssignment(node)) return textOf(node);
    if (ts.isStatement(node)) {
      const tests = wanted ? ofStatement(node).map((text) => add(node, text)) : [];
      return tests.length > 0 ? `{ if (!${tests[0]}) ${inner(node)} }` : inner(node);
    }
    if (!wanted || !isReplaceable(node) || isMessage(node)) return inner(node);
    const own = textOf(node);
    const texts = [...new Set(ofExpression(node))].filter((text) => text !== own);
    const choices = texts.map((text) => `${add(node, text)} ? (${text}) : `);
    return choices.length > 0 ? `(${choices.join('')}(${inner(node)}))` : inner(node);
  };
  const body = source.slice(0, file.getStart()) + inner(file);
  return { mutants, code: `const $mutant = globalThis.$mutant; ${body}` };
}
