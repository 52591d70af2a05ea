// Runs queries over rows: reads {now, schemas, queries, cases} on stdin, and writes for each case the rows of each query, or
// what is wrong with the queries.
//
// The text is parsed and checked by the language service of Azure Data Explorer, against the columns that the tables have;
// what is understood of its tree is what this project's queries use, and anything else is an error.
'use strict';
require('@kusto/language-service-next/bridge.min.js');
require('@kusto/language-service-next/Kusto.Language.Bridge.min.js');

const { Syntax, Symbols, GlobalState, KustoCode } = Kusto.Language;
const KINDS = new Map(Object.entries(Syntax.SyntaxKind).map(([name, number]) => [number, name]));

class Time { constructor(ms) { this.ms = ms; } valueOf() { return this.ms; } toJSON() { return new Date(this.ms).toISOString(); } }
class Span { constructor(ms) { this.ms = ms; } valueOf() { return this.ms; } toJSON() { return this.ms; } }

const kind = (node) => KINDS.get(node.Kind);
const children = (node) => Array.from({ length: node.ChildCount }, (_, i) => node.GetChild(i)).filter(Boolean);
const child = (node, name) => children(node).find((part) => kind(part) === name);
const text = (node) => node.ToString().trim();
// What stands in a list, without its commas.
const items = (list) => children(list).map((part) => (kind(part) === 'SeparatedElement' ? children(part)[0] : part));
const list = (node) => child(node, 'List');
const lists = (node) => children(node).filter((part) => kind(part) === 'List');
const isNull = (value) => value === null || value === undefined;
const number = (value) => (isNull(value) || value === '' || Number.isNaN(Number(value)) ? null : Number(value));
const json = (value) => { try { return JSON.parse(value); } catch { return null; } };
const string = (value) => (isNull(value) ? '' : typeof value === 'object' ? JSON.stringify(value) : String(value));
const units = { d: 86400e3, h: 3600e3, m: 60e3, s: 1e3 };

const OPERATORS = {
  EqualExpression: (a, b) => a.valueOf() === b.valueOf(),
  NotEqualExpression: (a, b) => a.valueOf() !== b.valueOf(),
  GreaterThanExpression: (a, b) => a > b,
  GreaterThanOrEqualExpression: (a, b) => a >= b,
  LessThanExpression: (a, b) => a < b,
  LessThanOrEqualExpression: (a, b) => a <= b,
  MultiplyExpression: (a, b) => a * b,
  DivideExpression: (a, b) => a / b,
  AddExpression: (a, b) => (a instanceof Time || b instanceof Time ? new Time(a + b) : a + b),
  SubtractExpression: (a, b) => {
    if (a instanceof Time) return b instanceof Time ? new Span(a - b) : new Time(a - b);
    return a - b;
  },
  EqualTildeExpression: (a, b) => a.toLowerCase() === b.toLowerCase(),
  ContainsExpression: (a, b) => a.toLowerCase().includes(b.toLowerCase()),
  HasExpression: (a, b) => a.toLowerCase().split(/[^\p{L}\p{N}]+/u).includes(b.toLowerCase()),
  StartsWithExpression: (a, b) => a.toLowerCase().startsWith(b.toLowerCase()),
  EndsWithExpression: (a, b) => a.toLowerCase().endsWith(b.toLowerCase()),
};

const FUNCTIONS = {
  tostring: string,
  tolong: (value) => { const found = number(value); return isNull(found) ? null : Math.trunc(found); },
  toint: (value) => FUNCTIONS.tolong(value),
  toreal: number,
  parse_json: (value) => (typeof value === 'string' ? json(value) : value),
  parse_url: (value) => { const url = new URL(value); return { Path: url.pathname, Host: url.hostname }; },
  split: (value, by) => value.split(by),
  strcat: (...parts) => parts.map(string).join(''),
  isnull: isNull,
  isempty: (value) => isNull(value) || value === '',
  isnotempty: (value) => !isNull(value) && value !== '',
  coalesce: (...values) => values.find((value) => !isNull(value)) ?? null,
  iff: (condition, yes, no) => (condition ? yes : no),
  not: (value) => (isNull(value) ? null : !value),
  replace_string: (value, from, to) => string(value).replaceAll(from, to),
  round: (value, digits) => (isNull(value) ? null : Number(value.toFixed(digits ?? 0))),
  case: (...parts) => {
    const at = parts.findIndex((part, i) => i % 2 === 0 && i + 1 < parts.length && part);
    return at < 0 ? parts.at(-1) : parts[at + 1];
  },
  bin: (value, width) => {
    const floor = Math.floor(value / width) * width;
    return value instanceof Time ? new Time(floor) : floor;
  },
};

// Of the rows of one group; each argument is a function of a row.
const known = (rows, of) => rows.map(of).filter((value) => !isNull(value));
const sum = (values) => values.reduce((all, value) => all + value, 0);
const AGGREGATES = {
  count: (rows) => rows.length,
  countif: (rows, test) => rows.filter(test).length,
  sum: (rows, of) => sum(known(rows, of)),
  sumif: (rows, of, test) => sum(known(rows.filter(test), of)),
  min: (rows, of) => known(rows, of).reduce((a, b) => (isNull(a) || b < a ? b : a), null),
  max: (rows, of) => known(rows, of).reduce((a, b) => (isNull(a) || b > a ? b : a), null),
  minif: (rows, of, test) => AGGREGATES.min(rows.filter(test), of),
  maxif: (rows, of, test) => AGGREGATES.max(rows.filter(test), of),
  percentile: (rows, of, share) => {
    const values = known(rows, of).sort((a, b) => a - b);
    return values.length ? values[Math.ceil((values.length * share()) / 100) - 1] : null;
  },
};

class Query {
  constructor(tables, now) {
    this.tables = tables;
    this.now = now;
    this.names = new Map();
  }

  run(source) {
    let rows = [];
    const statements = lists(KustoCode.Parse(source).Syntax).flatMap(items).filter((part) => kind(part).endsWith('Statement'));
    for (const statement of statements) {
      const last = children(statement).filter((part) => !kind(part).endsWith('Token')).at(-1);
      if (kind(statement) === 'LetStatement') {
        const name = text(child(statement, 'NameDeclaration'));
        const isScalar = kind(last) === 'ToScalarExpression';
        this.names.set(name, isScalar ? this.value(last)({}) : this.table(last));
      } else {
        rows = this.table(last);
      }
    }
    return rows;
  }

  table(node) {
    switch (kind(node)) {
      case 'PipeExpression': {
        const [from, operator] = children(node).filter((part) => kind(part) !== 'BarToken');
        return this.operator(operator, this.table(from));
      }
      case 'NameReference': {
        const name = text(node);
        const rows = this.names.get(name) ?? this.tables[name];
        if (!rows) throw new Error(`no table ${name}`);
        return rows;
      }
      case 'ParenthesizedExpression':
        return this.table(children(node)[1]);
      case 'UnionOperator':
        return items(lists(node).at(-1)).flatMap((part) => this.table(part));
      case 'DataTableExpression': {
        const columns = items(list(child(node, 'RowSchema'))).map((column) => text(child(column, 'NameDeclaration')));
        const values = items(lists(node).at(-1)).map((value) => this.value(value)({}));
        const rows = [];
        while (values.length) rows.push(Object.fromEntries(columns.map((column) => [column, values.shift()])));
        return rows;
      }
      default:
        throw new Error(`not understood as a table: ${kind(node)} ${text(node)}`);
    }
  }

  operator(node, rows) {
    switch (kind(node)) {
      case 'FilterOperator': {
        const test = this.value(children(node).at(-1));
        return rows.filter(test);
      }
      case 'ExtendOperator': {
        const columns = this.columns(list(node));
        // One after the other from the row as it was: a column of the same `extend` cannot be used in it.
        return rows.map((row) => ({ ...row, ...evaluated(columns, row) }));
      }
      case 'ProjectOperator': {
        const columns = this.columns(list(node));
        return rows.map((row) => evaluated(columns, row));
      }
      case 'SummarizeOperator':
        return this.summarize(node, rows);
      case 'UnionOperator':
        return [...rows, ...items(lists(node).at(-1)).flatMap((part) => this.table(part))];
      case 'TakeOperator':
        return rows.slice(0, this.value(children(node).at(-1))({}));
      case 'JoinOperator':
        return this.join(node, rows);
      case 'SortOperator': {
        const keys = items(lists(node).at(-1)).map((key) => {
          const ordered = kind(key) === 'OrderedExpression';
          return {
            of: this.value(ordered ? children(key)[0] : key),
            // Descending is what a sort without more does.
            sign: ordered && text(key).endsWith('asc') ? 1 : -1,
          };
        });
        return [...rows].sort((a, b) => keys.reduce((sofar, { of, sign }) => sofar || sign * (of(a) > of(b) ? 1 : of(a) < of(b) ? -1 : 0), 0));
      }
      default:
        throw new Error(`not understood: ${kind(node)} ${text(node)}`);
    }
  }

  summarize(node, rows) {
    const aggregates = items(lists(node).at(-1)).map((part) => {
      const [name, expression] = named(part);
      return [name, this.aggregate(expression)];
    });
    const by = child(node, 'SummarizeByClause');
    const keys = by ? this.columns(list(by)) : [];
    const groups = new Map();
    if (!keys.length) groups.set('', { key: {}, rows });
    for (const row of keys.length ? rows : []) {
      const key = evaluated(keys, row);
      const id = JSON.stringify(key);
      if (!groups.has(id)) groups.set(id, { key, rows: [] });
      groups.get(id).rows.push(row);
    }
    return [...groups.values()].map(({ key, rows: members }) => ({
      ...key,
      ...Object.fromEntries(aggregates.map(([name, of]) => [name, of(members)])),
    }));
  }

  // Aggregates, perhaps with arithmetic and functions around them, as a function of a group.
  aggregate(node) {
    if (kind(node) === 'FunctionCallExpression') {
      const name = text(child(node, 'NameReference'));
      if (AGGREGATES[name]) {
        const parameters = this.parameters(node);
        return (rows) => AGGREGATES[name](rows, ...parameters);
      }
      if (!FUNCTIONS[name]) throw new Error(`no aggregate ${name}`);
      const parts = items(list(child(node, 'ExpressionList'))).map((part) => this.aggregate(part));
      return (rows) => FUNCTIONS[name](...parts.map((of) => of(rows)));
    }
    const of = OPERATORS[kind(node)];
    if (!of) {
      const constant = this.value(node);
      return () => constant({});
    }
    const [left, , right] = children(node);
    const [first, second] = [this.aggregate(left), this.aggregate(right)];
    return (rows) => {
      const [a, b] = [first(rows), second(rows)];
      return isNull(a) || isNull(b) ? null : of(a, b);
    };
  }

  join(node, rows) {
    const how = text(list(node));
    if (!['kind=leftouter', 'kind=inner'].includes(how)) throw new Error(`not understood: join ${how}`);
    const other = this.table(children(node).find((part) => ['NameReference', 'ParenthesizedExpression'].includes(kind(part))));
    const on = items(list(child(node, 'JoinOnClause'))).map(text);
    return rows.flatMap((row) => {
      const found = other.filter((each) => on.every((name) => each[name] === row[name]));
      return found.length || how === 'kind=inner' ? found.map((each) => ({ ...each, ...row })) : [row];
    });
  }

  columns(node) {
    return items(node).map((part) => {
      const [name, expression] = named(part);
      return [name, this.value(expression)];
    });
  }

  parameters(call) {
    return items(list(child(call, 'ExpressionList'))).map((part) => this.value(part));
  }

  // An expression as a function of a row.
  value(node) {
    const parts = children(node);
    const name = kind(node);
    switch (name) {
      case 'StringLiteralExpression':
      case 'LongLiteralExpression':
      case 'RealLiteralExpression':
      case 'BooleanLiteralExpression': {
        const value = literal(name, text(node));
        return () => value;
      }
      case 'TimespanLiteralExpression': {
        const [, amount, unit] = /^(\d+)([dhms])$/.exec(text(node));
        const span = new Span(Number(amount) * units[unit]);
        return () => span;
      }
      case 'NameReference': {
        const column = text(node);
        return (row) => (column in row ? row[column] : this.names.get(column)) ?? null;
      }
      case 'ParenthesizedExpression':
        return this.value(parts[1]);
      case 'PathExpression': {
        const from = this.value(parts[0]);
        const key = text(parts[2]);
        return (row) => from(row)?.[key] ?? null;
      }
      case 'ElementExpression': {
        const from = this.value(parts[0]);
        const key = this.value(children(parts[1])[1]);
        return (row) => from(row)?.[key(row)] ?? null;
      }
      case 'AndExpression':
      case 'OrExpression': {
        const [left, right] = [this.value(parts[0]), this.value(parts[2])];
        return name === 'AndExpression' ? (row) => left(row) && right(row) : (row) => left(row) || right(row);
      }
      case 'InExpression': {
        const from = this.value(parts[0]);
        const listed = items(list(parts[2]));
        // A table's first column, or values.
        const known = listed.length === 1 && kind(listed[0]) === 'NameReference' ? this.names.get(text(listed[0])) : null;
        if (Array.isArray(known)) {
          const values = new Set(known.map((row) => Object.values(row)[0]));
          return (row) => values.has(from(row));
        }
        const among = listed.map((part) => this.value(part));
        return (row) => among.some((each) => each(row) === from(row));
      }
      case 'BetweenExpression': {
        const from = this.value(parts[0]);
        const [low, high] = children(parts[2]).filter((part) => !kind(part).endsWith('Token')).map((part) => this.value(part));
        return (row) => from(row) >= low(row) && from(row) <= high(row);
      }
      case 'ToScalarExpression': {
        const rows = this.table(parts.find((part) => kind(part) === 'PipeExpression'));
        const first = rows.length ? Object.values(rows[0])[0] : null;
        return () => first;
      }
      case 'FunctionCallExpression': {
        const called = text(child(node, 'NameReference'));
        const parameters = this.parameters(node);
        if (called === 'ago') return (row) => new Time(this.now - parameters[0](row));
        if (!FUNCTIONS[called]) throw new Error(`no function ${called}`);
        return (row) => FUNCTIONS[called](...parameters.map((of) => of(row)));
      }
      default: {
        const of = OPERATORS[name];
        if (!of) throw new Error(`not understood: ${name} ${text(node)}`);
        const [left, right] = [this.value(parts[0]), this.value(parts[2])];
        return (row) => {
          const [a, b] = [left(row), right(row)];
          // What is compared with nothing is neither true nor false, and so no row is kept for it.
          return isNull(a) || isNull(b) ? null : of(a, b);
        };
      }
    }
  }
}

function literal(kindOf, source) {
  if (kindOf === 'StringLiteralExpression') {
    return source.startsWith("'") ? source.slice(1, -1).replaceAll("\\'", "'") : JSON.parse(source);
  }
  return kindOf === 'BooleanLiteralExpression' ? source.toLowerCase() === 'true' : Number(source);
}

// Name and expression of a column: `a = b`, or the name that the service gives it.
function named(part) {
  if (kind(part) === 'SimpleNamedExpression') {
    const [name, , expression] = children(part);
    return [text(name), expression];
  }
  if (kind(part) === 'NameReference') return [text(part), part];
  const call = kind(part) === 'FunctionCallExpression' ? part : null;
  const inner = call && items(list(child(call, 'ExpressionList')))[0];
  return [inner ? `${text(child(call, 'NameReference'))}_${text(inner)}` : 'Column1', part];
}

function evaluated(columns, row) {
  return Object.fromEntries(columns.map(([name, of]) => [name, of(row)]));
}

// The faults that the language service finds.
function faults(source, globals) {
  const found = KustoCode.ParseAndAnalyze(source, globals).GetDiagnostics();
  return Array.from({ length: found.Count }, (_, i) => found.getItem(i)).map((fault) => `${fault.Severity}: ${fault.Message}`);
}

function main(input) {
  const symbols = Object.entries(input.schemas).map(([name, schema]) => new Symbols.TableSymbol.$ctor7(name, schema));
  const globals = GlobalState.Default.WithDatabase(new Symbols.DatabaseSymbol.ctor('logs', symbols));
  const now = new Time(Date.parse(input.now));
  const wrong = Object.entries(input.queries).flatMap(([name, { text: source }]) => faults(source, globals).map((fault) => `${name}: ${fault}`));
  if (wrong.length) return { faults: wrong };
  const cases = Object.entries(input.cases).map(([name, tables]) => {
    // An alert rule sees what is in its window, whatever the query asks for.
    const seen = (minutes) =>
      Object.fromEntries(
        Object.keys(input.schemas).map((table) => [
          table,
          (tables[table] ?? [])
            .map((row) => ({ ...row, TimeGenerated: new Time(Date.parse(row.TimeGenerated)) }))
            .filter((row) => now - row.TimeGenerated <= minutes * 60e3),
        ]),
      );
    const answers = Object.entries(input.queries).map(([query, { text: source, minutes }]) => [query, new Query(seen(minutes), now).run(source)]);
    return [name, Object.fromEntries(answers)];
  });
  return { cases: Object.fromEntries(cases) };
}

process.stdout.write(JSON.stringify(main(JSON.parse(require('node:fs').readFileSync(0, 'utf8')))));
