// From a dashboard's JSON to panels with data.

import { standardTransformers, standardTransformersRegistry, transformDataFrame } from '@grafana/data';
import { firstValueFrom } from 'rxjs';

import { configure } from './fields.js';
import { run, seriesFrames, tableFrame } from './prometheus.js';
import { resolveVariables } from './variables.js';

const SCRAPE_SECONDS = 15;
const STEPS = [15, 30, 60, 120, 300, 600, 1800, 3600];

standardTransformersRegistry.setInit(() =>
  [...new Set(Object.values(standardTransformers))].map((transformation) => ({
    id: transformation.id,
    name: transformation.name,
    transformation,
  })),
);

/** All panels in the order of the grid; a collapsed row is opened, so that its panels are seen. */
function layOut(panels) {
  let down = 0;
  return panels.flatMap((panel) => {
    const moved = { ...panel, gridPos: { ...panel.gridPos, y: panel.gridPos.y + down } };
    const inside = panel.panels ?? [];
    if (inside.length === 0) {
      return [moved];
    }
    const top = panel.gridPos.y + 1;
    const first = Math.min(...inside.map(({ gridPos }) => gridPos.y));
    const opened = inside.map((child) => {
      const y = child.gridPos.y - first + top + down;
      return { ...child, gridPos: { ...child.gridPos, y } };
    });
    down += Math.max(...inside.map(({ gridPos }) => gridPos.y + gridPos.h)) - first;
    return [moved, ...opened];
  });
}

/** A repeated row once for each scope of its variable; what is below it moves down. */
function repeatRows(panels, scopesOf) {
  const rows = [];
  for (const panel of panels) {
    if (panel.type === 'row' || rows.length === 0) {
      rows.push([]);
    }
    rows.at(-1).push(panel);
  }
  let down = 0;
  return rows.flatMap((row) => {
    const scopes = row[0].repeat ? scopesOf(row[0].repeat) : [];
    const height = Math.max(...row.map(({ gridPos }) => gridPos.y + gridPos.h)) - row[0].gridPos.y;
    const placed = (scopes.length > 0 ? scopes : [{}]).flatMap((scope, time) => {
      const lower = down + time * height;
      return row.map(({ gridPos, ...panel }) => {
        return { ...panel, scope, gridPos: { ...gridPos, y: gridPos.y + lower } };
      });
    });
    down += (placed.length / row.length - 1) * height;
    return placed;
  });
}

/** Grafana's choice: a point for about each pixel, but not more than one for each scrape. */
function stepOf(panel, { from, to }, width) {
  const pixels = panel.maxDataPoints ?? (width * panel.gridPos.w) / 24;
  const ideal = (to - from) / pixels;
  return STEPS.find((step) => step >= ideal) ?? STEPS.at(-1);
}

/** The frames of a panel's queries; what is wrong is told to `complain`. */
async function query(panel, interpolate, range, width, complain) {
  const targets = (panel.targets ?? []).filter((target) => !target.hide && target.expr);
  const step = stepOf(panel, range, width);
  const scoped = {
    ...panel.scope,
    __interval: { value: `${step}s` },
    __interval_ms: { value: step * 1000 },
    __rate_interval: { value: `${Math.max(step + SCRAPE_SECONDS, 4 * SCRAPE_SECONDS)}s` },
  };
  const tables = targets.filter(({ format }) => format === 'table').length;
  const frames = await Promise.all(
    targets.map(async (target) => {
      const expr = interpolate(target.expr, 'query', scoped);
      try {
        const rows = await run(target, expr, { ...range, step });
        if (rows.length === 0) {
          complain({ query: expr, what: 'no data' });
          return [];
        }
        return target.format === 'table'
          ? [tableFrame(target, rows, tables > 1)]
          : seriesFrames(target, rows, step);
      } catch (error) {
        complain({ query: expr, what: `error: ${error.message}`, failed: true });
        return [];
      }
    }),
  );
  return frames.flat();
}

/** A panel with its frames after transformations, or with an error to show. */
async function fill(panel, interpolate, range, width, theme, problems) {
  const failures = [];
  const title = interpolate(panel.title ?? '', 'text', panel.scope);
  const complain = (problem) => {
    problems.push({ panel: title, ...problem });
    if (problem.failed) {
      failures.push(problem.what);
    }
  };
  const thrown = (error) => complain({ what: `error: ${error.message}`, failed: true });
  const queried = await query(panel, interpolate, range, width, complain);
  let frames = [];
  try {
    const context = { interpolate: (text) => interpolate(text, 'text') };
    const transformed = transformDataFrame(panel.transformations ?? [], queried, context);
    frames = configure(await firstValueFrom(transformed), panel, interpolate, theme);
  } catch (error) {
    thrown(error);
  }
  return { panel: { ...panel, title }, frames, error: failures.join('\n'), complain: thrown };
}

/**
 * Everything that is needed to draw a dashboard, and `problems`: {panel, query, what, failed}.
 * `chosen` has values of variables that are not to be those that the dashboard opens with.
 */
export async function prepare(dashboard, chosen, range, width, theme) {
  const seconds = range.to - range.from;
  const builtin = { __range: `${seconds}s`, __range_s: seconds, __range_ms: seconds * 1000 };
  const { shown, interpolate, scopesOf } = await resolveVariables(dashboard, builtin, chosen, range);
  const problems = [];
  const panels = await Promise.all(
    repeatRows(layOut(dashboard.panels), scopesOf).map((panel) =>
      fill(panel, interpolate, range, width, theme, problems),
    ),
  );
  return { panels, variables: shown, interpolate, problems };
}
