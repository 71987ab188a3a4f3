// A dashboard's variables: their values, and putting them into queries and titles.

import { ask } from './prometheus.js';

const REFERENCE = /\$(\w+)|\[\[(\w+)\]\]|\$\{(\w+)(?::(\w+))?\}/g;

const escapeString = (text) => text.replace(/\\/g, '\\\\').replace(/"/g, '\\"');
const escapeRegexp = (text) =>
  text.replace(/\\/g, '\\\\\\\\').replace(/[$^*{}[\]'+?.()|]/g, '\\\\$&');

/** The answer to label_values(SELECTOR, LABEL), the only kind of query known here. */
async function labelValues(query, { from, to }) {
  const [, selector, label] = query.match(/^label_values\((?:(.*),)?\s*(\w+)\s*\)$/s) ?? [];
  if (!label) {
    throw new Error(`a variable's query that the preview does not know: ${query}`);
  }
  const matching = selector ? { 'match[]': selector.trim() } : {};
  return ask(`label/${label}/values`, { ...matching, start: from, end: to });
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
      const options = await labelValues(interpolate(query, 'query'), range);
      const [, pattern] = variable.regex?.match(/^\/(.*)\/\w*$/s) ?? [null, variable.regex || ''];
      return choose(variable, options.filter((option) => new RegExp(pattern).test(option)));
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

function forQuery(variable, { all, options }) {
  if (all && variable.allValue) {
    return variable.allValue;
  }
  if (!variable.multi && !variable.includeAll) {
    return escapeString(options[0] ?? '');
  }
  const escaped = options.map(escapeRegexp);
  return escaped.length === 1 ? escaped[0] : `(${escaped.join('|')})`;
}

function forPeople({ all, options }) {
  return all ? 'All' : options.join(' + ');
}

/**
 * Ask for all values. Returns the variables that a dashboard shows, as [label, value], and a
 * function (text, format) that puts values into a text, format being 'query' or 'text'.
 */
export async function resolveVariables(dashboard, builtin, chosen, range) {
  const known = new Map(Object.entries(builtin).map(([name, value]) => [name, () => value]));
  const interpolate = (text, format, scoped = {}) =>
    text.replace(REFERENCE, (whole, ...names) => {
      const name = names[0] ?? names[1] ?? names[2];
      return scoped[name]?.value ?? known.get(name)?.(names[3] ?? format) ?? whole;
    });
  const shown = [];
  for (const variable of dashboard.templating?.list ?? []) {
    const value = chosen.has(variable.name)
      ? { options: [chosen.get(variable.name)] }
      : await valueOf(variable, interpolate, range);
    known.set(variable.name, (format) =>
      format === 'query' || format === 'regex' ? forQuery(variable, value) : forPeople(value),
    );
    if (variable.hide !== 2) {
      shown.push([variable.label || variable.name, forPeople(value)]);
    }
  }
  return { shown, interpolate };
}
