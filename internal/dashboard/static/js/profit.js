// Devices as profit centres: what each earned and cost, who was paid, and what it may spend.

import { get } from './api.js';
import { tabs } from './cases.js';
import { fill, h, keyed, part, say } from './dom.js';
import { money, monthYear, negative, period, plural, when, zero } from './format.js';
import { every } from './live.js';
import { takeHome } from './takehome.js';

const spendWords = (c) => (c.spending
  ? `May spend ${money(c.spending.limit, c.currency)} until ${when(c.spending.to_ms)}: has spent ${money(c.spending.spent, c.currency)} and holds ${money(c.spending.held, c.currency)}.`
  : 'May spend nothing by itself.');

const kindOf = (amount) => (zero(amount) ? '' : negative(amount) ? 'loss' : 'profit');

export function profitsPage(app) {
  const problem = h('div');
  const found = h('p', { class: 'quiet', role: 'status' });
  const list = h('ul', { class: 'cases' });
  const kept = new Map();
  const load = every(5000, () => app.guard(async () => {
    const { centres = [] } = await get('/centres');
    say(found, centres.length ? `${plural(centres.length, 'device keeps', 'devices keep')} books` : 'No device keeps books yet. "lamppost centre set" makes one a profit centre.');
    keyed(list, kept, centres, (c) => c.device, row);
  }, problem));
  const el = h('div', { class: 'page' }, tabs('profit'), h('div', { class: 'head' }, h('h1', null, 'Profit'), found),
    h('p', { class: 'lead' }, 'A device can keep its own books: what it earns, what its energy, service and wear cost, and who shares in the rest.'),
    problem, h('section', { class: 'card', 'aria-label': 'All devices that keep books' }, list));
  return { title: 'Profit', el, start: load, changed: load };
}

function row(first) {
  const words = h('p');
  const more = h('p', { class: 'quiet' });
  return {
    el: h('li', null, h('div', { class: 'head' }, h('h2', null, h('a', { href: `#/profit/${encodeURIComponent(first.device)}` }, first.name || first.device))), words, more),
    update(c) {
      say(words, c.open ? `${money(c.open.profit, c.currency)} since ${when(c.open.from_ms)}.` : `Closed until ${when(c.closed_ms)}; nothing is known since.`);
      say(more, spendWords(c));
    },
  };
}

export function profitPage(app, id) {
  const problem = h('div');
  const title = h('h1', null, id);
  const facts = h('p', { class: 'quiet' });
  const now = h('div');
  const spend = h('p');
  const shares = h('p');
  const bars = h('div');
  const body = h('tbody');
  const books = h('section', { class: 'card', 'aria-labelledby': 'books-h' }, h('h2', { id: 'books-h' }, 'Its books to keep'),
    h('p', null, 'Every closed period with the proof of each figure. It shows the bills behind the income in full: it is for the owner, and whoever checks for him.'),
    takeHome(() => `/api/centres/${encodeURIComponent(id)}/books`, 'books.json', 'Download them'));
  const load = every(5000, () => app.guard(async () => {
    const c = await get(`/centres/${encodeURIComponent(id)}`);
    say(title, c.name || c.device);
    say(facts, `${c.device} · belongs to ${c.owner} · books closed until ${when(c.closed_ms)}`);
    fill(now, c.open ? [h('p', { class: `figure money ${kindOf(c.open.profit)}`, id: 'profit' }, money(c.open.profit, c.currency)), h('p', null, `since ${when(c.open.from_ms)}, as of ${when(c.open.to_ms)}.`)]
      : h('p', null, 'Nothing is known since its books were closed.'),
    negative(c.loss) && h('p', { class: 'quiet' }, `Losses of ${money(c.loss.replace('-', ''), c.currency)} are made up before anything is paid out.`));
    say(spend, spendWords(c));
    const terms = c.terms.at(-1);
    const whole = terms.shares.reduce((sum, s) => sum + s.parts, 0);
    say(shares, `Shares: ${terms.shares.map((s) => `${s.party} ${s.parts} of ${whole}`).join(', ')}.`);
    const all = [...c.periods, ...(c.open ? [{ ...c.open, isOpen: true }] : [])];
    draw(bars, months(all), c.currency);
    fill(body, all.map((p) => line(p, c.currency)).reverse());
    books.hidden = c.periods.length === 0;
  }, problem));
  const head = (text) => h('th', { scope: 'col', class: 'num' }, text);
  const el = h('div', { class: 'page' },
    h('nav', { class: 'crumbs', 'aria-label': 'Where you are' }, h('a', { href: '#/profit' }, 'Profit'), h('span', { 'aria-hidden': 'true' }, '/'), h('span', { 'aria-current': 'page' }, id)),
    h('header', { class: 'title' }, title, facts), problem,
    h('div', { class: 'split' },
      h('div', { class: 'wide' },
        h('section', { class: 'card', 'aria-labelledby': 'months-h' }, h('h2', { id: 'months-h' }, 'Month by month'), bars),
        h('section', { class: 'card', 'aria-labelledby': 'periods-h' }, h('h2', { id: 'periods-h' }, 'Profit and loss'),
          h('div', { class: 'scroll', tabindex: '0', role: 'region', 'aria-labelledby': 'periods-h' }, h('table', { id: 'periods' }, h('thead', null, h('tr', null, h('th', { scope: 'col' }, 'Period'), head('Income'), head('Bought'), head('Energy'),
            head('Service'), head('Wear'), head('Profit'), h('th', { scope: 'col' }, 'Paid out'))), body)))),
      h('div', { class: 'side' },
        h('section', { class: 'card', 'aria-labelledby': 'now-h' }, h('h2', { id: 'now-h' }, 'So far'), now, spend),
        h('section', { class: 'card', 'aria-labelledby': 'shares-h' }, h('h2', { id: 'shares-h' }, 'Whose it is'), shares), books)));
  return { title: `Profit of ${id}`, el, start: load, changed: load };
}

function line(p, currency) {
  const cell = (amount) => h('td', { class: 'num' }, money(amount, currency));
  const paid = p.isOpen ? 'not closed yet' : p.paid.length ? p.paid.map((x) => `${x.party} ${money(x.amount, currency)}`).join(', ') : 'nothing';
  return h('tr', null, h('th', { scope: 'row' }, period(p.from_ms, p.to_ms)), cell(p.income), cell(p.bought), cell(p.energy), cell(p.service), cell(p.depreciation), cell(p.profit), h('td', null, paid));
}

// months adds up what was earned by the month in which a period ended, the last twelve: for drawing only.
function months(periods) {
  const sums = new Map();
  for (const p of periods) {
    const d = new Date(p.to_ms - 1);
    const key = d.getFullYear() * 12 + d.getMonth();
    const at = sums.get(key) ?? { ms: p.to_ms - 1, sum: 0 };
    at.sum += Number(p.profit);
    sums.set(key, at);
  }
  return [...sums.entries()].sort((a, b) => a[0] - b[0]).slice(-12).map((e) => e[1]);
}

// draw shows a row for each month: its bar on one scale, from zero to the right or, of a loss, to the left.
function draw(el, all, currency) {
  if (!all.length) return fill(el, h('p', { class: 'quiet' }, 'Nothing to draw yet.'));
  const low = Math.min(0, ...all.map((m) => m.sum));
  const scale = 100 / Math.max(Math.max(0, ...all.map((m) => m.sum)) - low, 0.01);
  return fill(el, h('ul', { class: 'months' }, all.map((m) => {
    const svg = part('svg', { viewBox: '0 0 100 10', preserveAspectRatio: 'none', 'aria-hidden': 'true' });
    svg.append(part('rect', { class: m.sum < 0 ? 'loss' : 'gain', x: scale * (Math.min(0, m.sum) - low), y: 0, width: Math.max(0.5, scale * Math.abs(m.sum)), height: 10 }),
      part('line', { x1: scale * -low, x2: scale * -low, y1: 0, y2: 10 }));
    return h('li', null, h('span', null, monthYear(m.ms)), svg, h('span', { class: 'money' }, money(m.sum.toFixed(2), currency)));
  })));
}
