// Agents: what their owners want, what they decided and why, and what that came to against what was expected.

import { get, post } from './api.js';
import { fill, h, keyed, part, say } from './dom.js';
import { count, money, monthYear, negative, plural, when, zone } from './format.js';
import { every } from './live.js';

const modes = { advise: 'Advises: decisions are recorded, and nobody acts on them', bounded: 'Acts, within guard, spending limit and rules', stopped: 'Stopped: the device follows its safe rule' };
const asReader = `lang=${encodeURIComponent(navigator.language)}&zone=${encodeURIComponent(zone)}`;

// read asks in the reader's language, or in English where the node does not speak it.
async function read(path) {
  const sep = path.includes('?') ? '&' : '?';
  try {
    return await get(`${path}${sep}${asReader}`);
  } catch (e) {
    if (e.status !== 400) throw e;
    return get(`${path}${sep}zone=${encodeURIComponent(zone)}`);
  }
}

// sums adds up the months, of what was acted upon or else of advice: for people to see at once.
function sums(agent) {
  const acted = agent.records.some((r) => r.acted.decisions > 0);
  const tallies = agent.records.map((r) => (acted ? r.acted : r.advised));
  const add = (name) => tallies.reduce((sum, t) => sum + Number(t[name]), 0);
  return { acted, decisions: add('decisions'), outcomes: add('outcomes'), better: add('better'), expected: add('expected'), realised: add('realised') };
}

function recordWords(agent) {
  const s = sums(agent);
  if (s.outcomes === 0) return 'Nothing that it decided is over yet.';
  const gain = `${money(s.realised.toFixed(2), agent.currency)} against the safe rule, where ${money(s.expected.toFixed(2), agent.currency)} was expected`;
  return `${plural(s.decisions, 'decision')}: ${s.acted ? gain : `following its advice would have come to ${gain}`}. ${count(Math.round((100 * s.better) / s.outcomes))} % of them gained.`;
}

export function agentsPage(app) {
  const problem = h('div');
  const found = h('p', { class: 'quiet', role: 'status' });
  const list = h('ul', { class: 'cases', id: 'agents' });
  const kept = new Map();
  const load = every(5000, () => app.guard(async () => {
    const { agents } = await read('/agents');
    say(found, agents.length ? plural(agents.length, 'agent') : 'No device has an agent yet. "lamppost agent set" gives it one.');
    keyed(list, kept, agents, (a) => a.device, row);
  }, problem));
  const el = h('div', { class: 'page' }, h('div', { class: 'head' }, h('h1', null, 'Agents'), found),
    h('p', { class: 'lead' }, 'An agent decides for a device, by forecasts and prices, within what its owner, its guard and its spending limit allow. Each answers for what it decided.'),
    problem, h('section', { class: 'card', 'aria-label': 'All agents' }, list));
  return { title: 'Agents', el, start: load, changed: load };
}

function row(first) {
  const words = h('p');
  const more = h('p', { class: 'quiet' });
  return {
    el: h('li', null, h('div', { class: 'head' }, h('h2', null, h('a', { href: `#/agents/${encodeURIComponent(first.device)}` }, first.device_name || first.device))), words, more),
    update(a) {
      say(words, a.last ? `${a.last.words.title}.` : 'It has decided nothing yet.');
      say(more, `${a.kind}. ${modes[a.mode]}. ${recordWords(a)}`);
    },
  };
}

export function agentPage(app, id) {
  const problem = h('div');
  const title = h('h1', null, id);
  const facts = h('p', { class: 'quiet' });
  const record = h('p');
  const bars = h('div', { id: 'agent-record' });
  const list = h('ol', { class: 'cases', id: 'decisions' });
  const kept = new Map();
  const answer = h('p', { role: 'status' });
  const wrong = h('div');
  let agent = null;
  const choose = (mode) => h('label', { class: 'tick' }, h('input', { type: 'radio', name: 'mode', value: mode, onchange: () => change(mode) }), modes[mode]);
  const form = h('fieldset', { class: 'choices', id: 'mode' }, h('legend', null, 'What becomes of its decisions'), Object.keys(modes).map(choose));
  const load = every(5000, () => app.guard(async () => {
    agent = await read(`/agents/${encodeURIComponent(id)}`);
    say(title, agent.device_name || agent.device);
    say(facts, `${agent.device} · ${agent.kind} · belongs to ${agent.owner} · run by ${agent.member}${agent.tariff ? ` · prices of ${agent.tariff}` : ''}`);
    say(record, recordWords(agent));
    draw(bars, agent);
    const now = form.querySelector(`input[value=${agent.mode}]`);
    if (now && !form.disabled) now.checked = true;
    const { decisions } = await read(`/decisions?device=${encodeURIComponent(id)}&limit=25`);
    keyed(list, kept, decisions, (d) => d.id, decided);
  }, problem));
  async function change(mode) {
    if (!agent) return;
    form.disabled = true;
    await app.guard(async () => {
      const { device, kind, member, currency, site, tariff, inputs, rules, function: fn } = agent;
      await post('/agents', { device, kind, mode, member, currency, site, tariff, inputs, rules, function: fn });
      say(answer, `${modes[mode]}.`);
    }, wrong);
    form.disabled = false;
    load();
  }
  const el = h('div', { class: 'page' },
    h('nav', { class: 'crumbs', 'aria-label': 'Where you are' }, h('a', { href: '#/agents' }, 'Agents'), h('span', { 'aria-hidden': 'true' }, '/'), h('span', { 'aria-current': 'page' }, id)),
    h('header', { class: 'title' }, title, facts), problem,
    h('div', { class: 'split' },
      h('div', { class: 'wide' },
        h('section', { class: 'card', 'aria-labelledby': 'record-h' }, h('h2', { id: 'record-h' }, 'Expected and realised'), record, bars),
        h('section', { class: 'card', 'aria-labelledby': 'decisions-h' }, h('h2', { id: 'decisions-h' }, 'Its last decisions'), list)),
      h('div', { class: 'side' }, h('section', { class: 'card', 'aria-labelledby': 'mode-h' }, h('h2', { id: 'mode-h' }, 'The owner’s word'), form, answer, wrong))));
  return { title: `Agent of ${id}`, el, start: load, changed: load };
}

// decided is one decision: what, why, what else, what would have changed it, what it came to.
function decided(first) {
  const outcome = h('p');
  return {
    el: h('li', null,
      h('h3', null, first.words.title), h('ul', null, first.words.why.map((w) => h('li', null, w))),
      first.words.gain && h('p', null, first.words.gain), first.words.flip && h('p', null, first.words.flip),
      first.words.alternatives?.length > 0 && h('p', { class: 'quiet' }, `Instead: ${first.words.alternatives.join('; ')}.`), outcome,
      h('p', { class: 'quiet' }, `${first.id} · ${when(first.decision.at_ms)} · "lamppost explain ${first.id}" decides it again`)),
    update(d) {
      say(outcome, d.words.outcome ?? '');
    },
  };
}

// draw shows two bars for each month on one scale: what was expected, and what came of it.
function draw(el, agent) {
  const s = sums(agent);
  const months = agent.records.slice(-12).map((r) => ({ month: r.month, ...(s.acted ? r.acted : r.advised) })).filter((m) => m.outcomes > 0);
  if (!months.length) return fill(el, h('p', { class: 'quiet' }, 'Nothing to draw yet.'));
  const all = months.flatMap((m) => [Number(m.expected), Number(m.realised)]);
  const low = Math.min(0, ...all);
  const scale = 100 / Math.max(Math.max(0, ...all) - low, 0.01);
  const bar = (month, name, amount) => {
    const n = Number(amount);
    const svg = part('svg', { viewBox: '0 0 100 10', preserveAspectRatio: 'none', 'aria-hidden': 'true' });
    svg.append(part('rect', { class: negative(amount) ? 'loss' : name === 'expected' ? 'expected' : 'gain', x: scale * (Math.min(0, n) - low), y: 0, width: Math.max(0.5, scale * Math.abs(n)), height: 10 }),
      part('line', { x1: scale * -low, x2: scale * -low, y1: 0, y2: 10 }));
    return h('li', null, h('span', null, monthYear(Date.parse(`${month}-15`)), ` ${name}`), svg, h('span', { class: 'money' }, money(n.toFixed(2), agent.currency)));
  };
  return fill(el, h('ul', { class: 'months gains' }, months.flatMap((m) => [bar(m.month, 'expected', m.expected), bar(m.month, 'realised', m.realised)])));
}
