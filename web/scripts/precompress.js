// Writes a .br and a .gz beside every text file of dist/, so that the hub serves them without compressing.
import { readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { extname, join } from 'node:path';
import { brotliCompressSync, constants, gzipSync } from 'node:zlib';

const root = new URL('../dist/', import.meta.url).pathname;
const text = new Set(['.html', '.js', '.css', '.svg', '.json', '.webmanifest', '.txt']);
let scripts = 0;

function* files(folder) {
  for (const name of readdirSync(folder)) {
    const path = join(folder, name);
    if (statSync(path).isDirectory()) yield* files(path);
    else yield path;
  }
}

for (const path of [...files(root)]) {
  if (!text.has(extname(path))) continue;
  const body = readFileSync(path);
  const gzip = gzipSync(body, { level: 9 });
  const brotli = brotliCompressSync(body, {
    params: {
      [constants.BROTLI_PARAM_QUALITY]: 11,
      [constants.BROTLI_PARAM_SIZE_HINT]: body.length,
    },
  });
  // A "compressed" file larger than its source is of no use to anybody.
  if (gzip.length < body.length) writeFileSync(`${path}.gz`, gzip);
  if (brotli.length < body.length) writeFileSync(`${path}.br`, brotli);
  if (extname(path) === '.js') scripts += gzip.length;
}
console.log(`precompressed; all scripts together ${(scripts / 1000).toFixed(1)} kB gzip`);
