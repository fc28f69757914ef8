// A file on paper: a statement's bills line by line, a receipt, a report, each with what was found of it. What stands in the
// file is shown as it stands there, true or not; it becomes text and nothing else.

import { fill, h } from './dom.js';
import { count, decimal, plural, price, unitName } from './format.js';
import { codeWords, lineName } from './words.js';

const mostLines = 5000; // shown of one file

const list = (x) => (Array.isArray(x) ? x : []);
const object = (x) => (x && typeof x === 'object' && !Array.isArray(x) ? x : {});
const text = (x) => (typeof x === 'string' ? x : x === undefined || x === null ? '' : JSON.stringify(x));
const cash = (amount, currency) => {
  const shown = price(text(amount), currency);
  return shown === '–' ? text(amount) : shown;
};
const stamp = (x) => h('span', { class: 'whole' }, text(x)); // never broken within
const whole = (x) => (Number.isSafeInteger(x) ? count(x) : text(x));
const nameOf = (x) => text(object(x).name) || text(object(x).id);

// A findings says of every place of the file what was found: its state and the faults there.
export class Findings {
  constructor(answer, how) {
    this.answer = answer;
    this.state = answer.proven ? (how === 'given' ? 'ok' : 'same') : 'open';
  }

  at(path) {
    return (this.answer.faults ?? []).filter((f) => f.path === path || f.path.startsWith(`${path}/`));
  }

  stateOf(path) {
    return this.at(path).length ? 'bad' : this.state;
  }

  // wrong marks what stands at a path itself if it is faulty.
  wrong(path) {
    return this.at(path).length ? 'wrong' : false;
  }
}

const marks = {
  ok: ['✓', 'Holds'], bad: ['✗', 'Does not hold'], same: ['=', 'Agrees with the file’s own proof'], open: ['?', 'Not checked'],
};

export function tick(state) {
  const [sign, words] = marks[state];
  return h('span', { class: `tick ${state}` }, h('span', { 'aria-hidden': 'true' }, sign), h('span', { class: 'sr' }, words));
}

const reasons = (faults) => faults.map((f) => h('p', { class: 'why' }, f.text));

// paper shows a file of any kind.
export function paper(file, findings) {
  const kind = text(file.lamppost);
  if (kind === 'statement/1') {
    return [...list(file.invoices).map((inv, i) => bill(object(inv), `/invoices/${i}`, findings)), file.payments && paid(object(file.payments), '/payments', findings)].filter(Boolean);
  }
  if (file.report) return [report(file, findings)];
  return [transaction(file, findings)];
}

function bill(b, at, found) {
  const currency = text(b.currency);
  const sum = (amount) => cash(amount, currency);
  const lines = list(b.lines);
  const own = found.at(at).filter((f) => !f.path.startsWith(`${at}/lines/`));
  const fact = (term, field, words) => h('div', null, h('dt', null, term), h('dd', { class: found.wrong(`${at}/${field}`) }, words));
  return h('article', { class: 'card paper', 'aria-label': `Bill ${text(b.number)}` },
    h('header', null, h('div', null, h('p', { class: 'quiet' }, 'Bill'), h('h2', { class: `figure ${found.wrong(`${at}/number`) || ''}` }, text(b.number))),
      h('div', { class: 'sum' }, h('p', { class: 'quiet' }, 'Total'), h('p', { class: `figure ${found.wrong(`${at}/total`) || ''}` }, sum(b.total)))),
    own.length > 0 && h('div', null, reasons(own)),
    h('dl', { class: 'facts' }, fact('From', 'seller', nameOf(b.seller)), fact('To', 'buyer', nameOf(b.buyer)),
      fact('Period', 'from', [stamp(b.from), ' – ', stamp(b.to)]), fact('Issued', 'issued', text(b.issued))),
    h('table', { class: 'checked' }, h('caption', { class: 'sr' }, `Lines of bill ${text(b.number)}, each with whether it holds`),
      h('thead', null, h('tr', null, h('th', { scope: 'col' }, h('span', { class: 'sr' }, 'Check')), h('th', { scope: 'col' }, 'Line'), h('th', { scope: 'col', class: 'num' }, 'Quantity'),
        h('th', { scope: 'col', class: 'num' }, 'Price'), h('th', { scope: 'col', class: 'num' }, 'Amount'))),
      h('tbody', null, lines.slice(0, mostLines).map((l, j) => line(object(l), `${at}/lines/${j}`, found, currency)))),
    lines.length > mostLines && h('p', { class: 'note warn' }, `${plural(lines.length - mostLines, 'more line')} were checked and are not shown.`),
    h('table', { class: 'totals' }, h('caption', { class: 'sr' }, 'Sum'), h('tbody', null, total('Net', `${at}/net`, sum(b.net), found),
      list(b.taxes).map(object).map((t, k) => total(`Tax ${text(t.rate)} on ${sum(t.base)}`, `${at}/taxes/${k}`, sum(t.amount), found)), total('Total', `${at}/total`, sum(b.total), found, 'grand'))),
    list(b.tariffs).map(object).map((t, k) => h('p', { class: `quiet ${found.wrong(`${at}/tariffs/${k}`) || ''}` }, `Tariff ${text(t.id)}, version ${text(t.version)}: ${text(t.terms)}.`)));
}

// paid is what contracts paid to and from the party.
function paid(p, at, found) {
  const lines = list(p.lines);
  const col = (name, kind) => h('th', { scope: 'col', class: kind }, name);
  const own = found.at(at).filter((f) => !f.path.startsWith(`${at}/lines/`));
  return h('article', { class: 'card paper', 'aria-label': 'Payments by contracts' },
    h('header', null, h('div', null, h('p', { class: 'quiet' }, 'Beside the bills'), h('h2', null, 'Payments by contracts'))),
    own.length > 0 && h('div', null, reasons(own)),
    h('p', { class: 'quiet' }, 'As the log has them. The programs are not run again in this page: lamppost verify does that.'),
    h('table', { class: 'checked' }, h('caption', { class: 'sr' }, 'Payments by contracts, each with whether it holds'),
      h('thead', null, h('tr', null, col(h('span', { class: 'sr' }, 'Check')), col('Payment'), col('From'), col('To'), col('Amount', 'num'))),
      h('tbody', null, lines.slice(0, mostLines).map((l, j) => payment(object(l), `${at}/lines/${j}`, found)))),
    lines.length > mostLines && h('p', { class: 'note warn' }, `${plural(lines.length - mostLines, 'more payment')} were checked and are not shown.`),
    h('table', { class: 'totals' }, h('caption', { class: 'sr' }, 'Sums'), h('tbody', null, list(p.sums).map(object).map((x, k) => ['received', 'paid', 'balance'].map((field) => total(
      { received: 'Received', paid: 'Paid', balance: 'Received less paid' }[field], `${at}/sums/${k}/${field}`, cash(x[field], text(x.currency)), found, field === 'balance' ? 'grand' : undefined))))));
}

function payment(l, at, found) {
  const wrong = (field) => found.wrong(`${at}/${field}`);
  const why = [l.invoice && `bill ${text(l.invoice)}`, l.session && `session ${text(l.session)}`, !l.invoice && !l.session && text(l.event)].filter(Boolean).join(' · ');
  return h('tr', { class: found.stateOf(at), id: placeId(at) },
    h('td', { class: 'tick-cell' }, tick(found.stateOf(at))),
    h('th', { scope: 'row' }, h('span', { class: 'row-name' }, `${text(l.n)}. ${[why, text(l.note)].filter(Boolean).join(': ')}`),
      h('span', { class: 'quiet where' }, `${text(l.contract)}, version ${text(l.version)}, run ${text(l.run)} · ${text(l.time)}`), reasons(found.at(at))),
    h('td', { class: wrong('from') }, nameOf(l.from)), h('td', { class: wrong('to') }, nameOf(l.to)),
    h('td', { class: 'num strong' }, h('span', { class: wrong('amount') }, cash(l.amount, text(l.currency)))));
}

function total(name, path, amount, found, kind) {
  return h('tr', { class: kind }, h('th', { scope: 'row' }, name), h('td', { class: 'num' }, h('span', { class: found.wrong(path) }, amount)), h('td', null, tick(found.stateOf(path))));
}

function line(l, at, found, currency) {
  const faults = found.at(at);
  const state = found.stateOf(at);
  const per = l.price === undefined ? 'changing' : `${cash(l.price, currency)} / ${unitName(text(l.unit))}`;
  const where = [text(l.place), text(l.device), text(l.register)].filter(Boolean).join(' · ');
  const cell = (field, words, kind = '') => h('td', { class: `num ${kind}` }, h('span', { class: found.wrong(`${at}/${field}`) }, words));
  return h('tr', { class: state, id: placeId(at) },
    h('td', { class: 'tick-cell' }, tick(state)),
    h('th', { scope: 'row' }, h('span', { class: 'row-name' }, `${text(l.n)}. ${lineName(text(l.band))}`), l.estimated === true && h('span', { class: 'pill warn' }, 'estimated'),
      h('span', { class: 'quiet where' }, where), registers(l, at, found), intervals(l, at, found, currency), reasons(faults)),
    cell('quantity', amountOf(l.quantity, l.unit)), cell('price', per, 'times'), cell('amount', cash(l.amount, currency), 'strong'));
}

const amountOf = (quantity, unit) => `${decimal(text(quantity))} ${text(unit) === 'day' && text(quantity) !== '1' ? 'days' : unitName(text(unit))}`;

// registers are the two readings that a line is the difference of.
function registers(l, at, found) {
  const row = (term, field) => {
    const v = object(l[field]);
    if (l[field] === undefined) return null;
    const rough = text(v.quality) === 'measured' ? '' : `, ${text(v.quality)}`;
    return h('div', null, h('dt', null, term), h('dd', { class: found.wrong(`${at}/${field}`) }, h('strong', null, `${decimal(text(v.value))} ${unitName(text(v.unit))}`), ' ',
      h('span', { class: 'quiet' }, stamp(v.time), ', ', h('span', { class: 'whole' }, text(v.assurance) || 'not vouched for'), rough)));
  };
  return h('dl', { class: 'registers' }, row('from', 'opening'), row('to', 'closing'));
}

// intervals are built when they are looked at: a month of a tariff by time of day has hundreds.
function intervals(l, at, found, currency) {
  const all = list(l.intervals).map(object).slice(0, mostLines);
  if (!all.length) return null;
  const col = (name, kind) => h('th', { scope: 'col', class: kind }, name);
  const row = (x, k) => h('tr', { class: found.wrong(`${at}/intervals/${k}`) }, h('td', null, text(x.from)), h('td', { class: 'num' }, decimal(text(x.opening))),
    h('td', null, text(x.to)), h('td', { class: 'num' }, decimal(text(x.closing))), x.price !== undefined && h('td', { class: 'num' }, cash(x.price, currency)));
  const place = h('div');
  const show = () => place.firstChild || fill(place, h('table', { class: 'stretches' },
    h('thead', null, h('tr', null, col('From'), col('Register', 'num'), col('To'), col('Register', 'num'), all[0].price !== undefined && col('Price', 'num'))), h('tbody', null, all.map(row))));
  const wrong = found.at(`${at}/intervals`).length > 0;
  if (wrong) show();
  return h('details', { open: wrong, ontoggle: show }, h('summary', null, `The ${count(all.length)} stretches of time in which this price held`), place);
}

// placeId is the id of the element that shows a line, for links.
export const placeId = (path) => `at${path.replaceAll('/', '-')}`;

const became = (file) => [codeWords(text(file.outcome)), text(file.reason)].filter(Boolean).join(': ');

function facts(found, pairs) {
  return h('dl', { class: 'facts' }, pairs.filter(([, , words]) => words).map(([term, path, words]) => h('div', null, h('dt', null, term),
    h('dd', { class: found.wrong(path) }, words, ' ', found.at(path).length > 0 && tick('bad')))));
}

function report(file, found) {
  const r = object(file.report);
  const loose = text(file.lamppost) === 'report/1';
  const outcome = loose ? [] : [['Outcome', '/outcome', became(file)], ['Block', '/height', [whole(file.height), text(file.time)].filter(Boolean).join(', ')]];
  return h('article', { class: 'card paper', 'aria-label': 'Report' },
    h('header', null, h('div', null, h('p', { class: 'quiet' }, loose ? 'Report' : 'Receipt of a report'), h('h2', { class: 'figure' }, `${nameOf(r.device)}, number ${text(r.number)}`))),
    facts(found, [['Device', '/report/device', [text(object(r.device).id), text(object(r.device).name)].filter(Boolean).join(', ')], ['Vouched for', '/report/assurance', text(r.assurance)],
      ['Received', '/report/received', text(r.received)], ['Gateway', '/report/gateway', text(r.gateway)], ...outcome]),
    others(found, (p) => /^\/report\/(id|epoch|number)/.test(p)),
    h('table', { class: 'readings' }, h('thead', null, h('tr', null, h('th', { scope: 'col' }, h('span', { class: 'sr' }, 'Check')), h('th', { scope: 'col' }, 'Reading'), h('th', { scope: 'col' }, 'Time'),
      h('th', { scope: 'col', class: 'num' }, 'Value'))),
    h('tbody', null, list(r.readings).slice(0, mostLines).map(object).map((x, i) => {
      const at = `/report/readings/${i}`;
      const how = [text(x.kind), text(x.quality)].filter((w) => w && w !== 'measured').join(', ');
      return h('tr', { class: found.stateOf(at), id: placeId(at) }, h('td', { class: 'tick-cell' }, tick(found.stateOf(at))), h('th', { scope: 'row' }, text(x.name), h('span', { class: 'quiet where' }, how), reasons(found.at(at))),
        h('td', null, h('span', { class: found.wrong(`${at}/time`) }, text(x.time))), h('td', { class: 'num strong' }, h('span', { class: found.wrong(`${at}/value`) }, `${decimal(text(x.value))} ${unitName(text(x.unit))}`)));
    }))));
}

const others = (found, mine) => h('div', null, reasons((found.answer.faults ?? []).filter((f) => mine(f.path))));

function transaction(file, found) {
  const t = object(file.transaction);
  return h('article', { class: 'card paper', 'aria-label': 'Receipt' },
    h('header', null, h('div', null, h('p', { class: 'quiet' }, 'Receipt of a transaction'), h('h2', { class: 'figure' }, text(t.type) || 'unknown'))),
    facts(found, [['Signed by', '/transaction/signer', text(t.signer)], ['Outcome', '/outcome', became(file)],
      ['Block', '/height', [whole(file.height), text(file.time)].filter(Boolean).join(', ')], ['Id', '/transaction/id', text(t.id)]]),
    t.body !== undefined && h('pre', { tabindex: '0', class: found.wrong('/transaction/body') }, JSON.stringify(t.body, null, 2)));
}

// checkpointCard tells what the file hangs on.
export function checkpointCard(file, found) {
  const c = object(file.checkpoint);
  const cosigned = list(c.cosigned).map(object);
  return h('section', { class: 'card', 'aria-labelledby': 'hangs-h' }, h('h2', { id: 'hangs-h' }, 'What all of it hangs on'),
    h('p', null, 'The log of network ', h('strong', { class: found.wrong('/network') }, text(file.network)), ' with ', h('strong', { class: found.wrong('/checkpoint/size') }, whole(c.size)), ' entries, signed by ',
      h('strong', { class: found.wrong('/checkpoint/signers') }, list(c.signers).map(text).join(', ')), '.'),
    cosigned.length > 0 && h('ul', { class: found.wrong('/checkpoint/cosigned') }, cosigned.map((x) => h('li', null, `Cosigned by witness ${text(x.witness)} at ${text(x.time)}.`))),
    h('p', { class: found.wrong('/checkpoint/root') }, h('span', { class: 'quiet' }, 'Root '), h('code', null, text(c.root))),
    list(file.notes).map((n) => h('p', { class: 'note warn' }, text(n))));
}

export function fillPaper(place, file, findings) {
  try {
    fill(place, paper(object(file), findings), checkpointCard(object(file), findings));
  } catch {
    fill(place, h('p', { class: 'note bad' }, 'What stands in this file cannot be shown.'));
  }
}
