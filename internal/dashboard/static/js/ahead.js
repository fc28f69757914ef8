// What no bill says yet: budgets, the running month, tariffs that would have been cheaper. Estimates of the node; nothing proves them.

import { get } from './api.js';
import { fill, h } from './dom.js';
import { count, money, plural, when } from './format.js';

// A month and a day are those of the party's clock, whatever the reader's is.
const monthName = new Intl.DateTimeFormat(undefined, { month: 'long', year: 'numeric', timeZone: 'UTC' });
const dayName = new Intl.DateTimeFormat(undefined, { dateStyle: 'long', timeZone: 'UTC' });
const aDay = 24 * 3600 * 1000;
const month = (fromMS) => monthName.format(fromMS + aDay);
const day = (text) => dayName.format(new Date(`${text}T00:00:00Z`));

// notice says the gravest threshold that a budget crossed, and how grave it is.
function notice(b) {
  switch ((b.notices ?? []).at(-1)) {
    case 'exceeded': return [b.over_day ? `It was exceeded on ${day(b.over_day)}.` : 'It is exceeded.', 'bad'];
    case 'expected': return [`It is expected to be exceeded on ${day(b.over_day)}.`, 'warn'];
    case 'nearly': return ['It is nearly used.', 'warn'];
    default: return ['', ''];
  }
}

const used = (b) => `${count(b.used_percent)} % used after ${count(b.time_percent)} % of the month: ${money(b.used, b.currency)} of ${money(b.amount, b.currency)}`;
const bar = (b) => h('progress', { max: 100, value: Math.min(100, b.used_percent), 'aria-label': `Budget in ${b.currency}, used` });

function budget(b) {
  const [words, kind] = notice(b);
  return [h('p', { class: 'strong' }, `${used(b)}.`), bar(b), words && h('p', { class: `note ${kind}` }, words)];
}

const missing = {
  history: 'Too little is recorded to say what it will come to: it takes four weeks without a gap.',
  readings: 'Nothing was heard of a meter for days, or what it says cannot be priced: so nothing is expected.',
  terms: 'No price is known for part of the month: so nothing is expected.',
};

function forecast(m) {
  const e = m.expected;
  return [h('h3', null, month(m.from_ms)),
    e && h('p', { class: 'strong' }, e.low === e.high ? `About ${money(e.amount, m.currency)}` : `About ${money(e.amount, m.currency)}, between ${money(e.low, m.currency)} and ${money(e.high, m.currency)}`),
    h('p', null, `So far ${money(m.so_far, m.currency)}, until ${when(m.until_ms)}. `,
      e ? `The rest is priced as if it went like each of the last ${plural(e.weeks, 'week')}: the amount is the mean of the latest four, the range goes from the cheapest to the dearest.` : missing[m.missing] ?? '')];
}

function comparison(c) {
  const place = c.place || c.point;
  const about = `${place}, ${month(c.from_ms)} to ${month(c.to_ms - 2 * aDay)}`;
  if (!c.compared) return null;
  if (!c.cheaper.length) return h('li', null, `${about}: ${plural(c.compared, 'other tariff')} would not have been cheaper.`);
  return c.cheaper.map((x) => h('li', null, `${about}: ${money(x.less, c.currency)} less under `, h('strong', null, x.tariff), `, ${money(x.total, c.currency)} instead of ${money(c.total, c.currency)}.`));
}

// outlookCard shows what a buyer may expect, once the node has told it, and nothing where there is nothing to say.
export function outlookCard(buyer) {
  const card = h('section', { class: 'card ahead no-print', 'aria-labelledby': 'ahead-h', hidden: true });
  get(`/outlook/${encodeURIComponent(buyer)}`).then((o) => {
    const cheaper = (o.tariffs ?? []).map(comparison).filter(Boolean);
    if (!o.months?.length && !o.budgets?.length && !cheaper.length) return;
    fill(card, h('h2', { id: 'ahead-h' }, 'Looking ahead'),
      h('p', { class: 'quiet' }, `Estimates of ${when(o.at_ms)}, with tax. They are not part of the bill, and nothing proves them.`),
      o.budgets.map(budget), o.months.map(forecast),
      cheaper.length > 0 && [h('h3', null, 'What was used, at today’s prices of other tariffs'), h('ul', { class: 'offers' }, cheaper)]);
    card.hidden = false;
  }).catch(() => { card.remove(); }); // the bill stands without it
  return card;
}

// budgetsCard lists the budgets that crossed a threshold, by party.
export function budgetsCard() {
  const card = h('section', { class: 'card', 'aria-labelledby': 'budgets-h', hidden: true });
  async function load() {
    const all = [];
    const { parties = [] } = await get('/parties');
    const names = new Map(parties.map((p) => [p.id, p.name]));
    for (let next = ''; all.length < 1000;) {
      const page = await get(`/budgets?after=${encodeURIComponent(next)}`);
      all.push(...page.budgets);
      if (!(next = page.next)) break;
    }
    const crossed = all.filter((b) => b.notices.length);
    card.hidden = !crossed.length;
    fill(card, h('h2', { id: 'budgets-h' }, 'Budgets'), h('ul', { class: 'offers' }, crossed.map((b) => h('li', null, h('strong', null, names.get(b.party) || b.party), `: ${used(b)}. ${notice(b)[0]}`))));
  }
  return { card, load };
}
