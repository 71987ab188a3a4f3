// A panel's field configuration: defaults of its type, the dashboard's own, and overrides.

import { applyFieldOverrides, Registry } from '@grafana/data';

// In Grafana these come with the panel plugins, which are not published as packages.
const STANDARD = ['unit', 'min', 'max', 'decimals', 'displayName', 'noValue', 'color', 'mappings'];
STANDARD.push('thresholds', 'links', 'filterable', 'fieldMinMax');
const THRESHOLDS = {
  mode: 'absolute',
  steps: [{ value: null, color: 'green' }, { value: 80, color: 'red' }],
};
const GRAPH = {
  drawStyle: 'line',
  lineInterpolation: 'linear',
  lineWidth: 1,
  fillOpacity: 0,
  gradientMode: 'none',
  showPoints: 'auto',
  pointSize: 5,
  spanNulls: false,
  axisPlacement: 'auto',
  axisColorMode: 'text',
  scaleDistribution: { type: 'linear' },
  stacking: { mode: 'none', group: 'A' },
  hideFrom: { legend: false, tooltip: false, viz: false },
  thresholdsStyle: { mode: 'off' },
};
const TABLE = { align: 'auto', cellOptions: { type: 'auto' }, inspect: false };

/** JSON has null where Grafana's code wants the number below all others. */
function withFirstStep(thresholds) {
  const steps = thresholds.steps.map((step) => ({ ...step, value: step.value ?? -Infinity }));
  return { ...thresholds, steps };
}

function property(id) {
  const isCustom = id.startsWith('custom.');
  return {
    id,
    path: isCustom ? id.slice('custom.'.length) : id,
    name: id,
    isCustom,
    process: (value) => (id === 'thresholds' && value ? withFirstStep(value) : value),
    shouldApply: () => true,
  };
}

/** The frames with a complete configuration in every field. */
export function configure(frames, panel, interpolate, theme) {
  const palette = ['timeseries', 'barchart'].includes(panel.type) ? 'palette-classic' : 'thresholds';
  const own = panel.fieldConfig?.defaults ?? {};
  const custom = { timeseries: GRAPH, table: TABLE }[panel.type];
  const defaults = {
    thresholds: THRESHOLDS,
    color: { mode: palette },
    ...own,
    custom: { ...custom, ...own.custom },
  };
  const overrides = panel.fieldConfig?.overrides ?? [];
  const ids = new Set(STANDARD);
  Object.keys(defaults.custom).forEach((key) => ids.add(`custom.${key}`));
  overrides.forEach((rule) => rule.properties.forEach(({ id }) => ids.add(id)));
  return applyFieldOverrides({
    data: frames,
    fieldConfig: { defaults, overrides },
    fieldConfigRegistry: new Registry(() => [...ids].map(property)),
    replaceVariables: (text, scoped) => interpolate(text, 'text', scoped),
    theme,
    timeZone: 'utc',
  });
}
