// Checks and waiting: every check says what it expected, and nothing waits for a time.

/** How long a condition may take (`GANDER_BROWSER_PATIENCE`, seconds): a passing run never waits that long. */
export const patience = Number(process.env.GANDER_BROWSER_PATIENCE ?? 120) * 1000;

let passed = 0;
const failures = [];
let flow = '';

function fail(text) {
  failures.push(`${flow}: ${text}`);
  console.log(`  FAILED  ${text}`);
}

/** One check. `got` is shown when it fails. */
export function check(expectation, holds, got) {
  if (holds) {
    passed += 1;
    console.log(`  ok      ${expectation}`);
  } else {
    fail(got === undefined ? `expected: ${expectation}` : `expected: ${expectation}; got ${show(got)}`);
  }
}

/** Checks that two values are the same. */
export function same(expectation, got, wanted) {
  const holds = JSON.stringify(got) === JSON.stringify(wanted);
  check(expectation, holds, `${show(got)} instead of ${show(wanted)}`);
}

/**
 * Asks until the answer is truthy, and returns it: one check. It throws in the end, because what
 * comes after it in a flow needs it.
 */
export async function until(expectation, ask) {
  const deadline = Date.now() + patience;
  let last;
  do {
    try {
      last = await ask();
    } catch (error) {
      // The page may be between two states; the last look decides.
      last = undefined;
      if (Date.now() > deadline) throw error;
    }
    if (last) {
      check(expectation, true);
      return last;
    }
    await new Promise((resume) => setTimeout(resume, 100));
  } while (Date.now() < deadline);
  throw new Error(`waited ${patience / 1000} s in vain, expected: ${expectation}`);
}

/** Waits for an element to be visible: one check. */
export async function seen(expectation, locator) {
  try {
    await locator.first().waitFor({ timeout: patience });
  } catch (error) {
    throw new Error(`waited in vain, expected to see: ${expectation}`, { cause: error });
  }
  check(expectation, true);
}

/** Runs one flow and returns whether it passed; what goes wrong does not keep others from running. */
export async function run(name, body, onFailure) {
  flow = name;
  console.log(`\n${name}`);
  const before = failures.length;
  try {
    await body();
  } catch (error) {
    const cause = error.cause ? ` (${String(error.cause.message ?? error.cause).split('\n')[0]})` : '';
    fail(`${String(error.message ?? error).split('\n')[0]}${cause}`);
  }
  if (failures.length > before) await onFailure(name);
  return failures.length === before;
}

/** Prints the sum and returns the exit code. */
export function sum() {
  if (failures.length > 0) console.log(`\n${failures.map((text) => `FAILED  ${text}`).join('\n')}`);
  console.log(`\n${passed} passed, ${failures.length} failed`);
  return failures.length === 0 ? 0 : 1;
}

function show(value) {
  return typeof value === 'string' ? value : JSON.stringify(value);
}
