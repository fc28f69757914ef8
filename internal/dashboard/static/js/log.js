// The log: its head, what was written last, and the check of any entry in the reader's own browser.

import { get, getPatiently } from './api.js';
import { copyButton, fill, h, hash, keyed, move, say, short } from './dom.js';
import { ago, count, plural, when, whenExactly, whenShort } from './format.js';
import { keepingCard } from './keeping.js';
import { every } from './live.js';
import { check, fromHex, toHex } from './merkle.js';
import { conflictCard, witnessCard } from './witnesses.js';
import { codeWords, typeName, verifiedBy } from './words.js';

const shown = 50;

export function logPage(app, height, index) {
  const head = headCard(app);
  const conflict = conflictCard();
  const witnesses = witnessCard(app);
  const keeping = keepingCard(app);
  const proof = proofCard(app);
  const list = h('ol', { class: 'entries', reversed: true });
  const problem = h('div');
  const kept = new Map();
  let picked = height ? `${height}/${index}` : '';

  const load = every(1500, () => app.guard(async () => {
    const log = await get(`/log?limit=${shown}`);
    head.update(log);
    keyed(list, kept, log.transactions ?? [], (t) => `${t.height}/${t.index}`, (t) => entry(t));
    mark();
  }, problem));

  function mark() {
    for (const [key, e] of kept) e.pick(key === picked);
  }
  function open(h1, i) {
    picked = `${h1}/${i}`;
    mark();
    proof.open(h1, i);
  }

  const el = h('div', { class: 'page' }, h('h1', null, 'The log'),
    h('p', { class: 'lead' }, 'Everything that counts is written here once and never changed. Each entry has a fingerprint (a hash), and all fingerprints together give one: the root. Whoever changed a single old entry would change the root, and everyone who kept it would see.'),
    problem, conflict.el,
    h('div', { class: 'split log-split' },
      h('div', { class: 'wide' }, head.el, witnesses.el, keeping.el, h('section', { class: 'card', 'aria-labelledby': 'entries-h' }, h('h2', { id: 'entries-h' }, 'Written last'),
        h('p', { class: 'quiet' }, 'Pick one to check it.'), list)),
      h('div', { class: 'side sticky' }, proof.el)));

  function status(s) {
    conflict.update(s);
    witnesses.update(s);
  }

  return {
    title: 'Log', el, status,
    changed() {
      load();
      keeping.changed();
    },
    start() {
      load();
      keeping.changed();
      if (app.live.status) status(app.live.status);
      if (picked) proof.open(height, index);
    },
    // keeps answers a change of the address from within this page without building it anew.
    keeps(path) {
      const match = /^\/log\/(\d+)\/(\d+)$/.exec(path);
      if (!match) return false;
      open(match[1], match[2]);
      return true;
    },
  };
}

function headCard(app) {
  const size = h('p', { class: 'figure', id: 'log-size' }, '–');
  const published = h('p', { class: 'quiet' });
  const root = h('span');
  const verified = h('p', { class: 'quiet', id: 'verified' });
  const note = h('pre', { tabindex: '0', 'aria-label': 'Checkpoint' });
  let lastRoot = '';
  let lastNote = '';
  return {
    el: h('section', { class: 'card', 'aria-labelledby': 'head-h' }, h('h2', { id: 'head-h' }, 'Where it stands'),
      h('div', { class: 'two' },
        h('div', null, h('h3', null, 'Entries'), size, published),
        h('div', null, h('h3', null, 'Root'), h('p', null, root), h('p', { class: 'quiet' }, 'One fingerprint of all entries.'))),
      verified,
      h('details', null, h('summary', null, 'The signed checkpoint'),
        h('p', null, 'The node signs size and root together: that is what it can be held to. Keep a copy, and a later log must still contain it.'),
        note, h('p', { class: 'buttons' }, copyButton('Copy the checkpoint', () => lastNote), h('a', { class: 'button small', href: '/network.pin', download: 'network.pin' }, 'The key it is signed with')))),
    update(log) {
      move(size, count(log.size));
      const at = app.live.status?.log?.published_ms;
      say(published, at ? `published ${ago(at, app.now())}` : '');
      say(verified, app.live.status ? verifiedBy(app.live.status.verify) : '');
      if (log.root !== lastRoot) {
        const open = root.querySelector('[aria-expanded=true]');
        fill(root, log.root ? hash(log.root, 'Root of the log') : 'not published yet');
        if (open && log.root) root.firstChild.click();
        lastRoot = log.root;
      }
      if (log.checkpoint !== lastNote) {
        lastNote = log.checkpoint;
        note.textContent = lastNote;
      }
    },
  };
}

function entry(t) {
  const link = h('a', { href: `#/log/${t.height}/${t.index}` },
    h('span', { class: 'e-type' }, typeName(t.type)), h('span', { class: 'e-words' }, entryWords(t)),
    outcome(t.outcome), h('span', { class: 'quiet e-where' }, h('time', { datetime: new Date(t.time_ms).toISOString() }, whenShort(t.time_ms)), ` · block ${count(t.height)}`));
  return {
    el: h('li', null, link),
    update() {},
    pick(yes) {
      if (yes) link.setAttribute('aria-current', 'true');
      else link.removeAttribute('aria-current');
    },
  };
}

function entryWords(t) {
  if (t.type === 'segment') return `${plural(t.reports, 'report')} with ${plural(t.readings, 'reading')}, signatures checked together by ${t.signer}`;
  return t.summary || `signed by ${t.signer}`;
}

// outcome shows what became of a transaction: one code, or for reports how many of each.
function outcome(o) {
  const codes = typeof o === 'string' ? { [o]: 0 } : o ?? {};
  const bad = Object.entries(codes).filter(([code]) => code !== 'ok' && code !== 'duplicate');
  if (!bad.length) return h('span', { class: 'pill ok' }, 'accepted');
  return h('span', { class: 'pill bad' }, bad.map(([code, n]) => (n ? `${count(n)} × ${codeWords(code)}` : codeWords(code))).join(', '));
}

function proofCard(app) {
  const body = h('div', { class: 'stack' }, h('p', { class: 'quiet' }, 'Pick an entry on this page. Its bytes and its path to the root come from the node; the arithmetic is done here, by your browser.'));
  const el = h('section', { class: 'card proof', id: 'proof', tabindex: '-1', 'aria-labelledby': 'proof-h' }, h('h2', { id: 'proof-h' }, 'Check it yourself'), body);
  let turn = 0;

  async function open(height, index) {
    const mine = ++turn;
    fill(body, h('p', { class: 'quiet', role: 'status' }, 'Fetching the proof …'));
    reveal();
    await app.guard(async () => {
      const proof = await getPatiently(`/log/proof?height=${height}&index=${index}`);
      if (mine === turn) await show(proof, height, index, false);
    }, null).catch(() => {});
    if (mine === turn && !body.querySelector('.result')) fill(body, h('p', { class: 'note bad', role: 'alert' }, 'The node has no proof of this entry. The newest ones follow within a second; pick it again.'));
  }
  function reveal() {
    if (el.getBoundingClientRect().top > innerHeight * 0.6 || el.getBoundingClientRect().top < 0) el.scrollIntoView({ block: 'start' });
    el.focus({ preventScroll: true });
  }
  async function show(proof, height, index, changed) {
    let result;
    try {
      result = await check(proof, height, index);
    } catch (err) {
      result = { ok: false, list: [{ ok: false, name: 'form', words: `The proof cannot be read: ${err.message}.` }], steps: [] };
    }
    fill(body, verdict(result, proof, changed), checks(result), result.leaf && path(result, proof),
      h('p', { class: 'buttons' }, h('button', { type: 'button', id: 'tamper', onclick: () => show(changed ? changed : spoil(proof), height, index, changed ? false : proof) },
        changed ? 'Put it back' : 'Change one bit of the entry')),
      h('details', null, h('summary', null, 'What this does not prove'),
        h('p', null, 'The checkpoint’s signature is not checked on this page, and a page comes from the node itself. To trust neither, take a statement or receipt home and check it with the network’s pin, which you got another way: on ', h('a', { href: '/check/' }, 'a page'), ' that is a copy of your own, or with lamppost verify.')));
  }
  return { el, open };
}

// spoil is a copy of a proof with one bit of the entry changed, to see what the check is worth.
function spoil(proof) {
  const bytes = fromHex(proof.leaf);
  bytes[bytes.length - 1] ^= 1;
  return { ...proof, leaf: toHex(bytes) };
}

function verdict(result, proof, changed) {
  const place = `entry ${count(Number(proof.leaf_index) + 1)} of ${count(proof.size)}`;
  const words = result.ok
    ? [h('strong', null, 'It is in the log, unchanged.'), ` Your browser computed the root from this entry, ${place}, and got exactly what the checkpoint states.`]
    : [h('strong', null, changed ? 'One bit is enough.' : 'Do not trust this entry.'),
      changed ? ' With a single bit changed, the fingerprints no longer lead to the root in the checkpoint.' : ' What the node sent does not lead to the root in the checkpoint.'];
  return h('div', { class: `result ${result.ok ? 'ok' : 'bad'}`, role: 'status', 'data-ok': String(result.ok) }, h('span', { class: 'mark', 'aria-hidden': 'true' }, result.ok ? '✓' : '✗'), h('p', null, words));
}

function checks(result) {
  return h('ul', { class: 'checks' }, result.list.map((c) => h('li', { class: c.ok ? 'ok' : 'bad' },
    h('span', { class: 'mark', 'aria-hidden': 'true' }, c.ok ? '✓' : '✗'), h('span', null, h('span', { class: 'sr' }, c.ok ? 'Right: ' : 'Wrong: '), c.ok ? c.words : c.words.replace(/^/, 'Not so: ')))));
}

const brief = (hex) => `${hex.slice(0, 6)}…${hex.slice(-4)}`;

// path shows every step: the entry's fingerprint, each neighbour it is joined with, and the root.
function path(result, proof) {
  const steps = result.steps.map((s, i) => h('li', null, h('span', { class: 'quiet' }, `${i + 1}`), h('span', null, s.side),
    h('code', null, brief(toHex(s.neighbour))), h('span', { class: 'quiet' }, h('span', { 'aria-hidden': 'true' }, '→'), h('span', { class: 'sr' }, 'gives')), h('code', { class: 'strong' }, brief(toHex(s.hash)))));
  return h('details', { class: 'path', open: true }, h('summary', null, `The way to the root, ${plural(steps.length, 'step')}`),
    h('p', { class: 'quiet' }, 'Each step joins the fingerprint so far with its neighbour, on the left or on the right, and takes the fingerprint of both (SHA-256).'),
    h('p', null, h('span', { class: 'quiet' }, 'Begin: fingerprint of the entry '), h('code', { class: 'strong' }, short(result.start))),
    h('ol', { class: 'steps' }, steps),
    h('p', null, h('span', { class: 'quiet' }, 'End: root in the checkpoint '), h('code', { class: 'strong' }, short(result.checkpoint.root))),
    h('details', null, h('summary', null, 'The bytes of the entry'), h('pre', null, proof.leaf),
      h('p', { class: 'quiet' }, `They say: block ${result.leaf.height}, place ${result.leaf.index}, then a fingerprint of what was written and one of what came of it. The content itself stays out of the log.`)));
}
