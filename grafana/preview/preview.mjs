// Draws every dashboard from its JSON and a Prometheus to a PNG; see README.md.

import { readdir, readFile, writeFile, mkdir } from 'node:fs/promises';
import { createServer } from 'node:http';
import { basename, dirname, extname, join } from 'node:path';
import { setTimeout } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';

import { build } from 'esbuild';

import { Browser } from './browser.mjs';

const HERE = dirname(fileURLToPath(import.meta.url));
const PUBLIC = join(HERE, 'node_modules/@grafana/ui/dist/public');
const RULES_MINUTES = 5; // the recording rules look back as far
const TYPES = {
  '.css': 'text/css',
  '.html': 'text/html',
  '.js': 'text/javascript',
  '.json': 'application/json',
  '.svg': 'image/svg+xml',
};
const PAGE = `<!doctype html><meta charset="utf-8"><title>preview</title>
<link rel="stylesheet" href="/main.css"><style>body { margin: 0 }</style><div id="root"></div><script src="/main.js"></script>`;

function commandLine() {
  const { values } = parseArgs({
    options: {
      dashboards: { type: 'string', default: join(HERE, '../dashboards') },
      output: { type: 'string', default: join(HERE, '../../docs/pictures') },
      minutes: { type: 'string', default: '60' },
      width: { type: 'string', default: '1280' },
      menu: { type: 'string', default: '300' }, // pixels of the width that Grafana's menu takes
      height: { type: 'string', default: 'Infinity' }, // pixels from the top that are drawn
      scale: { type: 'string', default: '1' }, // of the picture
      theme: { type: 'string', default: 'dark' }, // or light
      set: { type: 'string', multiple: true, default: [] }, // VARIABLE=VALUE
    },
  });
  const minutes = Number(values.minutes);
  const width = Number(values.width);
  const menu = Number(values.menu);
  const height = Number(values.height);
  const scale = Number(values.scale);
  if (!(minutes > 0 && width > menu && menu >= 0 && height > 0 && scale > 0)) {
    throw new Error('--minutes, --width, --height and --scale take numbers above 0, --menu less than --width');
  }
  if (!process.env.PROMETHEUS) {
    throw new Error('set PROMETHEUS to the URL of a Prometheus that scrapes the exporter');
  }
  const prometheus = process.env.PROMETHEUS.replace(/\/$/, '');
  return { ...values, minutes, width, menu, height, scale, prometheus };
}

/** Path -> content of the page's files. */
async function bundle() {
  const { outputFiles } = await build({
    entryPoints: [join(HERE, 'page/main.jsx')],
    bundle: true,
    write: false,
    outdir: '/',
    jsx: 'automatic',
    alias: { 'react-custom-scrollbars-2': join(HERE, 'page/scrollbars.js') },
    define: { 'process.env.NODE_ENV': '"production"' },
    loader: { '.woff': 'dataurl', '.woff2': 'dataurl', '.ttf': 'empty' },
    logLevel: 'error',
  });
  return new Map(outputFiles.map(({ path, contents }) => [path, contents]));
}

/** Serve the page, Grafana's icons, the dashboards, and Prometheus's API, to this machine only. */
async function serve({ dashboards, prometheus }) {
  const files = await bundle();
  files.set('/', PAGE);

  async function answer(path, search) {
    if (path.startsWith('/api/v1/')) {
      const { status, body } = await fetch(prometheus + path + search);
      return [status, await new Response(body).text(), '.json'];
    }
    if (path.startsWith('/dashboards/')) {
      return [200, await readFile(join(dashboards, basename(path))), '.json'];
    }
    if (path.startsWith('/public/img/icons/')) {
      return [200, await readFile(join(PUBLIC, path.slice('/public'.length))), extname(path)];
    }
    return files.has(path) ? [200, files.get(path), extname(path) || '.html'] : [404, '', '.html'];
  }

  const server = createServer(async (request, response) => {
    const { pathname, search } = new URL(request.url, 'http://localhost');
    try {
      const [status, content, extension] = await answer(pathname, search);
      response.writeHead(status, { 'Content-Type': TYPES[extension] ?? 'text/plain' }).end(content);
    } catch (error) {
      response.writeHead(502).end(String(error.cause ?? error));
    }
  });
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
  return server;
}

/** Return once Prometheus has data for the whole of the graphs. */
async function untilThereIsEnough({ prometheus, minutes }) {
  const needed = minutes + RULES_MINUTES;
  const query = `up{job="glupy"} offset ${Math.ceil(needed * 60)}s`;
  const url = `${prometheus}/api/v1/query?${new URLSearchParams({ query })}`;
  for (let told = false; ; told = true) {
    const { data } = await (await fetch(url)).json();
    if (data.result.length > 0) {
      return;
    }
    if (!told) {
      console.log(`waiting until Prometheus has data of ${needed} minutes`);
    }
    await setTimeout(5000);
  }
}

/** Draw one dashboard and list what is wrong with it; the number of queries that failed. */
async function draw(browser, origin, name, settings) {
  const { output, minutes, width, menu, scale, theme, set } = settings;
  const words = new URLSearchParams({ dashboard: name, minutes, menu, theme });
  set.forEach((assignment) => words.append('set', assignment));
  await browser.open(`${origin}/?${words}`, width);
  const { height, problems } = await browser.evaluate('drawn()');
  await browser.resize(width, height);
  await browser.evaluate('settled()');
  const shown = Math.min(height, settings.height);
  const picture = await browser.screenshot(width - menu, shown, scale);
  const file = join(output, `${basename(name, '.json')}.png`);
  await writeFile(file, picture);
  console.log(`${file}: ${width - menu}x${shown}, ${Math.ceil(picture.length / 1024)} KiB`);
  problems.forEach(({ panel, query, what }) => {
    console.log(`  ${panel}: ${what}${query ? `: ${query}` : ''}`);
  });
  const thrown = browser.errors.splice(0);
  thrown.forEach((error) => console.log(`  the page threw ${error}`));
  return thrown.length + problems.filter(({ failed }) => failed).length;
}

async function main() {
  const settings = commandLine();
  const names = (await readdir(settings.dashboards)).filter((name) => name.endsWith('.json'));
  const server = await serve(settings);
  const browser = await Browser.start();
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) {
    process.once(signal, () => browser.close().finally(() => process.exit(130)));
  }
  try {
    await untilThereIsEnough(settings);
    await mkdir(settings.output, { recursive: true });
    let failed = 0;
    for (const name of names.sort()) {
      failed += await draw(browser, `http://127.0.0.1:${server.address().port}`, name, settings);
    }
    return failed > 0 ? 1 : 0;
  } finally {
    await browser.close();
    server.close();
  }
}

try {
  process.exitCode = await main();
} catch (error) {
  console.error(`preview: ${error.cause?.message ?? error.message}`);
  process.exitCode = 2;
}
