// What goes on around bills: sessions with what is held for them, disputes with who must answer by when, and accounts.

import { file, get, post } from './api.js';
import { fill, h, keyed, say } from './dom.js';
import { money, plural, quantity, when, whenExactly, zero } from './format.js';
import { every } from './live.js';
import { saveAs } from './takehome.js';

const pages = [['bills', 'Bills'], ['sessions', 'Sessions'], ['disputes', 'Disputes'], ['accounts', 'Accounts'], ['profit', 'Profit']];

// tabs lead from each of these pages to the others.
export const tabs = (here) => h('nav', { class: 'tabs', 'aria-label': 'Billing' },
  pages.map(([id, name]) => h('a', { href: `#/${id}`, 'aria-current': id === here ? 'page' : null }, name)));

const billLink = (number) => h('a', { href: `#/bill/${encodeURIComponent(number)}` }, number);
const partyNames = async () => new Map(((await get('/parties')).parties ?? []).map((p) => [p.id, p.name]));

const sessionStates = {
  open: ['ok', 'Running'], settled: ['warn', 'Ended, not billed yet'], billed: ['', 'Billed'], void: ['', 'Not billed'],
};
const sessionOrder = ['open', 'settled', 'billed', 'void'];

export function sessionsPage(app) {
  const problem = h('div');
  const found = h('p', { class: 'quiet', role: 'status' });
  const list = h('ul', { class: 'cases' });
  const kept = new Map();
  const done = h('div', { role: 'status', tabindex: '-1' });
  const load = every(3000, () => app.guard(async () => {
    const { sessions = [] } = await get('/sessions');
    sessions.sort((a, b) => sessionOrder.indexOf(a.state) - sessionOrder.indexOf(b.state) || b.from_ms - a.from_ms);
    const open = sessions.filter((s) => s.state === 'open').length;
    say(found, sessions.length ? `${plural(open, 'session runs', 'sessions run')}, ${plural(sessions.length - open, 'has', 'have')} ended` : 'No session was opened yet. "lamppost session open" opens one.');
    keyed(list, kept, sessions.slice(0, 200), (s) => s.id, (s) => sessionRow(app, s, (words) => {
      fill(done, h('p', { class: 'note ok' }, words));
      done.focus({ preventScroll: true });
      load();
    }));
  }, problem));
  const el = h('div', { class: 'page' }, tabs('sessions'), h('div', { class: 'head' }, h('h1', null, 'Sessions'), found),
    h('p', { class: 'lead' }, 'One use of a device, such as a charge. What it may come to is held of the buyer’s money until it is billed, and it never comes to more.'),
    problem, done, h('section', { class: 'card', 'aria-label': 'All sessions' }, list));
  return { title: 'Sessions', el, start: load, changed: load };
}

function sessionRow(app, first, ended) {
  const state = h('span', { class: 'pill' });
  const words = h('p');
  const more = h('p', { class: 'quiet' });
  const form = endForm(app, first, ended);
  return {
    el: h('li', null, h('div', { class: 'head' }, h('h2', null, first.id), state), words, more, form),
    update(s) {
      const [kind, text] = sessionStates[s.state] ?? ['', s.state];
      say(state, s.overdue ? 'Should have ended' : text);
      state.className = `pill ${s.overdue ? 'bad' : kind}`;
      say(words, `${s.buyer} at ${s.point}, under ${s.tariff} version ${s.version}, for at most ${money(s.limit, s.currency)} before tax. `
        + (zero(s.held) ? '' : `${money(s.held, s.currency)} are held.`));
      fill(more, `From ${when(s.from_ms)} `, s.stop_ms > 0 ? `to ${when(s.stop_ms)}` : `until ${when(s.until_ms)} at the latest`, s.void && `: ${s.void}`,
        s.invoice && [' · ', billLink(s.invoice)]);
      form.hidden = s.state !== 'open';
    },
  };
}

// endForm ends a session with what its readings say, or as nothing.
function endForm(app, s, ended) {
  const id = `void-${s.id}`;
  const reason = h('input', { id, maxlength: '200', autocomplete: 'off' });
  const button = h('button', { type: 'submit', class: 'main small' }, 'End it now');
  const answer = h('div', { role: 'alert' });
  async function submit(event) {
    event.preventDefault();
    button.disabled = true;
    await app.guard(async () => {
      const why = reason.value.trim();
      const made = await post(`/sessions/${encodeURIComponent(s.id)}/settle`, { stop_ms: 0, void: why });
      ended(why ? `Session ${s.id} is not billed, and the money is free again.` : `Session ${s.id} has ended with ${plural(made.lines?.length ?? 0, 'line')}. The next bill of ${s.buyer} has it.`);
    }, answer);
    button.disabled = false;
  }
  return h('details', null, h('summary', null, `End session ${s.id}`), h('form', { class: 'small-form', onsubmit: submit },
    h('div', { class: 'field' }, h('label', { for: id }, 'Bill nothing, because … (leave it empty to bill what was used)'), reason), answer, button));
}

const disputeStates = { open: ['warn', 'Open'], rejected: ['', 'Rejected'], withdrawn: ['', 'Withdrawn'], upheld: ['ok', 'Upheld'] };

export function disputesPage(app) {
  const problem = h('div');
  const found = h('p', { class: 'quiet', role: 'status' });
  const list = h('ul', { class: 'cases' });
  const load = every(3000, () => app.guard(async () => {
    const [{ disputes = [] }, names] = await Promise.all([get('/disputes'), partyNames()]);
    disputes.sort((a, b) => (b.status === 'open') - (a.status === 'open') || b.until_ms - a.until_ms);
    const open = disputes.filter((d) => d.status === 'open').length;
    say(found, disputes.length ? `${plural(open, 'is', 'are')} open, ${plural(disputes.length - open, 'has', 'have')} ended` : 'No bill was disputed yet.');
    const key = JSON.stringify(disputes);
    if (list.dataset.shown === key) return; // so that the focus stays
    list.dataset.shown = key;
    fill(list, disputes.map((d) => disputeEntry(d, names)));
  }, problem));
  const el = h('div', { class: 'page' }, tabs('disputes'), h('div', { class: 'head' }, h('h1', null, 'Disputes'), found),
    h('p', { class: 'lead' }, 'A dispute changes nobody’s account. While it is open, all that the devices of the bill reported is kept. A bill’s page opens one.'),
    problem, h('section', { class: 'card', 'aria-label': 'All disputes' }, list));
  return { title: 'Disputes', el, start: load, changed: load };
}

// disputeEntry shows a dispute: what it is about, how it stands, and by when the seller must have answered.
export function disputeEntry(d, names = new Map()) {
  const [kind, text] = disputeStates[d.status] ?? ['', d.status];
  return h('li', null, h('div', { class: 'head' }, h('h2', null, d.id), h('span', { class: `pill ${d.overdue ? 'bad' : kind}` }, d.overdue ? 'Open, answer overdue' : text)),
    h('p', null, `${names.get(d.buyer) || d.buyer}: ${d.reason}`),
    h('p', { class: 'quiet' }, d.line ? `Line ${d.line} of ` : 'All of ', billLink(d.invoice), ` over ${money(d.total, d.currency)}`,
      d.status === 'open' && [' · answer of ', names.get(d.seller) || d.seller, ' due ', h('span', { title: whenExactly(d.until_ms) }, when(d.until_ms))],
      d.replaced_by && [' · replaced by ', billLink(d.replaced_by)]),
    h('p', { class: 'buttons' }, h('a', { class: 'button small', href: `/api/disputes/${encodeURIComponent(d.id)}/evidence`, download: `evidence-${d.id}.zip` }, `Evidence of ${d.id}`)));
}

export function accountsPage(app) {
  const problem = h('div');
  const saved = h('div', { role: 'status' });
  const list = h('tbody');
  const kept = new Map();
  // A statement has all bills of a party, and all that contracts paid it: who has only the latter has no bill to find it at.
  const statement = async (party) => {
    fill(saved, h('p', { class: 'quiet' }, 'Collecting the proofs …'));
    try {
      fill(saved, h('p', { class: 'quiet' }, `Saved as ${saveAs(await file(`/api/statements/${encodeURIComponent(party)}`), `statement-${party}.json`)}.`));
    } catch (err) {
      fill(saved, h('p', { class: 'note bad' }, err.status ? err.message : 'The node cannot be reached just now.'));
    }
  };
  const load = every(3000, () => app.guard(async () => {
    const [{ accounts = [] }, names] = await Promise.all([get('/accounts'), partyNames()]);
    keyed(list, kept, accounts, (a) => `${a.party} ${a.currency}`, (a) => {
      const balance = h('td', { class: 'num strong' });
      const held = h('td', { class: 'num' });
      return {
        el: h('tr', null, h('th', { scope: 'row' }, names.get(a.party) || a.party), balance, held,
          h('td', { class: 'num' }, names.has(a.party) && h('button', { type: 'button', class: 'small', 'aria-label': `Statement of ${names.get(a.party) || a.party}`, onclick: () => statement(a.party) }, 'Statement'))),
        update(b) {
          say(balance, money(b.balance, b.currency));
          say(held, b.held && !zero(b.held) ? money(b.held, b.currency) : '–');
        },
      };
    });
  }, problem));
  const el = h('div', { class: 'page' }, tabs('accounts'), h('h1', null, 'Accounts'),
    h('p', { class: 'lead' }, 'Claims, not money: what others owe somebody, less what they owe. What is held for sessions cannot be spent until they are billed.'),
    problem, saved, h('div', { class: 'card flush' }, h('table', { class: 'accounts' }, h('thead', null, h('tr', null, h('th', { scope: 'col' }, 'Whose'),
      h('th', { scope: 'col', class: 'num' }, 'Balance'), h('th', { scope: 'col', class: 'num' }, 'Held'), h('th', { scope: 'col' }, h('span', { class: 'sr' }, 'Statement')))), list)));
  return { title: 'Accounts', el, start: load, changed: load };
}

// pointPage shows a metering point: every meter that hung there, who buys there, and what the meter counts beside.
export function pointPage(app, id) {
  const problem = h('div');
  const place = h('div', null, h('p', { class: 'quiet' }, 'Fetching the metering point …'));
  const el = h('div', { class: 'page' }, h('nav', { class: 'crumbs', 'aria-label': 'Where you are' }, h('a', { href: '#/' }, 'Fleet'), h('span', { 'aria-hidden': 'true' }, '/'),
    h('span', { 'aria-current': 'page' }, id)), h('h1', null, id), problem, place);
  return {
    title: id, el,
    start: () => app.guard(async () => {
      const p = await get(`/points/${encodeURIComponent(id)}`);
      fill(place, h('section', { class: 'card', 'aria-labelledby': 'mounts-h' }, h('h2', { id: 'mounts-h' }, p.mounts.length === 1 ? 'Its meter' : 'Its meters, one after the other'),
        h('ol', { class: 'cases' }, p.mounts.map((m, i) => mount(m, p.mounts[i + 1])).reverse())),
      h('section', { class: 'card', 'aria-labelledby': 'terms-h' }, h('h2', { id: 'terms-h' }, 'Who buys here'),
        p.agreements.length ? h('ul', { class: 'cases' }, p.agreements.map(agreement)) : h('p', null, 'Nobody has an agreement here.'),
        p.subs.length > 0 && h('p', null, 'The meter here counts these, too: ', p.subs.map((s, i) => [i > 0 && ', ', h('a', { href: `#/point/${encodeURIComponent(s)}` }, s)]), '.')));
    }, problem),
  };
}

function mount(m, next) {
  const shown = (what, value) => value !== undefined && ` ${what} ${quantity(value, m.unit)}`;
  return h('li', null, h('div', { class: 'head' }, h('h3', null, h('a', { href: `#/device/${encodeURIComponent(m.device)}` }, m.device), `, ${m.register}`),
    h('span', { class: `pill ${next ? '' : 'ok'}` }, next ? 'Taken down' : 'Hangs there')),
  h('p', { class: 'quiet' }, m.from_ms > 0 ? `From ${when(m.from_ms)}` : 'From the beginning', next && ` to ${when(next.from_ms)}`, shown('· opened at', m.opening),
    next && shown('· closed at', next.closing), shown('· begins at 0 again at', m.rolls_at), m.sessions && ' · used in sessions', m.main && [' · counted at ',
      h('a', { href: `#/point/${encodeURIComponent(m.main)}` }, m.main), ', too']));
}

function agreement(a) {
  return h('li', null, h('p', null, `${a.buyer} from ${a.seller}, under ${a.tariff}`), h('p', { class: 'quiet' }, `From ${when(a.from_ms)} `,
    a.to_ms > 0 ? `to ${when(a.to_ms)}` : 'until further notice', a.tax_reason && ` · no tax: ${a.tax_reason}`));
}
