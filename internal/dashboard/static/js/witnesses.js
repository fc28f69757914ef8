// Witnesses: who outside this network has signed the log too, and what one of them holds against it.

import { copyButton, fill, h, keyed, say } from './dom.js';
import { ago, count, plural, whenExactly } from './format.js';

// witnessCard shows the witnesses that the node asks; update(status) keeps it current.
export function witnessCard(app) {
  const summary = h('p', { id: 'cosigned' });
  const list = h('ul', { class: 'witnesses' });
  const kept = new Map();
  const el = h('section', { class: 'card', id: 'witnesses', 'aria-labelledby': 'witnesses-h' }, h('h2', { id: 'witnesses-h' }, 'Witnesses'), summary, list);
  return {
    el,
    update(status) {
      say(summary, words(status));
      keyed(list, kept, status.witnesses ?? [], (w) => w.url + w.name, () => row(app));
    },
  };
}

function words(status) {
  const all = status.witnesses?.length ?? 0;
  if (!all) return 'No witness is asked. Nobody outside this network would notice if it showed different people different logs.';
  const have = status.log.cosigned_size;
  const rest = status.log.size - have;
  const so = `Each signs a checkpoint only if it continues the one before. Statements rest on what ${status.witness_quorum} of ${all} have signed`;
  if (!have) return `${so}: nothing yet.`;
  return `${so}: ${rest ? `${count(have)} entries, ${plural(rest, 'newer one')} to follow.` : `all ${count(have)} entries.`}`;
}

function row(app) {
  const name = h('span', { class: 'strong' });
  const far = h('span');
  const pill = h('span', { class: 'pill' });
  const why = h('span', { class: 'quiet witness-why' });
  return {
    el: h('li', null, name, pill, far, why),
    update(w) {
      say(name, w.name);
      say(far, w.size ? `${count(w.size)} entries, ${ago(w.cosigned_ms, app.now())}` : 'nothing cosigned yet');
      say(pill, w.error ? 'not signing' : w.size ? 'signing' : 'not heard yet');
      pill.className = `pill ${w.error ? 'bad' : w.size ? 'ok' : ''}`;
      say(why, w.error ? `${ago(w.failed_ms, app.now())}: ${w.error}` : '');
      why.hidden = !w.error;
    },
  };
}

// conflictCard shows what contradicts the log, with both signed notes; it is empty where nothing does.
export function conflictCard() {
  const el = h('div');
  let shown = '';
  return {
    el,
    update(status) {
      const c = status.conflict;
      const key = c ? c.text + c.theirs : '';
      if (key === shown) return;
      shown = key;
      if (!c) return void fill(el);
      const note = (title, text) => text && h('div', null, h('h3', null, title), h('pre', { tabindex: '0' }, text), copyButton('Copy', () => text));
      fill(el, h('section', { class: 'card', id: 'conflict', 'aria-labelledby': 'conflict-h' },
        h('div', { class: 'note bad', role: 'alert' }, h('h2', { id: 'conflict-h' }, 'This log is not what was signed before'), h('p', null, `${c.text[0].toUpperCase()}${c.text.slice(1)}.`),
          h('p', null, 'Nothing is signed or taken any more: devices keep their reports. Found ', h('time', { datetime: new Date(c.found_ms).toISOString() }, whenExactly(c.found_ms)), '.')),
        h('div', { class: 'two' }, note('The latest checkpoint here', c.ours), note('What was signed before', c.theirs)),
        h('p', { class: 'quiet' }, 'Both are also in the folder conflict of the node’s data. If this folder is an older copy, put the newer one back; docs/witness.md says what else to do.')));
    },
  };
}
