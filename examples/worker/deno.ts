// deno run --allow-read --allow-net deno.ts [PORT]
import { classifier } from './classifier.ts';

const file = await Deno.readFile(new URL('digits.safetensors', import.meta.url));
const port = Number(Deno.args[0] ?? 8787);

Deno.serve({ hostname: '127.0.0.1', port }, await classifier(file));
