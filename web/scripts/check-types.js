// Fails when src/lib/api/schema.ts is not what hub/openapi.json generates today.
import { readFileSync } from 'node:fs';
import openapiTS, { astToString, COMMENT_HEADER } from 'openapi-typescript';

const spec = new URL('../../hub/openapi.json', import.meta.url);
const committed = readFileSync(new URL('../src/lib/api/schema.ts', import.meta.url), 'utf8');
const generated = COMMENT_HEADER + astToString(await openapiTS(spec, { emptyObjectsUnknown: true }));
if (generated.trim() !== committed.trim()) {
  console.error(
    'src/lib/api/schema.ts is not up to date with hub/openapi.json: run `npm run types` and commit it',
  );
  process.exit(1);
}
console.log('src/lib/api/schema.ts matches hub/openapi.json');
