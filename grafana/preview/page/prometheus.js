// Questions to Prometheus, and its answers as Grafana's data frames.

import { FieldType, toDataFrame } from '@grafana/data';

/** The `data` of an answer. Rejects with Prometheus's own words. */
export async function ask(path, parameters) {
  const answer = await fetch(`/api/v1/${path}?${new URLSearchParams(parameters)}`);
  const text = await answer.text();
  if (!answer.headers.get('Content-Type')?.includes('json')) {
    throw new Error(text);
  }
  const body = JSON.parse(text);
  if (body.status !== 'success') {
    throw new Error(body.error);
  }
  return body.data;
}

/** The rows of one query: labels and [seconds, text] samples of each. */
export async function run(target, expr, { from, to, step }) {
  if (target.instant) {
    const { result } = await ask('query', { query: expr, time: to });
    return result.map(({ metric, value }) => ({ metric, values: [value] }));
  }
  const { result } = await ask('query_range', { query: expr, start: from, end: to, step });
  return result;
}

const times = (samples) => samples.map(([seconds]) => seconds * 1000);
const numbers = (samples) => samples.map(([, text]) => Number(text.replace('Inf', 'Infinity')));

function seriesName(format, metric) {
  return format.replace(/\{\{\s*(.+?)\s*\}\}/g, (_, label) => metric[label] ?? '');
}

/** One frame a series, as Grafana's data source makes them for graphs. */
export function seriesFrames(target, rows, step) {
  const format = target.legendFormat && target.legendFormat !== '__auto' && target.legendFormat;
  return rows.map(({ metric, values }) => {
    const { __name__: name, ...labels } = metric;
    const config = format ? { displayNameFromDS: seriesName(format, metric) } : {};
    return toDataFrame({
      refId: target.refId,
      name: name ?? target.expr,
      fields: [
        // With the interval, a graph shows a gap where steps are missing.
        { name: 'Time', type: FieldType.time, values: times(values), config: { interval: step * 1000 } },
        { name: 'Value', type: FieldType.number, values: numbers(values), labels, config },
      ],
    });
  });
}

/** One frame with a column for each label; `several` says whether other queries make one too. */
export function tableFrame(target, rows, several) {
  const labels = [...new Set(rows.flatMap(({ metric }) => Object.keys(metric)))].sort();
  const flat = rows.flatMap(({ metric, values }) => values.map((sample) => ({ metric, sample })));
  const samples = flat.map(({ sample }) => sample);
  return toDataFrame({
    refId: target.refId,
    fields: [
      { name: 'Time', type: FieldType.time, values: times(samples) },
      ...labels.map((label) => ({
        name: label,
        type: FieldType.string,
        values: flat.map(({ metric }) => metric[label] ?? ''),
      })),
      {
        name: several ? `Value #${target.refId}` : 'Value',
        type: FieldType.number,
        values: numbers(samples),
      },
    ],
  });
}
