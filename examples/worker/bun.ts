// bun run bun.ts [PORT]
import { classifier } from './classifier.ts';

const file = await Bun.file(new URL('digits.safetensors', import.meta.url)).bytes();
const port = Number(Bun.argv[2] ?? 8787);

Bun.serve({ hostname: '127.0.0.1', port, fetch: await classifier(file) });
