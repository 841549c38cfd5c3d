// Node as it is, but with the browser's build of Svelte: live state reacts only there.
export default {
  name: 'browser-code',
  viteEnvironment: 'client',
  setup: () => ({ teardown: () => undefined }),
};
