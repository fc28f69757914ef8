// The question for the administrator's token.

import { login } from './api.js';
import { fill, h } from './dom.js';

export function loginPage(app, done) {
  const input = h('input', { id: 'token', name: 'token', type: 'password', autocomplete: 'current-password', required: true,
    spellcheck: 'false', 'aria-describedby': 'token-help' });
  const button = h('button', { class: 'main', type: 'submit' }, 'Open');
  const answer = h('div', { role: 'alert' });
  const form = h('form', { class: 'card login', onsubmit: submit },
    h('h1', null, 'Sign in to this node'),
    h('p', { id: 'token-help' }, 'Readings and bills are private, so this node asks for its administrator’s token. It stands in the file ',
      h('code', null, 'admin.token'), ' in the node’s data folder.'),
    h('label', { for: 'token' }, 'Administrator’s token'), input, answer, button);

  async function submit(event) {
    event.preventDefault();
    button.disabled = true;
    try {
      if (await login(input.value.trim())) return done();
      fill(answer, h('p', { class: 'note bad' }, 'The node does not know this token. Copy the whole line of admin.token.'));
      input.select();
    } catch {
      fill(answer, h('p', { class: 'note bad' }, 'The node cannot be reached just now. Try again in a moment.'));
    } finally {
      button.disabled = false;
    }
  }
  return { title: 'Token', el: form, start: () => input.focus() };
}
