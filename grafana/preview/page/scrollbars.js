// @grafana/ui wants this package's default export, and a bundler that follows Node's rules gives it
// the whole CommonJS module instead.

export { Scrollbars as default } from '../node_modules/react-custom-scrollbars-2/lib/index.js';
