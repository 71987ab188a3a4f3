// Panels that Grafana has only inside itself, drawn plainly: what they show is right, their looks are
// not Grafana's.

import {
  dateTimeFormat,
  FieldType,
  formattedValueToString,
  getDisplayProcessor,
  getFieldDisplayName,
  getFieldSeriesColor,
  getValueFormat,
  reduceField,
} from '@grafana/data';
import * as chromatic from 'd3-scale-chromatic';
import { VizLayout, VizLegend } from '@grafana/ui';

const AXIS = 80; // px for the labels on the left
const FOOT = 20; // px for those below
const LABEL_PIXELS = 90;
const MINUTE = 60_000;
const TICKS = [1, 2, 5, 10, 15, 30, 60, 180, 360, 720, 1440].map((minutes) => minutes * MINUTE);

function Text({ theme, ...props }) {
  return <text fontSize={12} fill={theme.colors.text.primary} {...props} />;
}

/** Cumulative buckets, one frame each, as rows from the lowest `le` up: what fell into each. */
function bucketsOf(frames) {
  const rows = frames.map((frame) => {
    const value = frame.fields.find(({ type }) => type === FieldType.number);
    const time = frame.fields.find(({ type }) => type === FieldType.time);
    const le = value.labels?.le ?? getFieldDisplayName(value, frame, frames);
    const counts = new Map(time.values.map((at, index) => [at, value.values[index]]));
    return { le: Number(le.replace('Inf', 'Infinity')), counts };
  });
  rows.sort((one, other) => one.le - other.le);
  return rows.map(({ le, counts }, index) => {
    const below = rows[index - 1]?.counts;
    const own = new Map(
      [...counts].map(([at, count]) => [at, Math.max(0, count - (below?.get(at) ?? 0))]),
    );
    return { le, counts: own };
  });
}

export function Heatmap({ frames, panel, width, height, theme, timeRange }) {
  const { color = {}, yAxis = {} } = panel.options ?? {};
  const buckets = bucketsOf(frames);
  const times = [...new Set(buckets.flatMap(({ counts }) => [...counts.keys()]))].sort((a, b) => a - b);
  const most = Math.max(...buckets.flatMap(({ counts }) => [...counts.values()]), Number.MIN_VALUE);
  const palette = chromatic[`interpolate${color.scheme}`] ?? chromatic.interpolateOranges;
  // Grafana's palettes begin at their dark end on a dark page.
  const shade = (count) => {
    const part = (count / most) ** (color.exponent ?? 0.5);
    return palette(theme.isDark ? 1 - part : part);
  };
  const least = panel.options?.filterValues?.le ?? 0;
  const format = getValueFormat(yAxis.unit ?? 'short');
  const name = (le) =>
    le === Infinity ? '+Inf' : formattedValueToString(format(le, yAxis.decimals ?? undefined));

  const [from, to] = [timeRange.from.valueOf(), timeRange.to.valueOf()];
  const x = (at) => AXIS + ((at - from) / (to - from)) * (width - AXIS);
  const cellWidth = times.length > 1 ? x(times[1]) - x(times[0]) : 10;
  const rowHeight = (height - FOOT) / buckets.length;
  const every = Math.ceil(16 / rowHeight);
  const tick = TICKS.find((step) => ((to - from) / step) * LABEL_PIXELS <= width - AXIS) ?? to - from;
  const labels = [];
  for (let at = Math.ceil(from / tick) * tick; at < to; at += tick) {
    labels.push(at);
  }
  return (
    <svg width={width} height={height}>
      {buckets.map(({ le, counts }, row) => {
        const y = height - FOOT - (row + 1) * rowHeight;
        return (
          <g key={le}>
            {row % every === 0 && (
              <Text theme={theme} x={AXIS - 6} y={Math.max(y + 4, 10)} textAnchor="end">
                {name(le)}
              </Text>
            )}
            {[...counts]
              .filter(([at, count]) => count > least && x(at) - cellWidth >= AXIS - 1)
              .map(([at, count]) => (
                <rect
                  key={at}
                  x={x(at) - cellWidth}
                  y={y}
                  width={Math.max(cellWidth - 1, 1)}
                  height={Math.max(rowHeight - 1, 1)}
                  fill={shade(count)}
                />
              ))}
          </g>
        );
      })}
      {labels.map((at) => (
        <Text key={at} theme={theme} x={x(at)} y={height - 4} textAnchor="middle">
          {dateTimeFormat(at, { format: 'HH:mm', timeZone: 'utc' })}
        </Text>
      ))}
    </svg>
  );
}

/** Bars of each row of the first frame; without a column of text, one bar for each series' last. */
function categoriesOf(frames, xField) {
  const [frame] = frames;
  const names =
    frame.fields.find((field) => field.name === xField) ??
    frame.fields.find(({ type }) => type === FieldType.string);
  if (names) {
    const fields = frame.fields.filter(({ type }) => type === FieldType.number);
    return { frame, fields, names: names.values, bars: fields.map(({ values }) => values) };
  }
  const series = frames.map((one) => one.fields.find(({ type }) => type === FieldType.number));
  const last = series.map((field) => reduceField({ field, reducers: ['lastNotNull'] }).lastNotNull);
  const label = (field, index) => getFieldDisplayName(field, frames[index], frames);
  return { frame, fields: series.slice(0, 1), names: series.map(label), bars: [last] };
}

export function BarChart({ frames, panel, width, height, theme }) {
  const options = panel.options ?? {};
  const { frame, fields, names, bars } = categoriesOf(frames, options.xField);
  const stacked = options.stacking && options.stacking !== 'none';
  const totals = names.map((_, row) => bars.reduce((sum, values) => sum + (values[row] ?? 0), 0));
  const most = Math.max(...(stacked ? totals : bars.flat()), Number.MIN_VALUE);
  const color = (field) => getFieldSeriesColor(field, theme).color;
  const display = fields.map((field) => field.display ?? getDisplayProcessor({ field, theme }));
  const legend = options.legend?.showLegend !== false && fields.length > 1 && (
    <VizLayout.Legend placement="bottom">
      <VizLegend
        placement="bottom"
        displayMode="list"
        items={fields.map((field) => ({
          label: getFieldDisplayName(field, frame, frames),
          color: color(field),
          yAxis: 1,
        }))}
      />
    </VizLayout.Legend>
  );
  return (
    <VizLayout {...{ width, height }} legend={legend || null}>
      {(innerWidth, innerHeight) => {
        const bottom = innerHeight - FOOT;
        const scale = (value) => (value / most) * (bottom - FOOT);
        const slot = (innerWidth - AXIS) / names.length;
        const thickness = (slot * 0.8) / (stacked ? 1 : fields.length);
        return (
          <svg width={innerWidth} height={innerHeight}>
            {[0, 0.5, 1].map((part) => (
              <Text key={part} theme={theme} x={AXIS - 6} y={bottom - scale(part * most)} textAnchor="end">
                {formattedValueToString(display[0](part * most))}
              </Text>
            ))}
            {names.map((name, row) => {
              let below = 0;
              return (
                <g key={row} transform={`translate(${AXIS + row * slot}, 0)`}>
                  {bars.map((values, series) => {
                    const size = scale(values[row] ?? 0);
                    const y = bottom - below - size;
                    below += stacked ? size : 0;
                    const x = slot * 0.1 + (stacked ? 0 : series * thickness);
                    const box = { x, y, width: Math.max(thickness - 1, 1), height: size };
                    return <rect key={series} {...box} fill={color(fields[series])} />;
                  })}
                  <Text theme={theme} x={slot / 2} y={innerHeight - 4} textAnchor="middle">
                    {String(name).length * 7 > slot ? `${String(name).slice(0, slot / 7)}…` : name}
                  </Text>
                </g>
              );
            })}
          </svg>
        );
      }}
    </VizLayout>
  );
}
