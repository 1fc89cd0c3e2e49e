import path from 'node:path';
import ts from 'typescript';

/** A JSON Schema of draft 7, or a part of one. */
export type JsonSchema = Record<string, unknown>;

const projectDir = path.resolve(import.meta.dirname, '..', '..');

/** Types without a useful description of their own: any JSON value, and any JSON object. */
const openTypes: Readonly<Record<string, JsonSchema>> = { Json: {}, HelmValues: { type: 'object' } };

/**
 * JSON Schemas of TypeScript types, with descriptions from doc comments. Supports the types that JSON can express, and
 * throws for all others. Exported types of the project become definitions. Objects are open, because fields are only
 * ever added to results.
 */
export class TypeSchemas {
  /** Definitions of all types that were converted so far, by name. */
  readonly definitions: Record<string, JsonSchema> = {};
  private readonly program: ts.Program;
  private readonly checker: ts.TypeChecker;

  /** @param files paths of the source files within the project. */
  constructor(files: readonly string[]) {
    const { config } = ts.readConfigFile(path.join(projectDir, 'tsconfig.json'), (file) => ts.sys.readFile(file)) as {
      config: { compilerOptions: object };
    };
    const { options } = ts.convertCompilerOptionsFromJson({ ...config.compilerOptions, types: ['node'] }, projectDir);
    this.program = ts.createProgram(
      files.map((file) => path.join(projectDir, file)),
      options
    );
    this.checker = this.program.getTypeChecker();
  }

  /** Returns an exported type of a file. */
  typeOf(file: string, name: string): ts.Type {
    const symbol = this.exportsOf(file).find((candidate) => candidate.name === name);
    if (symbol === undefined) throw new Error(`${file} exports no ${name}`);
    if ((symbol.flags & ts.SymbolFlags.Type) !== 0) return this.checker.getDeclaredTypeOfSymbol(symbol);
    return this.checker.getTypeOfSymbol(symbol);
  }

  /** Returns the doc comment of an export. */
  commentOf(file: string, name: string): string {
    return this.describe(this.exportsOf(file).find((candidate) => candidate.name === name));
  }

  /** Returns the comment before each element of an exported array of strings. */
  elementComments(file: string, name: string): Map<string, string> {
    const source = this.sourceFile(file);
    const comments = new Map<string, string>();
    const visit = (node: ts.Node): void => {
      if (ts.isStringLiteral(node) && ts.isArrayLiteralExpression(node.parent)) {
        const [range] = ts.getLeadingCommentRanges(source.text, node.getFullStart()) ?? [];
        const comment = range === undefined ? '' : source.text.slice(range.pos, range.end);
        comments.set(
          node.text,
          comment
            .replaceAll(/^\/\*\*|\*\/$/g, '')
            .replaceAll(/\s+(\* )?/g, ' ')
            .trim()
        );
      }
      ts.forEachChild(node, visit);
    };
    for (const statement of source.statements) {
      if (!ts.isVariableStatement(statement)) continue;
      const [declaration] = statement.declarationList.declarations;
      if (declaration?.name.getText() === name) visit(declaration);
    }
    return comments;
  }

  /** Returns the results of the queries that a file exports, by the name of the constant. */
  queryResults(file: string): Map<string, JsonSchema> {
    const results = new Map<string, JsonSchema>();
    for (const symbol of this.exportsOf(file)) {
      const type = this.checker.getTypeOfSymbol(symbol);
      if (type.symbol?.name !== 'QueryDefinition') continue;
      const [result] = this.checker.getTypeArguments(type as ts.TypeReference);
      if (result !== undefined)
        results.set(symbol.name, { description: this.describe(symbol), ...this.convert(result) });
    }
    return results;
  }

  /** Returns the result of an asynchronous function. */
  resultOf(file: string, name: string): JsonSchema {
    const [signature] = this.typeOf(file, name).getCallSignatures();
    const result = signature && this.checker.getAwaitedType(signature.getReturnType());
    if (result === undefined) throw new Error(`${name} of ${file} returns nothing`);
    return this.convert(result);
  }

  /** Adds the doc comments of a type's properties to a schema of the same shape. The type may be that of a Zod schema. */
  addDescriptions(schema: JsonSchema, type: ts.Type): void {
    const properties = (schema['properties'] ?? {}) as Record<string, JsonSchema>;
    const nonNull = this.inputOf(this.checker.getNonNullableType(type));
    for (const [name, property] of Object.entries(properties)) {
      const symbol = this.checker.getPropertyOfType(nonNull, name);
      if (symbol === undefined) continue;
      const description = this.describe(symbol, { withDefault: !('default' in property) });
      if (description !== '') property['description'] = description;
      this.addDescriptions(property, this.checker.getTypeOfSymbol(symbol));
    }
    const items = schema['items'] as JsonSchema | undefined;
    const element = items && this.checker.getIndexTypeOfType(nonNull, ts.IndexKind.Number);
    if (element) this.addDescriptions(items, element);
  }

  /**
   * Converts a type; exported types of the project become references to {@link definitions}. `undefined` becomes
   * `null`, as Temporal returns it.
   */
  convert(type: ts.Type): JsonSchema {
    const name = this.nameOf(type);
    if (name === undefined) return this.expand(type);
    const open = openTypes[name];
    if (open !== undefined) return open;
    if (!(name in this.definitions)) {
      // Reserved first: the type may refer to itself.
      const definition: JsonSchema = (this.definitions[name] = {});
      const description = this.describe(type.aliasSymbol ?? type.symbol);
      Object.assign(definition, description !== '' && { description }, this.expand(type));
    }
    return { $ref: `#/definitions/${name}` };
  }

  private expand(type: ts.Type): JsonSchema {
    if (type.isUnion()) return this.expandUnion(type);
    if (type.isIntersection()) return { allOf: type.types.map((part) => this.convert(part)) };
    if (type.isStringLiteral() || type.isNumberLiteral()) return { type: typeof type.value, const: type.value };
    const { flags } = type;
    if ((flags & ts.TypeFlags.String) !== 0) return { type: 'string' };
    if ((flags & ts.TypeFlags.Number) !== 0) return { type: 'number' };
    if ((flags & ts.TypeFlags.BooleanLiteral) !== 0) {
      return { type: 'boolean', const: this.checker.typeToString(type) === 'true' };
    }
    if ((flags & (ts.TypeFlags.Undefined | ts.TypeFlags.Null)) !== 0) return { type: 'null' };
    if ((flags & ts.TypeFlags.Object) !== 0) return this.expandObject(type);
    throw new Error(`no JSON Schema for the type ${this.checker.typeToString(type)}`);
  }

  /** The compiler orders the parts of a union by their first use anywhere: they are sorted. */
  private expandUnion({ types }: ts.UnionType): JsonSchema {
    if (types.every((part) => part.isStringLiteral())) {
      return { type: 'string', enum: types.map(({ value }) => value).sort() };
    }
    const isBoolean = (part: ts.Type): boolean => (part.flags & ts.TypeFlags.BooleanLiteral) !== 0;
    const parts = types.filter((part) => !isBoolean(part)).map((part) => this.convert(part));
    const booleans = types.filter(isBoolean);
    if (booleans.length === 2) parts.push({ type: 'boolean' });
    else parts.push(...booleans.map((part) => this.convert(part)));
    const [only] = parts;
    if (parts.length === 1 && only !== undefined) return only;
    return { anyOf: parts.sort((a, b) => (JSON.stringify(a) < JSON.stringify(b) ? -1 : 1)) };
  }

  private expandObject(type: ts.Type): JsonSchema {
    if (this.checker.isTupleType(type)) {
      const elements = this.checker.getTypeArguments(type as ts.TupleTypeReference);
      const items = elements.map((element) => this.convert(element));
      return { type: 'array', items, minItems: items.length, maxItems: items.length };
    }
    if (this.checker.isArrayType(type)) {
      const [element] = this.checker.getTypeArguments(type as ts.TypeReference);
      return { type: 'array', ...(element && { items: this.convert(element) }) };
    }
    if (type.getCallSignatures().length > 0) throw new Error(`no JSON Schema for a function: ${type.symbol.name}`);
    const properties: Record<string, JsonSchema> = {};
    const required: string[] = [];
    for (const symbol of this.checker.getPropertiesOfType(type)) {
      const isOptional = (symbol.flags & ts.SymbolFlags.Optional) !== 0;
      const propertyType = this.checker.getTypeOfSymbol(symbol);
      properties[symbol.name] = withDescription(
        this.describe(symbol),
        this.convert(isOptional ? this.withoutUndefined(propertyType) : propertyType)
      );
      if (!isOptional) required.push(symbol.name);
    }
    const values = this.checker.getIndexTypeOfType(type, ts.IndexKind.String);
    return {
      type: 'object',
      ...(Object.keys(properties).length > 0 && { properties }),
      ...(required.length > 0 && { required }),
      ...(values && { additionalProperties: this.convert(values) }),
    };
  }

  /** Returns the type of the data that a Zod schema accepts; any other type is returned unchanged. */
  private inputOf(type: ts.Type): ts.Type {
    const isZod = this.checker.getPropertyOfType(type, '_zod') !== undefined;
    const input = isZod ? this.checker.getPropertyOfType(type, '_input') : undefined;
    return input === undefined ? type : this.checker.getTypeOfSymbol(input);
  }

  /** A field that may be missing is never null. */
  private withoutUndefined(type: ts.Type): ts.Type {
    const parts = type.isUnion() ? type.types : [type];
    return parts.some((part) => (part.flags & ts.TypeFlags.Undefined) !== 0)
      ? this.checker.getNonNullableType(type)
      : type;
  }

  /** Returns the name of an exported type of the project without type parameters. */
  private nameOf(type: ts.Type): string | undefined {
    if (type.aliasSymbol !== undefined && (type.aliasTypeArguments ?? []).length > 0) return undefined;
    const symbol =
      type.aliasSymbol ?? ((type.symbol?.flags & ts.SymbolFlags.Interface) !== 0 ? type.symbol : undefined);
    const [declaration] = symbol?.declarations ?? [];
    if (symbol === undefined || declaration === undefined) return undefined;
    const source = declaration.getSourceFile();
    if (this.program.isSourceFileFromExternalLibrary(source) || this.program.isSourceFileDefaultLibrary(source)) {
      return undefined;
    }
    return symbol.name;
  }

  private describe(symbol: ts.Symbol | undefined, { withDefault = true } = {}): string {
    if (symbol === undefined) return '';
    const comment = ts.displayPartsToString(symbol.getDocumentationComment(this.checker));
    const tag = symbol.getJsDocTags(this.checker).find(({ name }) => name === 'default');
    const byDefault = tag === undefined || !withDefault ? '' : `Default: ${ts.displayPartsToString(tag.text)}.`;
    return `${comment}\n${byDefault}`
      .replaceAll(/\{@link ([^}]+)\}/g, '$1')
      .replaceAll(/\s+/g, ' ')
      .trim();
  }

  private exportsOf(file: string): ts.Symbol[] {
    const symbol = this.checker.getSymbolAtLocation(this.sourceFile(file));
    return symbol === undefined
      ? []
      : this.checker
          .getExportsOfModule(symbol)
          .map((entry) => ((entry.flags & ts.SymbolFlags.Alias) !== 0 ? this.checker.getAliasedSymbol(entry) : entry));
  }

  private sourceFile(file: string): ts.SourceFile {
    const source = this.program.getSourceFile(path.join(projectDir, file));
    if (source === undefined) throw new Error(`there is no file ${file}`);
    return source;
  }
}

/** A draft 7 schema ignores what is next to a reference. */
function withDescription(description: string, schema: JsonSchema): JsonSchema {
  if (description === '') return schema;
  return '$ref' in schema ? { description, allOf: [schema] } : { description, ...schema };
}
