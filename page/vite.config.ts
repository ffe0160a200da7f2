import { fileURLToPath } from 'node:url';
import { defineConfig, type Plugin } from 'vite';

const at = (path: string) => fileURLToPath(new URL(path, import.meta.url));

/**
 * What the page may load: its own files, and WebAssembly. It cannot send anything anywhere. `blob:` is for the worker,
 * which inherits this policy only where it begins as a blob (`src/client.ts`).
 */
const POLICY = [
  "default-src 'none'",
  "script-src 'self' 'wasm-unsafe-eval'",
  "worker-src 'self' blob:",
  "style-src 'self'",
  "font-src 'self'",
  "img-src 'self'",
  "connect-src 'self'",
  "base-uri 'none'",
  "form-action 'none'",
].join('; ');

/** The policy goes into the built page; the development server puts styles and a socket into the page, which it forbids. */
const policy: Plugin = {
  name: 'content-security-policy',
  apply: 'build',
  transformIndexHtml: () => [
    {
      tag: 'meta',
      attrs: { 'http-equiv': 'Content-Security-Policy', content: POLICY },
      injectTo: 'head-prepend',
    },
  ],
};

export default defineConfig({
  root: at('.'),
  base: './',
  plugins: [policy],
  resolve: {
    alias: [
      { find: /^bitnibble$/, replacement: at('../src/index.ts') },
      { find: /^bitnibble\/(\w+)$/, replacement: at('../src/$1/index.ts') },
    ],
  },
  assetsInclude: ['**/*.h5', '**/*-ubyte.gz'],
  worker: { format: 'es' },
  build: {
    target: 'es2022',
    // The policy forbids data: URLs.
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
    chunkSizeWarningLimit: 5000,
  },
  server: { host: '127.0.0.1', fs: { allow: [at('..')] } },
  preview: { host: '127.0.0.1', port: 4173 },
});
