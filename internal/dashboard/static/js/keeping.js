// What is kept and what was forgotten: the rules, who stands in their way, and who has forgotten what was asked.

import { get } from './api.js';
import { fill, h, say } from './dom.js';
import { ago, count, when, whenExactly } from './format.js';
import { every } from './live.js';

// keepingCard loads itself; changed() keeps it current.
export function keepingCard(app) {
  const rules = h('ul', { class: 'plain', id: 'kept' });
  const packs = h('p', { class: 'quiet' });
  const holds = h('div');
  const erased = h('div', { id: 'erased' });
  const problem = h('div');
  const changed = every(10_000, () => app.guard(async () => {
    const k = await get('/keeping');
    fill(rules, k.retentions?.length ? k.retentions.map((r) => h('li', null, rule(r))) : h('li', null, 'No rule: every report is kept, raw, for ever.'));
    const a = k.archive;
    say(packs, a.packs ? `${count(a.kept)} of ${count(a.reports)} older reports are there raw, in ${megabytes(a.bytes)}.` : '');
    const open = (k.holds ?? []).filter((x) => !x.lifted);
    fill(holds, open.length ? [h('h3', null, 'On hold'), h('ul', { class: 'plain' }, open.map((x) => h('li', null, hold(x))))] : []);
    fill(erased, k.erasures?.length ? [h('h3', null, 'Erased'), h('ul', { class: 'plain' }, k.erasures.toReversed().map((e) => erasure(e, app.now())))] : []);
  }, problem));
  return {
    changed,
    el: h('section', { class: 'card', 'aria-labelledby': 'keeping-h' }, h('h2', { id: 'keeping-h' }, 'What is kept'),
      h('p', null, 'The log keeps fingerprints for ever. What was said can go, and every bill that was made still holds: what bills rest on always stays.'),
      problem, rules, packs, holds, erased),
  };
}

const days = (n) => (n === 0 ? 'for ever' : n % 365 === 0 ? `for ${n / 365 === 1 ? 'a year' : `${n / 365} years`}` : `for ${n === 1 ? 'a day' : `${count(n)} days`}`);

function rule(r) {
  const whose = r.device ? `Reports of ${r.device}` : 'Reports';
  if (r.raw_days === 0) return `${whose}: raw, for ever.`;
  const sums = r.summary_days === r.raw_days ? 'then only that they were there' : `in summaries ${r.error ? `within ${r.error / 10} % ` : ''}${days(r.summary_days)}`;
  return `${whose}: raw ${days(r.raw_days)}, ${sums}.`;
}

function hold(x) {
  const to = x.to_ms ? ` to ${when(x.to_ms)}` : '';
  return `${x.device ? `Reports of ${x.device}` : 'All reports'}${x.from_ms ? ` from ${when(x.from_ms)}` : ''}${to}: ${x.reason} (${x.id})`;
}

// erasure says who has forgotten, or until when they must have.
function erasure(e, now) {
  const members = Object.entries(e.attested_ms ?? {});
  const done = members.length ? `Out of every file of ${members.map(([m, at]) => `${m} (${ago(at, now)})`).join(', ')}.`
    : `${e.overdue ? 'Overdue: it had to be out of every file by' : 'Out of every file by'} ${when(e.due_ms)}${stillThere(e.backups)}.`;
  return h('li', null, h('span', { title: whenExactly(e.time_ms) }, `${e.device ? `Reports of ${e.device}` : `The name of ${e.party}`}, asked ${when(e.time_ms)} under ${e.basis}. `),
    h('span', { class: 'quiet' }, done));
}

const stillThere = (backups) => (backups?.length ? `; the backup${backups.length > 1 ? 's' : ''} ${backups.join(', ')} still ${backups.length > 1 ? 'have' : 'has'} it` : '');

const megabytes = (n) => `${(n / 1e6).toLocaleString(undefined, { maximumFractionDigits: 1 })} MB`;
