// The shell: which page is shown, how it stays current, what is said when the node cannot be asked.

import { fill, h, say } from './dom.js';
import { count, zoneName } from './format.js';
import { Live } from './live.js';
import { advisePage } from './advise.js';
import { agentPage, agentsPage } from './agents.js';
import { alarmsPage } from './alarms.js';
import { fleetPage } from './fleet.js';
import { devicePage } from './device.js';
import { logPage } from './log.js';
import { billPage, billsPage } from './bills.js';
import { certificateTrouble, copiesTrouble } from './copies.js';
import { accountsPage, disputesPage, pointPage, sessionsPage } from './cases.js';
import { loginPage } from './login.js';
import { networkPage } from './network.js';
import { profitPage, profitsPage } from './profit.js';

// A page is made with (app, …parameters of its route) and has: title, el, start(), and optionally changed() when the
// node reported something new, status(status), stop().
const routes = [
  [/^\/?$/, 'fleet', fleetPage],
  [/^\/device\/([^/]+)$/, 'fleet', devicePage],
  [/^\/alarms$/, 'alarms', alarmsPage],
  [/^\/alarms\/([^/]+)$/, 'alarms', alarmsPage],
  [/^\/agents$/, 'agents', agentsPage],
  [/^\/agents\/([^/]+)$/, 'agents', agentPage],
  [/^\/log$/, 'log', logPage],
  [/^\/log\/(\d+)\/(\d+)$/, 'log', logPage],
  [/^\/bills$/, 'bills', billsPage],
  [/^\/bill\/([^/]+)$/, 'bills', billPage],
  [/^\/sessions$/, 'bills', sessionsPage],
  [/^\/disputes$/, 'bills', disputesPage],
  [/^\/accounts$/, 'bills', accountsPage],
  [/^\/profit$/, 'bills', profitsPage],
  [/^\/profit\/([^/]+)$/, 'bills', profitPage],
  [/^\/point\/([^/]+)$/, 'fleet', pointPage],
  [/^\/network$/, 'network', networkPage],
  [/^\/advise$/, 'advise', advisePage],
];

const main = document.getElementById('main');
const link = document.getElementById('link');
let page = null;

const live = new Live({
  status(status) {
    say(document.getElementById('foot-node'), footWords(status));
    alarm(status);
    badge(status.alarms);
    page?.status?.(status);
    page?.changed?.();
  },
  block() {
    page?.changed?.();
  },
  mode(mode) {
    link.dataset.mode = mode;
    say(link.querySelector('.link-text'), { live: 'Live', polling: 'Every 3 s', away: 'Node not reachable', locked: 'Locked' }[mode] ?? 'Connecting');
    if (mode === 'locked') askForToken();
  },
});

const app = {
  live,
  now: () => live.now(),
  // guard runs what asks the node and turns a refusal into words in place, or into the question for the token.
  async guard(work, place) {
    try {
      await live.known;
      await work();
      place?.replaceChildren();
    } catch (err) {
      if (err.name === 'AbortError') return;
      if (err.status === 401) live.lock();
      else if (place) fill(place, trouble(err));
    }
  },
};

function trouble(err) {
  const words = err.status ? err.message : 'The node cannot be reached just now. This page tries again by itself.';
  return h('p', { class: 'note bad', role: 'alert' }, words);
}

// alarm stands on every page while the node stands still, or while its disk or its copies are in trouble. It is written again only
// when something has changed, so that it is read out once.
let alarmed = '';
function alarm(status) {
  const { conflict, copies, evidence = [] } = status;
  const renew = certificateTrouble(status);
  const key = JSON.stringify([!!conflict, copies?.scrub?.faults, copies?.overdue, copies?.snapshot?.error, evidence.length, renew.map((e) => e.textContent)]);
  if (key === alarmed) return;
  alarmed = key;
  fill(document.getElementById('alarm'),
    conflict && h('p', { class: 'note bad', role: 'alert' }, 'This node stands still: its log is not what was signed before. ', h('a', { href: '#/log' }, 'What is known')),
    evidence.length > 0 && h('p', { class: 'note bad', role: 'alert' }, 'A member of the network lied, and it is proven. ', h('a', { href: '#/network' }, 'What is known')),
    copiesTrouble(copies), renew);
}

// badge counts in the navigation what waits for an answer.
function badge(n) {
  const el = document.getElementById('alarm-count');
  el.hidden = n === 0;
  say(el, count(n));
  el.title = `${n} wait for an answer`;
}

function footWords(s) {
  const speed = s.speed > 1 ? ` · demo clock, ${count(Math.round(s.speed))} times as fast` : '';
  const broker = s.broker ? ` · broker ${s.broker.address} ${s.broker.connected ? 'connected' : 'not connected'}` : '';
  return `Network ${s.network} · member ${s.member} · Lamppost ${s.version}${broker}${speed}`;
}

function askForToken() {
  show(loginPage(app, () => {
    live.start();
    route();
  }), '');
}

function show(next, section) {
  page?.stop?.();
  page = next;
  document.title = `${page.title} – Lamppost`;
  for (const a of document.querySelectorAll('nav a[data-page]')) {
    if (a.dataset.page === section) a.setAttribute('aria-current', 'page');
    else a.removeAttribute('aria-current');
  }
  fill(main, page.el);
  page.start?.();
}

function route() {
  const path = location.hash.replace(/^#/, '');
  if (path === 'main') return; // the skip link
  if (live.mode === 'locked') return;
  for (const [pattern, section, make] of routes) {
    const match = pattern.exec(path);
    if (match) return show(make(app, ...match.slice(1).map(plainPart)), section);
  }
  show({ title: 'Not found', el: h('section', null, h('h1', null, 'There is no such page'), h('p', null, h('a', { href: '#/' }, 'Back to the fleet'))) }, '');
}

function plainPart(part) {
  try {
    return decodeURIComponent(part);
  } catch {
    return part;
  }
}

document.querySelector('.skip').addEventListener('click', (e) => {
  e.preventDefault(); // the part after # names the page
  main.focus();
});
addEventListener('hashchange', () => {
  const keep = page?.keeps?.(location.hash.replace(/^#/, ''));
  if (keep) return;
  route();
  scrollTo(0, 0);
  main.focus({ preventScroll: true });
});
document.addEventListener('visibilitychange', () => {
  if (!document.hidden) page?.changed?.();
});

say(document.getElementById('foot-zone'), `Times are those of ${zoneName()}.`);
route();
live.start();
