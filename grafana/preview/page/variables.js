// A dashboard's variables: their values, and putting them into queries and titles.

import { escapeRegex, stringToJsRegex } from '@grafana/data';

import { ask } from './prometheus.js';

const REFERENCE = /\$(\w+)|\[\[(\w+)\]\]|\$\{(\w+)(?::(\w+))?\}/g;

const escapeString = (text) => text.replace(/\\/g, '\\\\').replace(/"/g, '\\"');
const escapeRegexp = (text) =>
  text.replace(/\\/g, '\\\\\\\\').replace(/[$^*{}[\]'+?.()|]/g, '\\\\$&');

/** The answer to label_values(SELECTOR, LABEL) or query_result(EXPRESSION), as lines of text. */
async function answerTo(query, { from, to }) {
  const [, expression] = query.match(/^query_result\((.*)\)$/s) ?? [];
  if (expression) {
    const { result } = await ask('query', { query: expression, time: to });
    return result.map(({ metric: { __name__: name = '', ...labels }, value: [at, number] }) => {
      const pairs = Object.entries(labels).map(([label, text]) => `${label}="${text}"`);
      return `${name}{${pairs.join(',')}} ${number} ${at * 1000}`;
    });
  }
  const [, selector, label] = query.match(/^label_values\((?:(.*),)?\s*(\w+)\s*\)$/s) ?? [];
  if (!label) {
    throw new Error(`a variable's query that the preview does not know: ${query}`);
  }
  const matching = selector ? { 'match[]': selector.trim() } : {};
  return ask(`label/${label}/values`, { ...matching, start: from, end: to });
}

/** What of the lines a variable's regular expression leaves, and what of it people see. */
function picked({ regex }, lines) {
  const pattern = regex && stringToJsRegex(regex);
  const found = lines.map((line) => (pattern ? line.match(pattern) : [line])).filter(Boolean);
  return found.map((match) => {
    const { value = match[1] ?? match[0], text = value } = match.groups ?? {};
    return { value, text };
  });
}

/** What a dashboard opens with: what it was saved with if that exists, all, or the first. */
function choose({ current, includeAll }, options) {
  const saved = [current?.value].flat().filter((value) => options.includes(value));
  if (saved.length > 0) {
    return { options: saved };
  }
  return includeAll ? { all: true, options } : { options: options.slice(0, 1) };
}

async function valueOf(variable, interpolate, range) {
  switch (variable.type) {
    case 'query': {
      const query = variable.query?.query ?? variable.query;
      const found = picked(variable, await answerTo(interpolate(query, 'query'), range));
      const chosen = choose(variable, found.map(({ value }) => value));
      return { ...chosen, texts: new Map(found.map(({ value, text }) => [value, text])) };
    }
    case 'custom':
    case 'interval':
      return choose(variable, variable.query.split(',').map((option) => option.trim()));
    case 'datasource':
      return { options: ['Prometheus'] };
    default: // a text or a constant
      return { options: [variable.current?.value ?? variable.query ?? ''].flat() };
  }
}

function forQuery(variable, { all, options }, format) {
  if (all && variable.allValue) {
    return variable.allValue;
  }
  if (format === 'regex') {
    const escaped = options.map(escapeRegex);
    return escaped.length === 1 ? escaped[0] : `(${escaped.join('|')})`;
  }
  if (!variable.multi && !variable.includeAll) {
    return escapeString(options[0] ?? '');
  }
  const escaped = options.map(escapeRegexp);
  return escaped.length === 1 ? escaped[0] : `(${escaped.join('|')})`;
}

function forPeople({ all, options, texts }) {
  return all ? 'All' : options.map((option) => texts?.get(option) ?? option).join(' + ');
}

function formatted(variable, value, format) {
  const queried = format === 'query' || format === 'regex';
  return queried ? forQuery(variable, value, format) : forPeople(value);
}

/**
 * Ask for all values. Returns the variables that a dashboard shows, as [label, value]; a function
 * (text, format, scoped) that puts values into a text, format being 'query' or 'text'; and a function
 * (name) whose result has for each chosen value of a variable what `scoped` is where only that one counts.
 */
export async function resolveVariables(dashboard, builtin, chosen, range) {
  const known = new Map(Object.entries(builtin).map(([name, value]) => [name, () => value]));
  const interpolate = (text, format, scoped = {}) =>
    text.replace(REFERENCE, (whole, ...names) => {
      const name = names[0] ?? names[1] ?? names[2];
      const value = scoped[name]?.value ?? known.get(name);
      return (typeof value === 'function' ? value(names[3] ?? format) : value) ?? whole;
    });
  const variables = dashboard.templating?.list ?? [];
  const values = new Map();
  // Each after those that its query names, wherever in the list they are.
  const resolve = async (variable) => {
    const text = JSON.stringify([variable.query, variable.regex]);
    const named = [...text.matchAll(REFERENCE)].map((found) => found[1] ?? found[2] ?? found[3]);
    for (const other of variables) {
      if (other !== variable && named.includes(other.name) && !values.has(other)) {
        await resolve(other);
      }
    }
    const found = await valueOf(variable, interpolate, range);
    const own = chosen.get(variable.name);
    const value = own === undefined ? found : { options: [own], texts: found.texts };
    values.set(variable, value);
    known.set(variable.name, (format) => formatted(variable, value, format));
  };
  for (const variable of variables) {
    if (!values.has(variable)) {
      await resolve(variable);
    }
  }
  const shown = variables
    .filter(({ hide }) => hide !== 2)
    .map((variable) => [variable.label || variable.name, forPeople(values.get(variable))]);
  const scopesOf = (name) => {
    const variable = variables.find((one) => one.name === name);
    const { options, texts } = values.get(variable);
    const only = (option) => (format) => formatted(variable, { options: [option], texts }, format);
    return options.map((option) => ({ [name]: { value: only(option) } }));
  };
  return { shown, interpolate, scopesOf };
}
