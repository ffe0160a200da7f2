import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { defineConfig, type Plugin } from 'vite';

const at = (path: string) => fileURLToPath(new URL(path, import.meta.url));

/** Where the code is: of package.json, as a web address. */
function sourceOf(repository: string | { url?: string } | undefined): string {
  const url = typeof repository === 'string' ? repository : (repository?.url ?? '');
  return /^(git\+)?https:\/\//.test(url) ? url.replace(/^git\+/, '').replace(/\.git$/, '') : '';
}

const { version, repository } = JSON.parse(readFileSync(at('../package.json'), 'utf8'));

/**
 * What the page may load: its own files, and WebAssembly. It connects to nothing else: `src/policy.ts` adds a second policy
 * that says so before anything runs, and allows the one server that a link names (`#model=`); this one must not be narrower.
 * `blob:` is for the worker, which inherits both only where it begins as a blob (`src/client.ts`).
 */
const POLICY = [
  "default-src 'none'",
  "script-src 'self' 'wasm-unsafe-eval'",
  "worker-src 'self' blob:",
  "style-src 'self'",
  "font-src 'self'",
  "img-src 'self'",
  "connect-src 'self' https: http://127.0.0.1:* http://localhost:*",
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

/** Pictures of a preview need a whole address: `BITNIBBLE_PAGE_URL`, of the folder that the page will be in. */
const preview: Plugin = {
  name: 'social-preview',
  transformIndexHtml: () => {
    const address = process.env.BITNIBBLE_PAGE_URL?.replace(/\/?$/, '/');
    const picture = `${address ?? './'}preview.png`;
    const properties = {
      ...(address ? { 'og:url': address } : {}),
      'og:image': picture,
      'og:image:width': '1200',
      'og:image:height': '630',
    };
    return [
      ...Object.entries(properties).map(([property, content]) => ({
        ...{ tag: 'meta', attrs: { property, content }, injectTo: 'head' as const },
      })),
      { tag: 'meta', attrs: { name: 'twitter:image', content: picture }, injectTo: 'head' as const },
    ];
  },
};

export default defineConfig({
  root: at('.'),
  base: './',
  define: {
    __VERSION__: JSON.stringify(version),
    __SOURCE_URL__: JSON.stringify(sourceOf(repository)),
    __DOCS_URL__: JSON.stringify(process.env.BITNIBBLE_DOCS_URL ?? ''),
  },
  plugins: [policy, preview],
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
