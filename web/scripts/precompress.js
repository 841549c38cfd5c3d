// Writes a .br and a .gz beside every text file of dist/, so that the hub serves them without compressing,
// and says what scripts a reader loads: of the two dictionaries only one.
import { readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { basename, extname, join } from 'node:path';
import { brotliCompressSync, constants, gzipSync } from 'node:zlib';

const root = new URL('../dist/', import.meta.url).pathname;
const text = new Set(['.html', '.js', '.css', '.svg', '.json', '.webmanifest', '.txt']);
const page = readFileSync(join(root, 'index.html'), 'utf8');
const dictionary = /^(en|zh)-/;
let first = 0;
let later = 0;
const words = [];

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
  if (extname(path) !== '.js') continue;
  if (dictionary.test(basename(path))) words.push(gzip.length);
  else if (page.includes(basename(path))) first += gzip.length;
  else later += gzip.length;
}
const kilo = (bytes) => (bytes / 1000).toFixed(1);
first += Math.max(...words);
console.log(
  `precompressed; scripts (gzip): ${kilo(first)} kB for the first page, ${kilo(later)} kB for all others`,
);
