// The network: who the members are, whose, how they agree, and how each of them does as this one sees it.

import { get } from './api.js';
import { fill, h, keyed, say } from './dom.js';
import { ago, count, plural, when, whenExactly } from './format.js';
import { every } from './live.js';

export function networkPage(app) {
  const problem = h('div');
  const lies = liesCard();
  const how = howCard();
  const title = h('h2', { id: 'members-h' }, 'Members');
  const summary = h('p', { id: 'members-words' });
  const list = h('ul', { class: 'members' });
  const kept = new Map();
  let network = null;

  const load = every(5000, () => app.guard(async () => {
    network = await get('/network');
    draw();
  }, problem));

  function draw() {
    const status = app.live.status;
    if (!network || !status) return;
    const members = seen(network, status);
    say(summary, summaryWords(members));
    summary.hidden = members.length < 2;
    say(title, members.length < 2 ? 'Its only member' : 'Members');
    keyed(list, kept, members, (m) => m.id, () => row(app));
    how.update(network);
    lies.update(status.evidence ?? []);
  }

  return {
    title: 'Network',
    el: h('div', { class: 'page' }, h('h1', null, 'The network'),
      h('p', { class: 'lead' }, 'A network is its members: each has a copy of everything, checks what the others put into it, and signs. What counts is what enough of them agree on.'),
      problem, lies.el,
      h('div', { class: 'split' },
        h('div', { class: 'wide' }, h('section', { class: 'card', 'aria-labelledby': 'members-h' }, title, summary, list)),
        h('div', { class: 'side' }, how.el))),
    status: draw,
    changed: load,
    start() {
      load();
      draw();
    },
  };
}

// seen joins who the members are with how they do: this one by its own word, the others as they answered it.
function seen(network, status) {
  const known = new Map(status.members.map((m) => [m.id, m]));
  const lied = new Set((status.evidence ?? []).map((e) => e.member));
  const own = { height: status.engine.height, role: status.engine.role, seen_ms: status.now_ms, error: '', certificate_ends_ms: status.certificate_ends_ms };
  const members = network.members.map((m) => ({ ...m, ...(m.id === status.member ? own : known.get(m.id)), self: m.id === status.member, lied: lied.has(m.id) }));
  const top = Math.max(...members.map((m) => m.height ?? 0));
  return members.map((m) => ({ ...m, behind: top - (m.height ?? 0), alone: members.length < 2 }));
}

function summaryWords(members) {
  const silent = members.filter((m) => m.error);
  if (!silent.length) return `All ${count(members.length)} answer.`;
  return `${count(members.length - silent.length)} of ${count(members.length)} answer. ${silent.map((m) => m.id).join(', ')} ${silent.length === 1 ? 'does' : 'do'} not.`;
}

const roles = {
  leader: 'leads', follower: 'follows', candidate: 'asks to lead', validator: 'votes', syncing: 'catches up', starting: 'starts', running: 'runs',
  removed: 'was taken out', stopped: 'stands still',
};

function row(app) {
  const name = h('span', { class: 'strong' });
  const org = h('span', { class: 'quiet' });
  const pill = h('span', { class: 'pill' });
  const at = h('span', { class: 'm-at' });
  const more = h('span', { class: 'quiet m-more' });
  const certificate = h('span', { class: 'm-more' });
  return {
    el: h('li', null, h('span', { class: 'm-name' }, name, org), pill, at, certificate, more),
    update(m) {
      const [word, kind] = state(m);
      say(name, m.id);
      say(org, [m.self && 'this node', m.org || 'no organisation named'].filter(Boolean).join(' · '));
      say(pill, word);
      pill.className = `pill ${kind}`;
      say(at, place(m, app.now()));
      say(more, m.error ? `${reason(m)}.` : m.url || m.address || '');
      const [ends, trouble] = certificateWords(m, app.now());
      say(certificate, ends);
      certificate.className = `m-more ${trouble ? 'm-trouble' : 'quiet'}`;
      certificate.hidden = !ends;
    },
  };
}

function state(m) {
  if (m.lied) return ['lied', 'bad'];
  if (m.alone) return ['works', 'ok'];
  if (m.error) return ['does not answer', 'bad'];
  if (!m.self && !m.seen_ms) return ['not asked yet', ''];
  return [roles[m.role] ?? m.role, m.role === 'leader' || m.role === 'validator' || m.role === 'follower' ? 'ok' : 'warn'];
}

function place(m, now) {
  if (m.error && !m.seen_ms) return 'Has not answered since this node started.';
  if (m.error) return `Has not answered since ${when(m.seen_ms)} (${ago(m.seen_ms, now)}): it was at block ${count(m.height)}.`;
  if (!m.height) return '';
  if (m.alone) return `Block ${count(m.height)}.`;
  return `Block ${count(m.height)}, ${m.behind > 0 ? `${plural(m.behind, 'block')} behind` : 'up to date'}${m.self ? '' : `, asked ${ago(m.seen_ms, now)}`}.`;
}

// reason is why a member does not answer, without what is only for programs.
const reason = (m) => m.error.replace(/^Get "[^"]*": /, '');

function certificateWords(m, now) {
  if (!m.certificate_ends_ms) return ['', false];
  const days = Math.floor((m.certificate_ends_ms - now) / 86_400_000);
  if (days < 0) return ['The certificate of its doors has ended.', true];
  if (days < 30) return [`The certificate of its doors ends in ${plural(days, 'day')}.`, true];
  return [`The certificate of its doors is good until ${when(m.certificate_ends_ms)}.`, false];
}

// howCard says how the members agree, and what is proposed.
function howCard() {
  const facts = h('dl', { class: 'facts', id: 'how' });
  const proposed = h('div', { id: 'proposed' });
  const title = h('h2', { id: 'how-h' }, 'How they agree');
  let shown = '';
  return {
    el: h('section', { class: 'card', 'aria-labelledby': 'how-h' }, title, facts, proposed),
    update(n) {
      say(title, n.members.length < 2 ? 'How it orders' : 'How they agree');
      const key = JSON.stringify(n);
      if (key === shown) return;
      shown = key;
      fill(facts, factsOf(n).filter(([, words]) => words).map(([name, words]) => h('div', { class: 'm-fact' }, h('dt', null, name), h('dd', null, words))));
      fill(proposed, n.changes.length > 0 && [h('h3', null, 'Proposed'), h('ul', null, n.changes.map((c) => h('li', null,
        `${changeWords(n, c)}: ${count(c.by.length)} of ${count(n.consent)} have ordered it (${c.by.join(', ')}).`)))]);
    },
  };
}

function factsOf(n) {
  const size = n.members.length;
  const engines = {
    solo: ['Alone', 'One member orders everything. Nobody else holds a copy that could contradict it: witnesses can, and whoever keeps a checkpoint. How several members begin is in docs/cluster.md.'],
    raft: ['Raft', `Members believe what the one that leads sends. ${lossWords(Math.ceil(size / 2) - 1)}`],
    comet: ['CometBFT', `Members believe nobody alone. ${lossWords(Math.floor((size - 1) / 3), ' or lie')}`],
  };
  const [engine, words] = engines[n.engine] ?? [n.engine, ''];
  return [
    ['Order', [engine, h('span', { class: 'quiet' }, words)]],
    ['A checkpoint counts', size > 1 && [n.quorum > 1 ? `signed by ${count(n.quorum)} of ${count(size)}` : 'signed by any of them',
      h('span', { class: 'quiet' }, n.quorum > 1 ? 'So one of those who signed is honest.' : 'Each is believed.')]],
    ['Members come and go', size > 1 && `by the word of ${count(n.consent)} of ${count(size)}`],
    ['Trust', size > 1 && trustWords(n)],
    ['Rules of the ledger', `version ${count(n.rules)}${n.from ? `, from block ${count(n.from)}` : ''}`],
    ['Changed last', n.changed > 1 && `by block ${count(n.changed)}`],
    ['Former members', n.former?.length > 0 && n.former.join(', ')],
  ];
}

function lossWords(n, more = '') {
  return n ? `${count(n)} of them may be gone${more}, and the others go on.` : 'None may be gone.';
}

function trustWords(n) {
  const groups = (n.trust ?? []).map((g) => h('span', { class: 'm-group' }, `${listed(g)} trust each other.`));
  const orgs = new Set(n.members.map((m) => m.org));
  const none = !groups.length && (orgs.size === 1 ? 'All are of one organisation.' : 'No organisations are said to trust each other.');
  return [none, groups, n.reason && h('span', { class: 'quiet' }, `They order by ${n.engine} all the same: “${n.reason}”`)];
}

const listed = (names) => (names.length < 2 ? names.join('') : `${names.slice(0, -1).join(', ')} and ${names.at(-1)}`);

function changeWords(n, c) {
  const now = new Set(n.members.map((m) => m.id));
  const then = new Set(c.members.map((m) => m.id));
  const words = [
    ...c.members.filter((m) => !now.has(m.id)).map((m) => `${m.id}${m.org ? ` (${m.org})` : ''} comes`),
    ...n.members.filter((m) => !then.has(m.id)).map((m) => `${m.id} goes`),
  ];
  if (c.rules !== n.rules) words.push(`rules version ${count(c.rules)} from block ${count(c.from)}`);
  return words.join(', ') || 'another address';
}

const kinds = { double_vote: 'voted for two blocks of one height', false_chain: 'signed a chain that is not', other_log: 'signed another log' };

// liesCard shows what proves that a member lied; it is empty where nothing does.
function liesCard() {
  const el = h('div');
  let shown = '';
  return {
    el,
    update(evidence) {
      const key = JSON.stringify(evidence);
      if (key === shown) return;
      shown = key;
      fill(el, evidence.length > 0 && h('section', { class: 'card', id: 'lies', 'aria-labelledby': 'lies-h' },
        h('div', { class: 'note bad', role: 'alert' }, h('h2', { id: 'lies-h' }, evidence.length === 1 ? 'A member lied' : 'Members lied'),
          h('ul', null, evidence.map((e) => h('li', null, h('strong', null, e.member), ` ${kinds[e.kind] ?? e.kind}, found ${whenExactly(e.found_ms)}${e.height ? `, proven in block ${count(e.height)}` : ''}. ${sentence(e.text)}`,
            e.file && [' What proves it: ', h('code', null, `evidence/${e.file}`), '.'])))),
        h('p', { class: 'quiet' }, 'The others go on as long as they are enough. Keep the proof, and decide whether the member stays: lamppost member remove.')));
    },
  };
}

const sentence = (text) => (text ? `${text[0].toUpperCase()}${text.slice(1).replace(/\.$/, '')}.` : '');
