// A headless Chromium, spoken to over a pipe with the DevTools protocol.

import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

export class Browser {
  /** Start the program `chromium`. Rejects if it is not there. */
  static async start() {
    const home = await mkdtemp(join(tmpdir(), 'preview-'));
    const flags = ['--headless=new', '--remote-debugging-pipe', `--user-data-dir=${home}`];
    flags.push('--hide-scrollbars', '--force-color-profile=srgb');
    if (process.getuid() === 0) {
      flags.push('--no-sandbox'); // root has no sandbox, and the only page is our own
    }
    const stdio = ['ignore', 'ignore', 'ignore', 'pipe', 'pipe'];
    const chromium = spawn('chromium', flags, { stdio, env: { ...process.env, TMPDIR: home } });
    await once(chromium, 'spawn');
    return new Browser(chromium, home);
  }

  constructor(chromium, home) {
    this.chromium = chromium;
    this.home = home;
    this.number = 0;
    this.calls = new Map(); // number of a call -> how to settle its promise
    this.errors = []; // what the page threw
    let rest = '';
    chromium.stdio[4].setEncoding('utf8').on('data', (text) => {
      const messages = (rest + text).split('\0');
      rest = messages.pop();
      messages.forEach((message) => this.receive(JSON.parse(message)));
    });
    this.ended = once(chromium, 'exit').then(() => {
      this.calls.forEach(({ reject }) => reject(new Error('chromium ended')));
    });
  }

  receive({ id, result, error, method, params }) {
    if (method === 'Runtime.exceptionThrown') {
      this.errors.push(params.exceptionDetails.exception?.description ?? 'an unknown exception');
    } else if (method === 'Page.loadEventFired') {
      this.loaded();
    } else if (this.calls.has(id)) {
      const { resolve, reject } = this.calls.get(id);
      this.calls.delete(id);
      error ? reject(new Error(error.message)) : resolve(result);
    }
  }

  call(method, params = {}) {
    const id = ++this.number;
    const message = JSON.stringify({ id, method, params, sessionId: this.session });
    this.chromium.stdio[3].write(`${message}\0`);
    return new Promise((resolve, reject) => this.calls.set(id, { resolve, reject }));
  }

  /** Open the page at `url` in a window `width` pixels wide; it has been loaded on return. */
  async open(url, width) {
    const { targetId } = await this.call('Target.createTarget', { url: 'about:blank' });
    const { sessionId } = await this.call('Target.attachToTarget', { targetId, flatten: true });
    this.session = sessionId;
    await this.call('Runtime.enable');
    await this.resize(width, 1000);
    await this.call('Page.enable');
    const loaded = new Promise((resolve) => (this.loaded = resolve));
    await this.call('Page.navigate', { url });
    await loaded;
  }

  resize(width, height) {
    const size = { width, height, deviceScaleFactor: 1, mobile: false };
    return this.call('Emulation.setDeviceMetricsOverride', size);
  }

  /** The value of a JavaScript expression, awaited. Rejects with what it throws. */
  async evaluate(expression) {
    const options = { expression, awaitPromise: true, returnByValue: true };
    const { result, exceptionDetails } = await this.call('Runtime.evaluate', options);
    if (exceptionDetails) {
      throw new Error(exceptionDetails.exception?.description ?? exceptionDetails.text);
    }
    return result.value;
  }

  /** The page's left upper part as a PNG. */
  async screenshot(width, height, scale) {
    const clip = { x: 0, y: 0, width, height, scale };
    const { data } = await this.call('Page.captureScreenshot', { format: 'png', clip });
    return Buffer.from(data, 'base64');
  }

  async close() {
    this.chromium.kill();
    await this.ended;
    await rm(this.home, { recursive: true, force: true, maxRetries: 5 });
  }
}
