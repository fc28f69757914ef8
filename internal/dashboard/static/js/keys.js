// The keys a device had: how each came, until when it counts, and the one thing that ends a key for good.

import { get, post } from './api.js';
import { fill, h, keyed, say } from './dom.js';
import { when, whenExactly } from './format.js';
import { suiteName } from './words.js';

const came = {
  enrolled: () => 'Its first key.',
  rotated: () => 'The device changed to it by itself: the key before signed the change.',
  set: (k) => `Set by ${k.by}, the operator: the key before did not sign the change.`,
};

const states = {
  current: () => ['ok', 'In use'],
  former: (k) => ['', `Counts until ${when(k.until_ms)}`],
  replaced: (k) => ['', `Counted until ${when(k.until_ms)}`],
  revoked: (k) => ['bad', `Revoked ${when(k.revoked_ms)}: ${k.reason || 'no reason given'}`],
};

export function keysCard(app, id) {
  const list = h('ol', { class: 'keys', reversed: true });
  const kept = new Map();
  const problem = h('div');
  const end = revokeForm(app, id, () => load());

  function load() {
    return app.guard(async () => {
      const { keys } = await get(`/devices/${encodeURIComponent(id)}/keys`);
      keyed(list, kept, keys, (k) => k.epoch, entry);
      end.update(keys[0]);
    }, problem);
  }
  return {
    el: h('section', { class: 'card', 'aria-labelledby': 'keys-h' }, h('h2', { id: 'keys-h' }, 'Its keys'), problem, list, end.el),
    update: load,
  };
}

function entry() {
  const name = h('strong');
  const state = h('span', { class: 'pill' });
  const words = h('p', { class: 'quiet' });
  return {
    el: h('li', null, h('div', { class: 'head' }, name, state), words),
    update(k) {
      const [kind, text] = (states[k.state] ?? (() => ['', k.state]))(k);
      say(name, ['Key', k.epoch, suiteName(k.suite)].filter((part) => part !== '').join(' '));
      say(state, text);
      state.className = `pill ${kind}`;
      say(words, `Since ${when(k.from_ms)}. ${(came[k.how] ?? (() => ''))(k)}`);
      words.title = whenExactly(k.from_ms);
    },
  };
}

// revokeForm asks for a reason, which stays on record, before it ends the key in use.
function revokeForm(app, id, done) {
  const reason = h('input', { id: 'revoke-reason', required: true, maxlength: '200', autocomplete: 'off' });
  const button = h('button', { type: 'submit', class: 'danger' });
  const answer = h('div', { role: 'alert' });
  let epoch = 0;
  const el = h('details', null, h('summary', null, 'End the key in use'),
    h('p', null, 'If somebody else may have the key. Nothing that it signs is taken from then on, and this cannot be undone. ',
      'The device cannot report until it has another key, for which the operator gives it a new token: ', h('code', null, `lamppost device token ${id}`)),
    h('form', { onsubmit: submit },
      h('div', { class: 'field' }, h('label', { for: 'revoke-reason' }, 'Why? The reason stays on record.'), reason), answer, button));

  async function submit(event) {
    event.preventDefault();
    button.disabled = true;
    try {
      await post(`/devices/${encodeURIComponent(id)}/revoke`, { key_epoch: epoch, reason: reason.value.trim() });
      reason.value = '';
      fill(answer);
      el.open = false;
      done();
    } catch (err) {
      if (err.status === 401) app.live.lock();
      fill(answer, h('p', { class: 'note bad' }, err.status ? err.message : 'The node cannot be reached just now. Look at the keys before you try again.'));
    } finally {
      button.disabled = false;
    }
  }
  return {
    el,
    update(k) {
      epoch = k.epoch;
      el.hidden = k.state !== 'current';
      say(button, `End key ${k.epoch} for good`);
    },
  };
}
