// The page: one dashboard, drawn once.

import '@fontsource/inter/400.css';
import '@fontsource/inter/500.css';
import { createTheme, dateTime, ThemeContext } from '@grafana/data';
import { GlobalStyles, PanelChrome, PortalContainer } from '@grafana/ui';
import { flushSync } from 'react-dom';
import { createRoot } from 'react-dom/client';

import { prepare } from './dashboard.js';
import { Panel } from './panels.jsx';

const COLUMNS = 24;
const CELL = 38; // Grafana's: rows of 30 px, 8 px between them
const GAP = 8;
const HEADER = 48;
const PHONE = 769; // px; below this width Grafana puts the panels below each other
const QUIET_MILLISECONDS = 500;

/** Resolves when the page has stopped changing: components load icons and measure themselves. */
window.settled = () =>
  new Promise((resolve) => {
    let timer = setTimeout(resolve, QUIET_MILLISECONDS);
    const restart = () => {
      clearTimeout(timer);
      timer = setTimeout(resolve, QUIET_MILLISECONDS);
    };
    const everything = { subtree: true, childList: true, attributes: true };
    new MutationObserver(restart).observe(document, everything);
  });

const ONE_LINE = { flex: 'none', overflow: 'hidden', textOverflow: 'ellipsis' };

function Header({ dashboard, variables, minutes }) {
  const style = { height: HEADER, padding: '0 8px', display: 'flex', alignItems: 'center', gap: 16 };
  Object.assign(style, { whiteSpace: 'nowrap', overflow: 'hidden' });
  return (
    <div style={style}>
      <h1 style={{ fontSize: 20, margin: 0 }}>{dashboard.title}</h1>
      {variables.map(([label, value]) => (
        <span key={label} style={{ ...ONE_LINE, opacity: 0.8, maxWidth: '28%' }}>
          {label}: <b>{value}</b>
        </span>
      ))}
      <span style={{ ...ONE_LINE, opacity: 0.6, marginLeft: 'auto' }}>preview, {minutes} min, UTC</span>
    </div>
  );
}

function Row({ panel }) {
  return (
    <h2 style={{ fontSize: 16, margin: 0, lineHeight: '30px', paddingLeft: 8 }}>
      {panel.collapsed ? '\u203a' : '\u2304'} {panel.title}
    </h2>
  );
}

function place({ x, y, w, h }, width) {
  const column = (width - GAP) / COLUMNS;
  return {
    position: 'absolute',
    left: GAP + x * column,
    top: HEADER + y * CELL,
    width: w * column - GAP,
    height: h * CELL - GAP,
  };
}

/** Panels in one column, in the order in which they are read, as Grafana has them on a phone. */
function stacked(prepared) {
  const place = ({ panel: { gridPos } }) => [gridPos.y, gridPos.x];
  const inOrder = [...prepared.panels].sort((one, other) => {
    const [[y, x], [otherY, otherX]] = [place(one), place(other)];
    return y - otherY || x - otherX;
  });
  let y = 0;
  const panels = inOrder.map(({ panel, ...more }) => {
    const gridPos = { x: 0, y, w: COLUMNS, h: panel.gridPos.h };
    y += gridPos.h;
    return { ...more, panel: { ...panel, gridPos } };
  });
  return { ...prepared, panels };
}

function Dashboard({ prepared, width, theme, timeRange }) {
  return prepared.panels.map(({ panel, frames, error, complain }, index) => {
    const style = place(panel.gridPos, width);
    const chrome = { width: style.width, height: style.height, title: panel.title };
    chrome.description = panel.description;
    chrome.displayMode = panel.transparent ? 'transparent' : 'default';
    chrome.padding = panel.type === 'stat' || panel.type === 'table' ? 'sm' : 'md';
    chrome.hoverHeader = !panel.title;
    return (
      <div key={index} style={style}>
        {panel.type === 'row' ? (
          <Row panel={panel} />
        ) : (
          <PanelChrome {...chrome}>
            {(innerWidth, innerHeight) => (
              <Panel
                {...{ panel, frames, error, complain, theme, timeRange }}
                interpolate={prepared.interpolate}
                width={innerWidth}
                height={innerHeight}
              />
            )}
          </PanelChrome>
        )}
      </div>
    );
  });
}

/** Draws what the address asks for; the page's height and what is wrong with the dashboard. */
window.drawn = async () => {
  const words = new URLSearchParams(location.search);
  const minutes = Number(words.get('minutes'));
  const dashboard = await (await fetch(`/dashboards/${words.get('dashboard')}`)).json();
  const theme = createTheme({ colors: { mode: words.get('theme') } });
  const width = window.innerWidth - Number(words.get('menu'));
  const to = Math.floor(Date.now() / 15000) * 15; // a point in each graph for each scrape
  const range = { from: to - minutes * 60, to };
  const timeRange = { from: dateTime(range.from * 1000), to: dateTime(range.to * 1000) };
  timeRange.raw = { from: `now-${minutes}m`, to: 'now' };
  const chosen = new Map(words.getAll('set').map((word) => word.split(/=(.*)/s)));
  const wide = await prepare(dashboard, chosen, range, width, theme);
  const prepared = width < PHONE ? stacked(wide) : wide;
  const rows = Math.max(...prepared.panels.map(({ panel }) => panel.gridPos.y + panel.gridPos.h));
  const height = HEADER + rows * CELL + GAP;
  flushSync(() =>
    createRoot(document.getElementById('root')).render(
      <ThemeContext.Provider value={theme}>
        <GlobalStyles />
        <div style={{ position: 'relative', width, height }}>
          <Header {...{ dashboard, minutes }} variables={prepared.variables} />
          <Dashboard {...{ prepared, width, theme, timeRange }} />
        </div>
        <PortalContainer />
      </ThemeContext.Provider>,
    ),
  );
  return { height, problems: prepared.problems };
};
