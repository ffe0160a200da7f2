// What the runtimes make of files that are imported, and what is used of Deno and Bun.
declare module '*.wasm' {
  const module: WebAssembly.Module;
  export default module;
}

declare module '*.safetensors' {
  const bytes: ArrayBuffer;
  export default bytes;
}

declare const Deno: {
  readonly args: readonly string[];
  readFile(path: URL): Promise<Uint8Array<ArrayBuffer>>;
  serve(options: { hostname: string; port: number }, handler: (request: Request) => Promise<Response>): void;
};

declare const Bun: {
  readonly argv: readonly string[];
  file(path: URL): { bytes(): Promise<Uint8Array<ArrayBuffer>> };
  serve(options: { hostname: string; port: number; fetch: (request: Request) => Promise<Response> }): void;
};
