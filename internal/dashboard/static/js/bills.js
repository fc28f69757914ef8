// Bills: the list, and one bill as a person wants it. Every figure comes from the node as text and is only shown here.

import { budgetsCard, outlookCard } from './ahead.js';
import { get, post } from './api.js';
import { disputeEntry, tabs } from './cases.js';
import { copyButton, fill, h, keyed, say } from './dom.js';
import { count, decimal, money, period, periodDays, plural, price, quantity, shift, unitName, when, zoneName } from './format.js';
import { every } from './live.js';
import { takeCopy, takeHome } from './takehome.js';
import { causeWords, lineName, qualityName } from './words.js';

const pageSize = 100;

export function billsPage(app) {
  const list = h('tbody');
  const kept = new Map();
  const problem = h('div');
  const found = h('p', { class: 'quiet', role: 'status' });
  const search = h('input', { id: 'find', type: 'search', placeholder: 'Number, seller or buyer', oninput: () => draw() });
  const more = h('button', { type: 'button', hidden: true, onclick: () => { limit += pageSize; draw(); } }, 'Show more');
  let limit = pageSize;
  let invoices = [];
  let names = new Map();
  const budgets = budgetsCard();

  const load = every(3000, () => app.guard(async () => {
    const [bills, parties] = await Promise.all([get('/invoices'), get('/parties')]);
    invoices = (bills.invoices ?? []).sort((a, b) => b.issued_ms - a.issued_ms || b.number.localeCompare(a.number, undefined, { numeric: true }));
    names = namesOf(parties);
    draw();
  }, problem));

  function draw() {
    const words = search.value.toLowerCase().split(/\s+/).filter(Boolean);
    const wanted = invoices.filter((b) => {
      const text = [b.number, b.seller, b.buyer, names.get(b.seller), names.get(b.buyer)].join(' ').toLowerCase();
      return words.every((w) => text.includes(w));
    });
    keyed(list, kept, wanted.slice(0, limit), (b) => b.number, (b) => row(b));
    more.hidden = wanted.length <= limit;
    say(found, invoices.length ? (wanted.length === invoices.length ? plural(invoices.length, 'bill') : `${count(wanted.length)} of ${plural(invoices.length, 'bill')}`)
      : 'No bill is written yet. "lamppost invoice" writes one.');
  }
  function row(b) {
    const buyer = h('td', { 'data-name': 'To' });
    const seller = h('td', { 'data-name': 'From', class: 'wide-only' });
    const note = h('span', { class: 'quiet b-note' });
    return {
      el: h('tr', null, h('th', { scope: 'row' }, h('a', { href: `#/bill/${encodeURIComponent(b.number)}` }, b.number), note), buyer, seller,
        h('td', null, periodDays(b.from_ms, b.to_ms)), h('td', { class: 'num strong' }, money(b.due, b.currency))),
      update() {
        say(buyer, names.get(b.buyer) || b.buyer);
        say(seller, names.get(b.seller) || b.seller);
        say(note, [b.corrects && `replaces ${b.corrects}`, b.replaced_by && `replaced by ${b.replaced_by}`].filter(Boolean).join(', '));
      },
    };
  }

  const el = h('div', { class: 'page' }, tabs('bills'), h('div', { class: 'head' }, h('h1', null, 'Bills'), found),
    h('p', { class: 'lead' }, 'A bill is computed from signed meter readings by a published tariff. It is never edited, and anyone it concerns can check every line of it without trusting this node.'),
    h('form', { class: 'filters', role: 'search', onsubmit: (e) => e.preventDefault() }, h('div', { class: 'field' }, h('label', { for: 'find' }, 'Find'), search)),
    problem, budgets.card,
    h('div', { class: 'card flush' }, h('table', { class: 'bills' }, h('thead', null, h('tr', null, h('th', { scope: 'col' }, 'Number'), h('th', { scope: 'col' }, 'To'),
      h('th', { scope: 'col', class: 'wide-only' }, 'From'), h('th', { scope: 'col' }, 'Period'), h('th', { scope: 'col', class: 'num' }, 'Due'))), list)), more);
  return { title: 'Bills', el, start: () => { budgets.load().catch(() => {}); load(); }, changed: load }; // bills stand without budgets
}

const namesOf = (answer) => new Map((answer.parties ?? []).map((p) => [p.id, p.name]));

export function billPage(app, number) {
  const problem = h('div');
  const place = h('div', null, h('p', { class: 'quiet' }, 'Fetching the bill …'));
  const el = h('div', { class: 'page' },
    h('nav', { class: 'crumbs', 'aria-label': 'Where you are' }, h('a', { href: '#/bills' }, 'Bills'), h('span', { 'aria-hidden': 'true' }, '/'), h('span', { 'aria-current': 'page' }, number)),
    problem, place);
  return {
    title: `Bill ${number}`, el,
    start: () => app.guard(async () => {
      const [bill, parties] = await Promise.all([get(`/invoices/${encodeURIComponent(number)}`), get('/parties')]);
      const where = await placeOf(bill);
      const names = namesOf(parties);
      const name = (id, given) => given || names.get(id) || id;
      fill(place, paper(bill, name(bill.seller, bill.seller_name), name(bill.buyer, bill.buyer_name)), outlookCard(bill.buyer), copyCard(bill), checkCard(bill, where), disputeCard(app, bill));
    }, problem),
  };
}

// placeOf finds where in the log a bill stands: in the bill itself, or in the list.
async function placeOf(bill) {
  if (bill.height > 0) return bill;
  const list = await get(`/invoices?buyer=${encodeURIComponent(bill.buyer)}&seller=${encodeURIComponent(bill.seller)}`);
  return (list.invoices ?? []).find((b) => b.number === bill.number) ?? null;
}

function paper(bill, seller, buyer) {
  const supplies = bill.supplies ?? [];
  const estimated = supplies.some((s) => s.lines.some((l) => l.estimated));
  return h('article', { class: 'card paper', 'aria-labelledby': 'bill-h' },
    h('header', null,
      h('div', null, h('p', { class: 'quiet' }, 'Bill'), h('h1', { id: 'bill-h' }, bill.number)),
      h('div', { class: 'sum' }, h('p', { class: 'quiet' }, bill.corrects ? dueName(bill) : 'Total'), h('p', { class: 'figure', id: 'bill-total' }, money(claimed(bill), bill.currency)))),
    bill.corrects && h('p', { class: 'note', id: 'bill-corrects' }, 'It replaces bill ', h('a', { href: `#/bill/${encodeURIComponent(bill.corrects.number)}` }, bill.corrects.number),
      `, which came to ${money(bill.corrects.total, bill.currency)}, because ${causeWords(bill.corrects.cause)}. What is due is the difference.`),
    bill.replaced_by && h('p', { class: 'note warn', id: 'bill-replaced' }, 'It was replaced by bill ', h('a', { href: `#/bill/${encodeURIComponent(bill.replaced_by)}` }, bill.replaced_by), ', which claims the difference.'),
    h('dl', { class: 'facts' }, fact('From', seller, seller === bill.seller ? '' : bill.seller), fact('To', buyer, buyer === bill.buyer ? '' : bill.buyer),
      fact('For', period(bill.from_ms, bill.to_ms), zoneName(bill.from_ms)), fact('Written', when(bill.issued_ms))),
    estimated && h('p', { class: 'note warn' }, 'Lines marked “estimated” rest on a reading that was estimated. They are provisional and are put right by a correction, never by changing this bill.'),
    supplies.map((s) => supply(s, bill)),
    totals(bill));
}

const dueName = (bill) => (bill.due.startsWith('-') ? 'Credited' : 'Still due');
const claimed = (bill) => (bill.corrects ? bill.due.replace('-', '') : bill.due);

function fact(name, text, more) {
  return h('div', null, h('dt', null, name), h('dd', null, text, more && h('span', { class: 'quiet' }, more)));
}

// A supply under its own period: it is shorter than the bill where a meter was exchanged, or an agreement began or ended.
function supply(s, bill) {
  const first = s.edges?.[0];
  const last = s.edges?.at(-1);
  return h('section', { class: 'supply' },
    h('h2', null, s.place || s.point || s.device || `Channel ${s.channel}`),
    s.channel ? h('p', null, `Promised on channel ${s.channel}, ${period(s.from_ms, s.to_ms)} · tariff ${s.tariff}, version ${s.version}`)
      : s.session ? h('p', null, `Session ${s.session}, ${period(s.from_ms, s.to_ms)}`)
        : (s.from_ms !== bill.from_ms || s.to_ms !== bill.to_ms) && h('p', null, period(s.from_ms, s.to_ms)),
    !s.channel && h('p', { class: 'quiet' }, h('a', { href: `#/point/${encodeURIComponent(s.point)}` }, s.point), ` · meter ${s.device}, ${s.register} · tariff ${s.tariff}, version ${s.version}`),
    first && h('p', { class: 'meter' }, h('span', null, h('span', { class: 'quiet' }, 'Opening '), h('strong', null, quantity(first.value, s.unit)), h('span', { class: 'quiet' }, rough(first))),
      h('span', { 'aria-hidden': 'true' }, ' → '), h('span', null, h('span', { class: 'quiet' }, 'closing '), h('strong', null, quantity(last.value, s.unit)), h('span', { class: 'quiet' }, rough(last)))),
    h('table', { class: 'lines' }, h('thead', null, h('tr', null, h('th', { scope: 'col' }, 'Line'), h('th', { scope: 'col', class: 'num' }, 'Quantity'), h('th', { scope: 'col', class: 'num' }, 'Price'), h('th', { scope: 'col', class: 'num' }, 'Amount'))),
      h('tbody', null, s.lines.map((l) => line(s, l, bill.currency)))),
    s.edges?.length > 2 && h('details', null, h('summary', null, `The ${s.edges.length} meter readings this rests on`),
      h('table', null, h('thead', null, h('tr', null, h('th', { scope: 'col' }, 'Time'), h('th', { scope: 'col', class: 'num' }, 'Register'), h('th', { scope: 'col' }, 'Proof'))),
        h('tbody', null, s.edges.map((e) => h('tr', null, h('th', { scope: 'row' }, when(e.time_ms)), h('td', { class: 'num' }, `${decimal(e.value)} ${unitName(s.unit)}${rough(e)}`),
          h('td', null, e.source?.height > 0 && h('a', { href: `#/log/${e.source.height}/${e.source.tx}` }, `block ${count(e.source.height)}`))))))));
}

function rough(edge) {
  const q = edge.estimated ? 'estimated' : qualityName(edge.quality);
  return q === 'measured' ? '' : ` (${q})`;
}

function line(s, l, currency) {
  const [amountOf, each] = counted(s, l, currency);
  return h('tr', null, h('th', { scope: 'row' }, lineName(l.band), l.block > 0 && `, block ${l.block}`, l.estimated && h('span', { class: 'pill warn' }, 'estimated')),
    h('td', { class: 'num' }, amountOf), h('td', { class: 'num times' }, each), h('td', { class: 'num strong' }, money(l.amount, currency)));
}

// counted says of what a line is and what one of it costs.
function counted(s, l, currency) {
  const cost = price(l.price, currency);
  const used = `${decimal(shift(l.quantity, -(s.scale ?? 0)))} ${unitName(s.per_unit)}`;
  switch (l.band) {
    case 'capacity': return [`${used} an hour, ${plural(l.days ?? 0, 'day')}`, `${cost} / day`];
    case 'session-start': case 'vouchers': case 'minimum': case 'maximum': return ['', cost];
    case 'series': return [used, 'changing'];
    default:
  }
  if (l.minutes > 0) return [plural(l.minutes, 'minute'), `${cost} / minute`];
  if (l.days > 0 || l.band === 'standing') return [plural(l.days ?? 0, 'day'), `${cost} / day`];
  return [used, `${cost} / ${unitName(s.per_unit)}`];
}

function totals(bill) {
  const row = (name, amount, kind) => h('tr', { class: kind }, h('th', { scope: 'row' }, name), h('td', { class: 'num' }, money(amount, bill.currency)));
  return h('table', { class: 'totals' }, h('caption', { class: 'sr' }, 'Sum'), h('tbody', null, row('Net', bill.net),
    (bill.tax ?? []).map((t) => row(`Tax ${decimal(shift(String(t.basis_points), -2).replace(/\.?0+$/, ''))} % on ${money(t.base, bill.currency)}`, t.amount)),
    row('Total', bill.total, bill.corrects ? '' : 'grand'),
    bill.corrects && [row(`Less bill ${bill.corrects.number}`, `-${bill.corrects.total}`.replace('--', '')), row(dueName(bill), claimed(bill), 'grand')]));
}

// disputeCard lists the disputes about a bill and opens another.
function disputeCard(app, bill) {
  const list = h('ul', { class: 'cases' });
  const problem = h('div', { role: 'alert' });
  const id = h('input', { id: 'dispute-id', required: true, maxlength: '32', autocomplete: 'off', value: `dispute-${bill.number}` });
  const line = h('select', { id: 'dispute-line' }, h('option', { value: '0' }, 'All of it'),
    (bill.supplies ?? []).flatMap((s) => s.lines.map((l) => h('option', { value: String(l.n) }, `Line ${l.n}: ${lineName(l.band)}, ${money(l.amount, bill.currency)}`))));
  const reason = h('input', { id: 'dispute-reason', required: true, maxlength: '200', autocomplete: 'off' });
  const button = h('button', { type: 'submit', class: 'main small' }, 'Open the dispute');
  const field = (name, input) => h('div', { class: 'field' }, h('label', { for: input.id }, name), input);
  const form = h('details', null, h('summary', null, 'Dispute this bill'), h('form', { class: 'small-form', onsubmit: submit },
    field('What is wrong? The reason stays on record.', reason), field('About', line), field('Name of the dispute', id), problem, button));
  form.hidden = Boolean(bill.replaced_by);

  const load = () => app.guard(async () => {
    const { disputes = [] } = await get('/disputes');
    fill(list, disputes.filter((d) => d.invoice === bill.number).map((d) => disputeEntry(d)));
  }, problem);
  async function submit(event) {
    event.preventDefault();
    button.disabled = true;
    await app.guard(async () => {
      await post('/disputes', { id: id.value.trim(), invoice: bill.number, line: Number(line.value), state: 1, reason: reason.value.trim(), seller: bill.seller });
      form.open = false;
      await load();
    }, problem);
    button.disabled = false;
  }
  load();
  return h('section', { class: 'card no-print', 'aria-labelledby': 'dispute-h' }, h('h2', { id: 'dispute-h' }, 'If it is wrong'),
    h('p', null, 'A dispute changes no account. The seller must answer within 30 days, and until it is settled everything the devices reported for this bill is kept.'), list, form);
}

function copyCard(bill) {
  return h('section', { class: 'card no-print', 'aria-labelledby': 'copy-h' }, h('h2', { id: 'copy-h' }, 'A copy to read, print or book'),
    h('p', null, 'The same bill as a document, in the reader’s language. It proves nothing by itself: the statement below does.'),
    takeCopy(bill.buyer, bill.number));
}

const command = 'lamppost verify --pin network.pin statement.json';

function checkCard(bill, where) {
  const path = () => `/api/statements/${encodeURIComponent(bill.buyer)}`;
  return h('section', { class: 'card no-print', 'aria-labelledby': 'check-h' }, h('h2', { id: 'check-h' }, 'Do not take our word for it'),
    h('p', null, 'The statement holds every bill of this buyer with the signed readings, the tariff and the proof that all of it is in the log. Your browser computes every line again, on a page that asks no server for anything; so does the command, on your own machine:'),
    takeHome(path, 'statement.json', 'Download the statement that verifies itself'),
    h('div', { class: 'command' }, h('code', null, command), copyButton('Copy', () => command)),
    h('p', { class: 'quiet' }, h('a', { href: '/network.pin', download: 'network.pin' }, 'network.pin'), ' says whose signatures count. Get it in another way than the bill: from the contract, a notice board, a friend.'),
    h('p', { class: 'buttons' }, where && h('a', { class: 'button', href: `#/log/${where.height}/${where.index}` }, 'Find this bill in the log'),
      h('button', { type: 'button', onclick: () => print() }, 'Print')));
}
