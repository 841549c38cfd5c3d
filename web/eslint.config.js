import js from '@eslint/js';
import svelte from 'eslint-plugin-svelte';
import globals from 'globals';
import ts from 'typescript-eslint';
import svelteConfig from './svelte.config.js';

export default ts.config(
  { ignores: ['dist/', 'node_modules/', 'src/lib/api/schema.ts'] },
  js.configs.recommended,
  ...ts.configs.strict,
  ...svelte.configs.recommended,
  {
    languageOptions: { globals: { ...globals.browser } },
    rules: {
      // The type checker knows every name; this rule does not know types.
      'no-undef': 'off',
      eqeqeq: ['error', 'always'],
      'no-console': 'error',
      // Everything a server says is text, never markup.
      'svelte/no-at-html-tags': 'error',
      // The content security policy allows no style attribute; style: directives set styles by script.
      'no-restricted-syntax': [
        'error',
        { selector: "SvelteAttribute[key.name='style']", message: 'Use a style: directive.' },
      ],
      // Most sets and maps here live within one function: nothing needs to react to them.
      'svelte/prefer-svelte-reactivity': 'off',
      // Own small router (lib/router), not SvelteKit's.
      'svelte/no-navigation-without-resolve': 'off',
    },
  },
  {
    files: ['**/*.svelte', '**/*.svelte.ts'],
    languageOptions: { parserOptions: { parser: ts.parser, svelteConfig } },
  },
  {
    files: ['scripts/**', '*.config.*'],
    languageOptions: { globals: { ...globals.node } },
    rules: { 'no-console': 'off' },
  },
);
