import type { Runs } from './worker/protocol.js';

interface Snippet {
  readonly title: string;
  readonly code: string;
  readonly note: string;
}

/** Code that runs a packed file where the runtime takes it, and else reads it: in a page, in Node.js, in a Worker. */
export function snippetsFor(file: string, runs: Runs): readonly Snippet[] {
  // Names are those of somebody's files: quoted for each place.
  const quoted = `'${file.replace(/['\\]/g, '\\$&')}'`;
  const address = `'${encodeURIComponent(file).replaceAll("'", '%27')}'`;
  const own = `'./${quoted.slice(1)}`;
  return runs.runs ? running({ quoted, address, own }, runs) : reading({ quoted, address, own });
}

/** The name of a file as JavaScript has it: of Node.js, of a page, of an import. */
type Names = Readonly<Record<'quoted' | 'address' | 'own', string>>;

function running(file: Names, { inputs, outputs }: Extract<Runs, { runs: true }>): readonly Snippet[] {
  const zeros = (shape: readonly number[]) => `new Float32Array(${shape.join(' * ') || 1})`;
  const list = (ports: typeof inputs) =>
    ports.map(({ name, shape }) =>
      ports.length > 1 ? `${name} [${shape.join(', ')}]` : `[${shape.join(', ')}]`,
    );
  const [only] = inputs;
  const given =
    inputs.length === 1 && only
      ? zeros(only.shape)
      : `{ ${inputs.map(({ name, shape }) => `${JSON.stringify(name)}: ${zeros(shape)}`).join(', ')} }`;
  const input = `const input = ${given}; // your data: ${list(inputs).join(' and ')}, any number of samples`;
  const run = `const output = network.run(input); // ${list(outputs).join(' and ')}`;
  const note = 'npm install bitnibble';
  return [
    {
      title: 'Page',
      note: `${note}. Any bundler takes it as it is; put the file where the page finds it.`,
      code: `import { loadNetwork } from 'bitnibble/runtime';

const network = await loadNetwork(fetch(${file.address}));
${input}
${run}
`,
    },
    {
      title: 'Node',
      note: `${note}. The same in Deno and Bun.`,
      code: `import { readFile } from 'node:fs/promises';
import { loadNetwork } from 'bitnibble/runtime';

const network = await loadNetwork(await readFile(${file.quoted}));
${input}
${run}
console.log(output);
`,
    },
    {
      title: 'Worker',
      note: `${note}. In wrangler.toml, a rule of type Data for **/*.safetensors.`,
      code: `import { loadNetwork } from 'bitnibble/runtime';
import module from 'bitnibble/runtime.wasm';
import file from ${file.own};

const network = await loadNetwork(new Uint8Array(file), { module });

export default {
  async fetch(request) {
    const input = new Float32Array(await request.arrayBuffer()); // ${list(inputs).join(' and ')}
    return Response.json([...network.run(input)]); // ${list(outputs).join(' and ')}
  },
};
`,
    },
  ];
}

/** Weights that the runtime does not run are decoded, for whatever does. */
function reading(file: Names): readonly Snippet[] {
  const use = `for (const { id, shape } of model.weights) console.log(id, shape, model.read(id)); // Float32Array`;
  const note =
    'npm install bitnibble. The runtime does not run this network, so the code decodes its weights';
  return [
    {
      title: 'Page',
      note: `${note}; packedHandler of bitnibble/tfjs gives them to TensorFlow.js.`,
      code: `import { loadDecoder, openPacked } from 'bitnibble/reader';

const bytes = new Uint8Array(await (await fetch(${file.address})).arrayBuffer());
const model = openPacked(bytes, await loadDecoder());
${use}
`,
    },
    {
      title: 'Node',
      note: `${note}.`,
      code: `import { readFile } from 'node:fs/promises';
import { loadDecoder, openPacked } from 'bitnibble/reader';

const model = openPacked(await readFile(${file.quoted}), await loadDecoder());
${use}
`,
    },
    {
      title: 'Worker',
      note: `${note}. In wrangler.toml, a rule of type Data for **/*.safetensors.`,
      code: `import { loadDecoder, openPacked } from 'bitnibble/reader';
import module from 'bitnibble/reader.wasm';
import file from ${file.own};

const model = openPacked(new Uint8Array(file), await loadDecoder({ module }));

export default {
  async fetch() {
    return Response.json(model.weights.map(({ id, shape }) => ({ id, shape })));
  },
};
`,
    },
  ];
}
