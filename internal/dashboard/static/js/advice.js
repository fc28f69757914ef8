// What the node recommends for a fleet, as people read it. Every figure is a prediction of the node with an interval, of which nothing is proven.

import { copyButton, h } from './dom.js';
import { count, plural, when } from './format.js';
import { tradeOff } from './tradeoff.js';
import { saveAs } from './takehome.js';
import { suiteName } from './words.js';

const verdicts = { lamppost: ['A ledger of your own', 'ok'], database: ['A database is enough', 'ok'], outside: ['A ledger of others', 'ok'], abstain: ['No advice', 'warn'] };

// adviceOf makes the cards of an answer.
export function adviceOf(a) {
  const options = (a.options ?? []).map((o, i) => ({ ...o, tag: tagOf(o, i, a.options) }));
  const first = options[0] ?? {};
  return [verdictCard(a, first), a.verdict === 'lamppost' && classesCard(first), optionsCard(a, options), h('div', { class: 'split even' }, whyCard(a), flipsCard(a)), configCard(a), restCard(a, first)].filter(Boolean);
}

// tagOf is what an option is called in the picture: its place, or a letter where it is out.
function tagOf(o, i, all) {
  if (o.place) return String(o.place);
  return String.fromCharCode(65 + (i - all.filter((x) => x.place).length) % 26);
}

const card = (id, title, ...inner) => h('section', { class: 'card', id, 'aria-labelledby': `${id}-h` }, h('h2', { id: `${id}-h` }, title), inner);
const list = (all, line) => h('ul', { class: 'offers' }, all.map((x) => h('li', null, line(x))));

function verdictCard(a, first) {
  const [words, kind] = verdicts[a.verdict] ?? [a.verdict, ''];
  const facts = [
    ['What', first.name, first.members?.length && `run by ${listed(first.members)}${first.witnesses?.length ? `, watched by ${listed(first.witnesses)}` : ''}`],
    ['Final within', first.figures && spread(first.figures.commit_p99_ms, ms), `99 of 100; ${ms(a.demand.latency_ms)} at most`],
    ['Bears, in readings', first.figures && spread(first.figures.capacity_per_s, perSecond), `${perSecond(a.demand.readings_per_s)} are asked for`],
    ['In a year', first.year && spread(first.year.eur, euro), first.year?.kwh.high > 0 && spread(first.year.kwh, kwh)],
  ].filter(([, words]) => first.place && words);
  const el = card('verdict', `The advice for ${a.fleet}`, h('p', { class: `pill ${kind}` }, words), h('p', { class: 'summary' }, a.summary),
    facts.length > 0 && h('dl', { class: 'facts four' }, facts.map(([name, words, more]) => h('div', null, h('dt', null, name), h('dd', null, words, more && h('span', { class: 'quiet' }, more))))),
    first.binding?.length > 0 && [h('h3', null, 'What holds it there'), list(first.binding, (b) => b)]);
  el.firstChild.tabIndex = -1;
  return el;
}

function whyCard(a) {
  return card('why', 'Why', h('ol', { class: 'cases' }, (a.gate ?? []).map((s) => h('li', null, h('p', null, s.question, ' ', h('strong', null, s.answer)), s.because && h('p', { class: 'quiet' }, s.because)))));
}

function flipsCard(a) {
  const flips = a.flips ?? [];
  return card('flips', 'What would change it', flips.length ? list(flips, (f) => [h('code', null, f.field), ` ${f.to} instead of ${f.from}: `, h('strong', null, f.then)]) : h('p', { class: 'quiet' }, 'No single change that was tried.'));
}

function optionsCard(a, options) {
  const head = (words, kind) => h('th', { scope: 'col', class: kind }, words);
  return card('options', 'All that was weighed', tradeOff(options, a.demand.latency_ms),
    h('table', { class: 'ranking' }, h('thead', null, h('tr', null, head(''), head('Option'), head('Final within', 'num'), head('Readings a second', 'num'), head('EUR a year', 'num'), head('kWh a year', 'num'))), h('tbody', null, options.map(optionLine))));
}

function optionLine(o) {
  const out = o.out ?? [];
  const cell = (name, r, unit = (n) => sharp(n)) => (r?.high > 0 ? h('td', { class: 'num', 'data-name': name }, spread(r, unit)) : h('td', { class: 'num none' }, '–'));
  return h('tr', { class: out.length ? 'out' : null }, h('td', null, h('span', { class: `tag ${out.length ? 'out' : ''}` }, o.tag)),
    h('th', { scope: 'row' }, h('span', { class: 'm-name' }, h('span', { class: 'strong' }, o.name), out.length > 0 && h('span', { class: `pill ${o.unmeasured ? 'warn' : 'bad'}` }, o.unmeasured ? 'Not measured' : 'Out')),
      settings(o.point), out.length > 0 && h('ul', null, out.map((w) => h('li', null, w))),
      o.notes?.length > 0 && h('details', null, h('summary', null, 'Conditions and sources'), h('ul', null, o.notes.map((n) => h('li', null, n)))), partsOf(o.year)),
    cell('Final within', o.figures?.commit_p99_ms, ms), cell('Readings a second', o.figures?.capacity_per_s), cell('EUR a year', o.year?.eur), cell('kWh a year', o.year?.kwh));
}

const settings = (p) => p && h('span', { class: 'b-note quiet' }, `${plural(p.nodes, 'member')}, segments of up to ${count(p.segment)} after ${ms(p.linger_ms)}, signatures checked by ${p.verify === 'gateway' ? 'gateways and by sample' : 'all'}`);

function partsOf(year) {
  if (!year?.parts?.length) return null;
  return h('details', null, h('summary', null, 'What a year is made of'), h('ul', null, year.parts.map((p) => h('li', null, `${p.what}: ${spread(p.eur, euro)}${p.kwh.high > 0 ? `, ${spread(p.kwh, kwh)}` : ''}${p.fixed ? ', whatever the settings' : ''}`, p.source && h('span', { class: 'b-note quiet' }, p.source)))));
}

function classesCard(first) {
  if (!first.classes?.length) return null;
  return card('classes', 'What the machines do', h('ul', { class: 'cases' }, first.classes.map((c) => h('li', null, h('h3', null, c.class),
    h('p', null, `${c.suite === 'none' ? 'Signs nothing: nobody can check who sent it' : `Signs with ${suiteName(c.suite)}`}, reports every ${time(c.every_s)} with ${plural(c.readings, 'reading')}, ${c.via === 'gateway' ? 'through a gateway' : 'directly'}.`),
    h('p', { class: 'quiet' }, `${energyWords(c)}${sentence(c.because)}`)))));
}

function energyWords(c) {
  const battery = c.battery_days?.high > 0 ? `Its battery lasts ${spread(c.battery_days, days)}. ` : '';
  return c.uj_a_day?.high > 0 ? `${battery}Signing and sending take ${spread(c.uj_a_day, joules)} a day. ` : battery;
}

function configCard(a) {
  if (!a.config) return a.next?.length > 0 && card('config', 'To measure what is missing', commands(a.next));
  const told = h('p', { class: 'quiet', role: 'status' });
  const save = () => { told.textContent = `Saved as ${saveAs(new Blob([a.config], { type: 'application/yaml' }), 'node.yaml')}.`; };
  return card('config', 'To set it up', h('pre', { tabindex: '0', role: 'region', 'aria-label': 'Configuration' }, a.config),
    h('p', { class: 'buttons' }, h('button', { type: 'button', class: 'main', onclick: save }, 'Download node.yaml'), copyButton('Copy', () => a.config)), told,
    a.next?.length > 0 && [h('h3', null, 'And then'), commands(a.next)]);
}

const commands = (all) => h('pre', { tabindex: '0', role: 'region', 'aria-label': 'Commands' }, all.join('\n'));

function restCard(a, first) {
  const r = a.rows;
  const near = first.figures?.nearest ?? [];
  return card('rests', 'What it rests on',
    r.rows > 0 && h('p', null, `${plural(r.rows, 'measurement')} of ${plural(r.points, 'setting')}${r.from ? `, from ${when(Date.parse(r.from))}` : ''}${r.commit ? `, of version ${r.commit}` : ''}${r.machine ? `, on ${r.machine}` : ''}. A range holds nine of ten.`),
    near.length > 0 && h('details', null, h('summary', null, 'The nearest that were measured'), list(near, (n) => `${n.engine}, ${plural(n.nodes, 'member')}, ${n.rate ? `${count(n.rate)} reports a second` : 'as fast as it goes'} with ${plural(n.readings, 'reading')}, ${n.suites}, round trip ${ms(n.rtt_ms)}, linger ${ms(n.linger_ms)}: ${n.distance ? `at distance ${sharp(n.distance, 2)}` : 'this very setting'}, measured ${plural(n.rows, 'time')}`)),
    a.assumed?.length > 0 && [h('h3', null, 'Assumed beside what was measured'), list(a.assumed, (s) => s)],
    a.silent?.length > 0 && [h('h3', null, 'Nothing is said of'), list(a.silent, (s) => s)]);
}

const listed = (names) => { const all = [...new Set(names)]; return all.length < 2 ? all.join('') : `${all.slice(0, -1).join(', ')} and ${all.at(-1)}`; };
const sharp = (n, digits = 3) => new Intl.NumberFormat(undefined, { maximumSignificantDigits: digits }).format(n);
const ms = (n) => (n >= 1000 ? `${sharp(n / 1000)} s` : `${sharp(n)} ms`);
const euro = (n) => `€${sharp(n)}`;
const kwh = (n) => `${sharp(n)} kWh`;
const perSecond = (n) => `${sharp(n)} a second`;
const days = (n) => (n > 730 ? `${sharp(n / 365, 2)} years` : `${sharp(n, 2)} days`);
const joules = (uj) => (uj >= 1e6 ? `${sharp(uj / 1e6, 2)} J` : `${sharp(uj / 1000, 2)} mJ`);
const time = (s) => (s < 90 ? `${sharp(s, 2)} s` : s < 5400 ? `${sharp(s / 60, 2)} min` : s < 129_600 ? `${sharp(s / 3600, 2)} h` : `${sharp(s / 86_400, 2)} days`);

const sentence = (text) => (text ? `${text[0].toUpperCase()}${text.slice(1).replace(/\.$/, '')}.` : '');

// spread writes a range, and a figure that is certain alone.
function spread(r, unit) {
  const [low, high] = [unit(r.low), unit(r.high)];
  const of = / .*/.exec(high)?.[0] ?? '';
  return low === high ? low : `${of && low.endsWith(of) ? low.slice(0, -of.length) : low} to ${high}`;
}
