// One component for each type of panel: Grafana's own where it is published, a drawing otherwise.

import {
  FieldType,
  getDisplayValueAlignmentFactors,
  getFieldDisplayValues,
  renderMarkdown,
} from '@grafana/data';
import { BarGauge, BigValue, ErrorBoundary, Table, TimeSeries, VizRepeater } from '@grafana/ui';

import { BarChart, Heatmap } from './drawings.jsx';

const REDUCE = { calcs: ['lastNotNull'], fields: '', values: false };

function Graph({ frames, panel, width, height, timeRange }) {
  const legend = panel.options?.legend ?? { showLegend: true, displayMode: 'list', calcs: [] };
  const placement = legend.placement ?? 'bottom';
  return (
    <TimeSeries
      {...{ frames, width, height, timeRange }}
      timeZone="utc"
      legend={{ calcs: [], ...legend, placement }}
      options={panel.options}
    />
  );
}

/** What a stat or a bar gauge shows: one value a series, or one a row. */
function valuesOf({ frames, panel, theme, interpolate }, sparkline = false) {
  return getFieldDisplayValues({
    data: frames,
    fieldConfig: panel.fieldConfig ?? { defaults: {}, overrides: [] },
    reduceOptions: { ...REDUCE, ...panel.options?.reduceOptions },
    replaceVariables: (text, scoped) => interpolate(text, 'text', scoped),
    sparkline,
    theme,
    timeZone: 'utc',
  });
}

function Repeat({ panel, values, width, height, children, ...more }) {
  return (
    <VizRepeater
      {...{ width, height, ...more }}
      getValues={() => values}
      getAlignmentFactors={getDisplayValueAlignmentFactors}
      orientation={panel.options?.orientation || 'auto'}
      renderValue={children}
    />
  );
}

function Stat(props) {
  const { panel, theme, width, height } = props;
  const options = panel.options ?? {};
  const values = valuesOf(props, (options.graphMode ?? 'area') !== 'none');
  return (
    <Repeat {...{ panel, values, width, height }} itemSpacing={3} autoGrid>
      {({ value, alignmentFactors, count, ...size }) => (
        <BigValue
          value={value.display}
          sparkline={value.sparkline}
          {...{ alignmentFactors, count, theme, width: size.width, height: size.height }}
          colorMode={options.colorMode ?? 'value'}
          graphMode={options.graphMode ?? 'area'}
          justifyMode={options.justifyMode ?? 'auto'}
          textMode={options.textMode ?? 'auto'}
          text={options.text}
          wideLayout={options.wideLayout ?? true}
        />
      )}
    </Repeat>
  );
}

function Gauges(props) {
  const { panel, theme, width, height } = props;
  const { displayMode = 'gradient', valueMode = 'color', ...options } = panel.options ?? {};
  const values = valuesOf(props);
  const itemSpacing = displayMode === 'lcd' ? 2 : 10;
  const limits = { maxVizHeight: options.maxVizHeight ?? 300, minVizWidth: 8, minVizHeight: 16 };
  return (
    <Repeat {...{ panel, values, width, height }} {...limits} {...{ itemSpacing }}>
      {({ value, alignmentFactors, orientation, ...size }) => (
        <BarGauge
          value={value.display}
          field={value.field}
          display={value.view?.getFieldDisplayProcessor(value.colIndex)}
          {...{ alignmentFactors, orientation, theme, displayMode, itemSpacing }}
          {...{ width: size.width, height: size.height }}
          text={options.text}
          lcdCellWidth={12}
          valueDisplayMode={valueMode}
          namePlacement={options.namePlacement ?? 'auto'}
          showUnfilled={options.showUnfilled ?? true}
        />
      )}
    </Repeat>
  );
}

function DataTable({ frames, panel, width, height, timeRange }) {
  const options = panel.options ?? {};
  return (
    <Table
      data={frames[0]}
      {...{ width, height, timeRange }}
      noHeader={options.showHeader === false}
      initialSortBy={options.sortBy}
      cellHeight={options.cellHeight}
      footerOptions={options.footer?.show ? options.footer : undefined}
      fieldConfig={panel.fieldConfig}
      getActions={() => []}
    />
  );
}

const TYPES = {
  timeseries: Graph,
  stat: Stat,
  bargauge: Gauges,
  table: DataTable,
  heatmap: Heatmap,
  barchart: BarChart,
};

function Message({ children, color }) {
  const style = { height: '100%', display: 'grid', placeItems: 'center', color, overflow: 'auto' };
  return <div style={style}>{children}</div>;
}

/** What is inside a panel. */
export function Panel(props) {
  const { panel, frames, error, theme, interpolate, complain } = props;
  const Drawing = TYPES[panel.type];
  const failure = (text) => <Message color={theme.colors.error.text}>{text}</Message>;
  if (error) {
    return failure(error);
  }
  if (panel.type === 'text') {
    const text = interpolate(panel.options?.content ?? '', 'text');
    return <div className="markdown-html" dangerouslySetInnerHTML={{ __html: renderMarkdown(text) }} />;
  }
  if (!Drawing) {
    return <Message>The preview cannot draw a {panel.type}.</Message>;
  }
  const hasNumbers = ({ fields }) =>
    fields.some(({ type, values }) => type === FieldType.number && values.length > 0);
  const drawsNothing = panel.type === 'stat' || (panel.type === 'table' && frames.length > 0);
  if (!frames.some(hasNumbers) && !drawsNothing) {
    return <Message>{panel.fieldConfig?.defaults?.noValue ?? 'No data'}</Message>;
  }
  return (
    <ErrorBoundary onError={complain}>
      {({ error: thrown }) => (thrown ? failure(thrown.message) : <Drawing {...props} />)}
    </ErrorBoundary>
  );
}
