// Whose signatures count: the pin that the visitor brings. What this page brings along itself is shown as that, and
// counts as the visitor's only when its fingerprint is typed in from elsewhere.

import { fill, h, say } from './dom.js';
import { plural } from './format.js';
import { filePicker } from './worker.js';

const pinLimit = 65536; // bytes, as audit.MaxPinBytes
const shelf = 'lamppost.pins'; // the one key in the browser's storage: network → pin, written on request only

// remembered returns the pins that the visitor had kept here; none where the browser keeps nothing.
function remembered() {
  try {
    const kept = JSON.parse(localStorage.getItem(shelf) ?? '{}');
    return kept && typeof kept === 'object' ? kept : {};
  } catch {
    return {};
  }
}

function remember(network, text) {
  const { [network]: _, ...others } = remembered();
  const kept = text === null ? others : { ...others, [network]: text };
  try {
    if (Object.keys(kept).length) localStorage.setItem(shelf, JSON.stringify(kept));
    else localStorage.removeItem(shelf);
    return true;
  } catch {
    return false;
  }
}

const letters = (text) => text.toUpperCase().replaceAll('0', 'O').replaceAll('1', 'I').replaceAll('8', 'B').replace(/[^A-Z2-7]/g, '');

// pinCard asks for the pin. changed() is called when another one counts; current says for a file's network which that is:
// {text, how}, how being "given", "offered" or "none".
export function pinCard(ask, changed) {
  let given = null; // {text, info, from}
  let offer = null; // {text, info}
  let declined = false; // the visitor wants another than the remembered one
  const state = h('div', { class: 'stack' });
  const problem = h('div', { role: 'alert' });
  const field = h('textarea', { id: 'pin-text', rows: '2', spellcheck: 'false', autocomplete: 'off', autocapitalize: 'off', 'aria-describedby': 'pin-help' });
  const form = h('form', { class: 'stack', onsubmit: (e) => { e.preventDefault(); typed(field.value.trim()); } },
    h('div', { class: 'field' }, h('label', { for: 'pin-text' }, 'Type its fingerprint, or paste the pin'), field),
    h('p', { class: 'buttons' }, h('button', { type: 'submit', class: 'small' }, 'Use it'),
      filePicker('pin-file', 'Open network.pin', '.pin,.txt,text/plain', read)));

  async function read(file) {
    if (file.size > pinLimit) return complain(`${file.name} is too long to be a pin.`);
    await take(await file.text(), `from the file ${file.name}`);
  }
  async function typed(text) {
    if (!text) return complain('Type the fingerprint, or paste the text of network.pin.');
    if (/^\s*(#|network\s)/.test(text)) return take(text, 'as you pasted it');
    if (letters(text).length !== 32) return complain('That is neither the text of a pin nor a fingerprint, which has 8 groups of 4 letters and digits.');
    if (!offer) return complain('A fingerprint needs the pin it is of, and this page brings none along. Open network.pin, and compare the fingerprint shown then.');
    if (letters(text) !== letters(offer.info.fingerprint)) {
      return complain('This is not the fingerprint of the pin that this page brought along. If you typed it right, do not trust this page.');
    }
    return use({ ...offer, from: 'brought by this page, with the fingerprint that you typed' });
  }
  async function take(text, from) {
    const info = await ask('readPin', text);
    if (info.error) return complain(`${info.error}.`);
    return use({ text, info, from });
  }
  function complain(words) {
    fill(problem, h('p', { class: 'note bad' }, words));
  }
  function use(pin) {
    given = pin;
    fill(problem);
    field.value = '';
    draw();
    changed();
  }

  function draw() {
    form.hidden = Boolean(given);
    if (given) return void fill(state, ...chosen());
    fill(state, h('p', null, 'A pin says whose signatures count in a network. Get it, or its fingerprint, from somebody you trust and by another way than the bill: with the contract, on a notice board, from a neighbour.'),
      offer ? h('p', { class: 'quiet', id: 'pin-help' }, 'This page brought a pin of network ', h('strong', null, offer.info.network), ' along. It comes from whoever made the page, perhaps from whoever wrote the bill, so alone it proves little: ',
        'type the fingerprint that you know from elsewhere, and the page compares.')
        : h('p', { class: 'quiet', id: 'pin-help' }, 'Without a pin a file can only be shown to agree with itself.'));
  }
  function chosen() {
    const { info, from, text } = given;
    const kept = remembered()[info.network] === text;
    const words = h('p', { class: 'quiet', role: 'status' });
    const box = h('input', { type: 'checkbox', id: 'pin-keep', onchange: () => {
      const done = remember(info.network, box.checked ? text : null);
      say(words, !done ? 'This browser does not let the page keep anything.' : box.checked ? 'Kept in this browser, for pages of this address only.' : 'Forgotten.');
    } });
    box.checked = kept;
    return [h('p', null, 'Network ', h('strong', null, info.network), h('span', { class: 'quiet' }, `, ${from}`)),
      h('dl', { class: 'facts' }, h('div', null, h('dt', null, 'Fingerprint'), h('dd', null, fingerprint(info))), h('div', null, h('dt', null, 'Must have signed'), h('dd', null, demands(info)))),
      h('p', { class: 'check-row no-print' }, box, h('label', { for: 'pin-keep' }, 'Remember this pin in this browser')), words,
      h('p', { class: 'buttons no-print' }, h('button', { type: 'button', class: 'small', onclick: () => { given = null; declined = true; draw(); changed(); field.focus(); } }, 'Use another pin'))];
  }

  draw();
  return {
    el: h('section', { class: 'card no-print', 'aria-labelledby': 'pin-h' }, h('h2', { id: 'pin-h' }, 'Whose signatures count'), state, problem, form),
    // offered takes the pin that the page brought along.
    async offered(text) {
      const info = await ask('readPin', text);
      if (info.error) return;
      offer = { text, info };
      draw();
    },
    // recall takes up what the visitor had kept here for a file's network, or whatever is kept: a file of another network must
    // then be refused, not judged as if nobody had a pin.
    async recall(network) {
      const kept = remembered();
      const text = Object.hasOwn(kept, network) ? kept[network] : Object.values(kept).at(-1);
      if (declined || given && !given.recalled || typeof text !== 'string') return;
      const info = await ask('readPin', text);
      if (info.error) return;
      given = { text, info, from: 'which you had this browser remember', recalled: true };
      draw();
    },
    current(network) {
      if (given) return { ...given, how: 'given' };
      return offer?.info.network === network ? { ...offer, how: 'offered' } : { text: '', how: 'none' };
    },
  };
}

export const fingerprint = (info) => h('code', { class: 'fingerprint' }, info.fingerprint);

export function demands(info) {
  const members = info.members === 1 ? 'the network’s one member' : `${info.quorum} of ${plural(info.members, 'member')}`;
  return info.witness_quorum ? `${members}, and ${info.witness_quorum} of ${plural(info.witnesses, 'witness', 'witnesses')}` : members;
}
