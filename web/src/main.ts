import { mount } from 'svelte';
import './styles/tokens.css';
import './styles/base.css';
import './styles/parts.css';
import App from './App.svelte';
import { i18n } from '$lib/i18n/index.svelte';
import { session } from '$lib/session.svelte';

const target = document.getElementById('app');
if (target) {
  // Who is there is asked while the words come, so that one language a file costs no round trip.
  void session.load();
  i18n.start().then(
    () => mount(App, { target }),
    () => {
      // In both languages: there are no words of either.
      target.textContent = 'gander could not be loaded. Trying again… · gander 未能加载，正在重试…';
      setTimeout(() => location.reload(), 4000);
    },
  );
}
