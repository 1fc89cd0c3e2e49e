/** An expression of Calico's selector language, over the labels of an endpoint. */
export type Expression =
  | { is: 'all' }
  | { is: 'global' }
  | { is: 'in' | 'not-in'; key: string; values: readonly string[] }
  | { is: 'has'; key: string }
  | { is: 'text'; key: string; how: 'contains' | 'starts with' | 'ends with'; value: string }
  | { is: 'not'; of: Expression }
  | { is: 'and' | 'or'; of: readonly Expression[] };

/** Error for a selector that cannot be parsed. */
export class BadSelector extends Error {
  /** @param problem what is wrong, in words that follow "it". @param selector the selector, of which the beginning is quoted. */
  constructor(selector: string, problem: string) {
    const quoted = selector.length > maxQuotedLength ? `${selector.slice(0, maxQuotedLength)}…` : selector;
    super(`cannot parse the selector ${quoted}: it ${problem}`);
  }
}

/** Limits of a selector that is parsed: a deeper or longer one takes more memory or time than a tenant may use. */
const maxDepth = 100;
const maxSelectorLength = 10_000;

/** Maximum length of a selector in an error, in characters. */
const maxQuotedLength = 200;

const tokens =
  /\s*(?:(&&|\|\||==|!=|[!(){},])|"([^"]*)"|'([^']*)'|(has)\(\s*([\w./-]+)\s*\)|(all|global)\(\s*\)|([\w./-]+))/y;

interface Token {
  symbol?: string;
  text?: string;
  has?: string;
  call?: string;
  word?: string;
}

/** The problem of a selector that does not follow the grammar. */
const notValid = "does not follow Calico's grammar";

function tokenize(selector: string): Token[] {
  if (selector.length > maxSelectorLength)
    throw new BadSelector(selector, `has ${selector.length} characters, and the limit is ${maxSelectorLength}`);
  const tokenList: Token[] = [];
  const { length } = selector.trimEnd();
  tokens.lastIndex = 0;
  while (tokens.lastIndex < length) {
    const match = tokens.exec(selector);
    if (match === null) throw new BadSelector(selector, notValid);
    const [, symbol, double, single, , has, call, word] = match;
    const text = double ?? single;
    tokenList.push({
      ...(symbol !== undefined && { symbol }),
      ...(text !== undefined && { text }),
      ...(has !== undefined && { has }),
      ...(call !== undefined && { call }),
      ...(word !== undefined && { word }),
    });
  }
  return tokenList;
}

/**
 * Parses a selector (grammar: docs.tigera.io, "Selectors"; libcalico-go/lib/selector of v3.28). An empty selector
 * matches all.
 * @throws BadSelector when it cannot be parsed.
 */
export function parseSelector(selector: string): Expression {
  return new SelectorParser(selector).parse();
}

/** A recursive descent parser over the tokens of one selector. */
class SelectorParser {
  private readonly selector: string;
  private readonly rest: Token[];
  private depth = 0;

  constructor(selector: string) {
    this.selector = selector;
    this.rest = tokenize(selector);
  }

  parse(): Expression {
    if (this.rest.length === 0) return { is: 'all' };
    const whole = this.parseOr();
    return this.rest.length === 0 ? whole : this.fail();
  }

  private parseOr(): Expression {
    return this.parseChain('or', '||', () => this.parseAnd());
  }

  private parseAnd(): Expression {
    return this.parseChain('and', '&&', () => this.parseOperation());
  }

  private parseChain(operator: 'and' | 'or', symbol: string, next: () => Expression): Expression {
    const first = next();
    const of = [first];
    while (this.consume(symbol)) of.push(next());
    return of.length === 1 ? first : { is: operator, of };
  }

  private parseOperation(): Expression {
    if (this.consume('!')) return { is: 'not', of: this.parseInner(() => this.parseOperation()) };
    if (this.consume('(')) {
      const inner = this.parseInner(() => this.parseOr());
      if (!this.consume(')')) this.fail();
      return inner;
    }
    const token = this.rest.shift();
    if (token?.has !== undefined) return { is: 'has', key: token.has };
    if (token?.call === 'all') return { is: 'all' };
    if (token?.call === 'global') return { is: 'global' };
    return token?.word === undefined ? this.fail() : this.parseComparison(token.word);
  }

  private parseInner(parse: () => Expression): Expression {
    if (++this.depth > maxDepth)
      throw new BadSelector(this.selector, `is nested deeper than ${maxDepth} levels, which is the limit`);
    const inner = parse();
    this.depth--;
    return inner;
  }

  private parseComparison(key: string): Expression {
    if (this.consume('==')) return { is: 'in', key, values: [this.parseText()] };
    if (this.consume('!=')) return { is: 'not-in', key, values: [this.parseText()] };
    const word = this.rest.shift()?.word;
    switch (word) {
      case 'in':
        return { is: 'in', key, values: this.parseSet() };
      case 'not':
        return this.consumeWord('in') ? { is: 'not-in', key, values: this.parseSet() } : this.fail();
      case 'contains':
        return { is: 'text', key, how: 'contains', value: this.parseText() };
      case 'starts':
      case 'ends':
        return this.consumeWord('with')
          ? { is: 'text', key, how: `${word} with`, value: this.parseText() }
          : this.fail();
      default:
        return this.fail();
    }
  }

  private parseSet(): string[] {
    const values: string[] = [];
    if (!this.consume('{')) this.fail();
    while (!this.consume('}')) {
      values.push(this.parseText());
      if (!this.consume(',') && this.rest[0]?.symbol !== '}') this.fail();
    }
    return values;
  }

  private parseText(): string {
    return this.rest.shift()?.text ?? this.fail();
  }

  private consume(symbol: string): boolean {
    if (this.rest[0]?.symbol !== symbol) return false;
    this.rest.shift();
    return true;
  }

  private consumeWord(word: string): boolean {
    if (this.rest[0]?.word !== word) return false;
    this.rest.shift();
    return true;
  }

  private fail(): never {
    throw new BadSelector(this.selector, notValid);
  }
}

/** Returns true when the expression matches the labels. Exclusions match a missing label. */
export function expressionMatches(expression: Expression, labels: Readonly<Record<string, string>>): boolean {
  switch (expression.is) {
    case 'all':
      return true;
    case 'global':
      return labels['projectcalico.org/namespace'] === undefined;
    case 'has':
      return labels[expression.key] !== undefined;
    case 'in':
      return expression.values.includes(labels[expression.key] ?? '\0');
    case 'not-in':
      return !expression.values.includes(labels[expression.key] ?? '\0');
    case 'text': {
      const value = labels[expression.key];
      if (value === undefined) return false;
      if (expression.how === 'contains') return value.includes(expression.value);
      return expression.how === 'starts with' ? value.startsWith(expression.value) : value.endsWith(expression.value);
    }
    case 'not':
      return !expressionMatches(expression.of, labels);
    case 'and':
      return expression.of.every((part) => expressionMatches(part, labels));
    case 'or':
      return expression.of.some((part) => expressionMatches(part, labels));
  }
}

/** Returns the same expression with renamed keys. */
export function renameKeys(expression: Expression, rename: (key: string) => string): Expression {
  switch (expression.is) {
    case 'all':
    case 'global':
      return expression;
    case 'not':
      return { is: 'not', of: renameKeys(expression.of, rename) };
    case 'and':
    case 'or':
      return { is: expression.is, of: expression.of.map((part) => renameKeys(part, rename)) };
    default:
      return { ...expression, key: rename(expression.key) };
  }
}

/** Returns the keys that an expression refers to, with the values that it names. */
export function listKeys(expression: Expression): [key: string, values: readonly string[]][] {
  switch (expression.is) {
    case 'all':
    case 'global':
      return [];
    case 'has':
      return [[expression.key, []]];
    case 'in':
    case 'not-in':
      return [[expression.key, expression.values]];
    case 'text':
      return [[expression.key, [expression.value]]];
    case 'not':
      return listKeys(expression.of);
    case 'and':
    case 'or':
      return expression.of.flatMap(listKeys);
  }
}

/** A requirement of a Kubernetes label selector. */
export interface Requirement {
  key: string;
  operator: 'In' | 'NotIn' | 'Exists' | 'DoesNotExist';
  values?: string[];
}

/** Maximum number of alternatives that are written out. */
const maxAlternatives = 32;

/**
 * Converts the expression to label selectors, of which one has to match.
 * @returns undefined when there is no such conversion: for parts of values, and when it would take too many selectors.
 */
export function alternatives(expression: Expression, negated = false): Requirement[][] | undefined {
  switch (expression.is) {
    case 'all':
      return negated ? [] : [[]];
    case 'global':
    case 'text':
      return undefined;
    case 'has':
      return [[{ key: expression.key, operator: negated ? 'DoesNotExist' : 'Exists' }]];
    case 'in':
    case 'not-in': {
      const { key, values } = expression;
      const operator = (expression.is === 'in') === negated ? 'NotIn' : 'In';
      if (values.length === 0) return operator === 'In' ? [] : [[]];
      return [[{ key, operator, values: [...values] }]];
    }
    case 'not':
      return alternatives(expression.of, !negated);
    case 'and':
    case 'or': {
      const parts = expression.of.map((part) => alternatives(part, negated));
      if (parts.some((part) => part === undefined)) return undefined;
      const sets = parts as Requirement[][][];
      if ((expression.is === 'or') !== negated) return limitAlternatives(sets.flat());
      return sets.reduce<Requirement[][] | undefined>(
        (sums, part) => sums && limitAlternatives(sums.flatMap((left) => part.map((right) => [...left, ...right]))),
        [[]]
      );
    }
  }
}

function limitAlternatives(requirementSets: Requirement[][]): Requirement[][] | undefined {
  return requirementSets.length > maxAlternatives ? undefined : requirementSets;
}
