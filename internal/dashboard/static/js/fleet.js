// The fleet at a glance: five numbers, every device as one light, and the list.

import { get } from './api.js';
import { fill, h, keyed, move, say } from './dom.js';
import { ago, count, decimal, drawn, negative, plural, purse, quantity, when, zero } from './format.js';
import { every } from './live.js';
import { pendingCard } from './pending.js';
import { codeWords, kindWords, qualityName, safetyClass, safetyClasses, safetyName, safetyWords, stateOf } from './words.js';

const pageSize = 120; // rows shown before "show more"

export function fleetPage(app) {
  const numbers = headline();
  const street = h('div', { class: 'street' });
  const streetWords = h('p', { class: 'quiet' });
  const list = h('ul', { class: 'rows' });
  const found = h('p', { class: 'quiet', role: 'status' });
  const more = h('button', { type: 'button', hidden: true, onclick: () => { limit += pageSize; draw(); } }, 'Show more');
  const problem = h('div');
  const broker = h('div', { role: 'status' });
  const pending = pendingCard(app, () => load());
  const search = h('input', { type: 'search', id: 'find', placeholder: 'Name, site or owner', oninput: () => draw() });
  const state = h('select', { id: 'state', onchange: () => draw() }, option('', 'Any state'), option('ok', 'Online'), option('idle', 'Silent'), option('bad', 'Quarantined'));
  const safety = h('select', { id: 'safety', onchange: () => draw() }, option('', 'Any safety class'),
    safetyClasses.map((c) => option(c, safetyName(c))));
  const kept = new Map();
  const lights = new Map();
  let devices = [];
  let limit = pageSize;

  const load = every(1500, () => app.guard(async () => {
    const answer = await get('/devices');
    devices = answer.devices ?? [];
    pending.update(answer.pending ?? [], devices);
    draw();
  }, problem));

  function draw() {
    drawStreet(street, lights, devices);
    say(streetWords, inWords(devices));
    const wanted = devices.filter(matches).sort(byTroubleThenName);
    keyed(list, kept, wanted.slice(0, limit), (d) => d.id, (d) => row(app, d));
    more.hidden = wanted.length <= limit;
    say(found, devices.length === 0 ? 'No device is enrolled yet. "lamppost device" enrols one.'
      : wanted.length === devices.length ? plural(devices.length, 'device') : `${count(wanted.length)} of ${plural(devices.length, 'device')}`);
  }

  function matches(d) {
    const words = search.value.toLowerCase().split(/\s+/).filter(Boolean);
    const text = `${d.id} ${d.name ?? ''} ${d.site ?? ''} ${d.owner ?? ''}`.toLowerCase();
    return words.every((w) => text.includes(w)) && (!state.value || stateOf(d).key === state.value)
      && (!safety.value || safetyClass(d.safety) === safety.value);
  }

  const el = h('div', { class: 'page' },
    h('h1', { class: 'sr' }, 'The fleet at a glance'),
    numbers.el, broker, pending.el,
    h('section', { class: 'card', 'aria-labelledby': 'street-h' },
      h('div', { class: 'head' }, h('h2', { id: 'street-h' }, 'Every device, one light'), legend()), street, streetWords),
    h('section', { 'aria-labelledby': 'list-h' },
      h('div', { class: 'head' }, h('h2', { id: 'list-h' }, 'Devices'), found),
      h('form', { class: 'filters', role: 'search', onsubmit: (e) => e.preventDefault() },
        field('find', 'Find', search), field('state', 'State', state), field('safety', 'Safety', safety)),
      problem, list, more));

  return {
    title: 'Fleet', el, changed: load,
    status,
    start() {
      if (app.live.status) status(app.live.status);
      load();
    },
  };

  function status(s) {
    numbers.update(s, app.live.rate);
    showBroker(broker, s.broker, app.now());
  }
}

// showBroker says that a broker is out of reach; while it is reached there is nothing to say.
function showBroker(el, broker, now) {
  if (!broker || broker.connected) return fill(el);
  const [words, why] = el.firstChild?.children ?? fill(el, h('p', { class: 'note warn' }, h('strong'), h('span'))).firstChild.children;
  say(words, `The broker at ${broker.address} has been out of reach since ${when(broker.since_ms)} (${ago(broker.since_ms, now)}). `);
  say(why, `What devices publish there waits, and is taken when it is reached again. The reason: ${broker.error || 'the node has just started'}.`);
}

const option = (value, text) => h('option', { value }, text);
const field = (id, text, input) => h('div', { class: 'field' }, h('label', { for: id }, text), input);

function headline() {
  const tile = (name, more) => {
    const value = h('dd', { class: 'figure' }, '–');
    const detail = h('dd', { class: 'quiet' }, more);
    return { el: h('div', { class: 'tile' }, h('dt', null, name), value, detail), value, detail };
  };
  const online = tile('Devices online', '');
  const readings = tile('Readings', '');
  const energy = tile('Energy measured', 'kilowatt hours');
  const billed = tile('Billed', 'with taxes');
  const refused = tile('Refused', '');
  refused.el.classList.add('last');
  const all = [online, readings, energy, billed, refused];
  const el = h('dl', { class: 'tiles', id: 'headline' }, all.map((t) => t.el));
  return {
    el,
    update(s, rate) {
      const t = s.totals;
      move(online.value, count(t.devices_online));
      say(online.detail, `of ${count(t.devices)}`);
      move(readings.value, count(t.readings));
      el.title = t.since_ms > 0 ? `Readings, energy and refusals are counted since ${when(t.since_ms)}` : '';
      say(readings.detail, `committed, in ${plural(t.reports, 'signed report')}${rate >= 1 ? `, ${count(Math.round(rate))} a second` : ''}`);
      move(energy.value, decimal(String(t.kwh), String(t.kwh).split('.')[0].length > 3 ? 1 : 2));
      move(billed.value, purse(t.billed));
      const codes = Object.entries(t.refused ?? {}).filter(([, n]) => n > 0).sort((a, b) => b[1] - a[1]);
      move(refused.value, count(codes.reduce((sum, [, n]) => sum + n, 0)));
      say(refused.detail, codes.length ? codes.slice(0, 3).map(([code, n]) => `${count(n)} × ${codeWords(code)}`).join(', ') : 'nothing turned away');
    },
  };
}

function legend() {
  const entry = (kind, text) => h('li', null, h('span', { class: `light ${kind}`, 'aria-hidden': 'true' }), text);
  return h('ul', { class: 'legend' }, entry('on lit-3', 'drawing power'), entry('on', 'online'), entry('idle', 'silent'), entry('bad', 'quarantined'));
}

// drawStreet draws a light per device, by site. It is for the eye; the list below says the same to everyone.
function drawStreet(street, lights, devices) {
  const sites = Map.groupBy ? Map.groupBy(devices, (d) => d.site || 'No site') : group(devices);
  keyed(street, lights, [...sites].map(([site, list]) => ({ site, list })), (s) => s.site, (first) => {
    const cells = h('div', { class: 'lights', 'aria-hidden': 'true' });
    const cellsKept = new Map();
    const title = h('h3', null, first.site);
    return {
      el: h('div', { class: 'site' }, title, cells),
      update({ list }) {
        const most = list.reduce((w, d) => Math.max(w, power(d)), 1); // of the site: lamps beside heat pumps are lit too
        keyed(cells, cellsKept, list, (d) => d.id, (d) => light(d.id));
        for (const d of list) cellsKept.get(d.id).show(d, most);
      },
    };
  });
}

function group(devices) {
  const sites = new Map();
  for (const d of devices) sites.set(d.site || 'No site', [...(sites.get(d.site || 'No site') ?? []), d]);
  return sites;
}

function light(id) {
  const el = h('a', { href: `#/device/${encodeURIComponent(id)}`, tabindex: '-1' });
  return {
    el,
    update() {},
    show(d, most) {
      const s = stateOf(d);
      const p = power(d);
      const level = p <= 0 ? 0 : Math.min(3, Math.ceil(3 * p / most));
      const kind = s.key === 'ok' ? `light on${level ? ` lit-${level}` : ''}` : `light ${s.key}`;
      if (el.className !== kind) el.className = kind;
      const title = `${d.name || d.id}: ${s.text.toLowerCase()}${p > 0 ? `, ${drawn(p)} W` : ''}`;
      if (el.title !== title) el.title = title;
    },
  };
}

// power is what a device draws, for the brightness of its light only.
function power(d) {
  const r = d.online && (d.readings ?? []).find((x) => x.unit === 'W');
  return r ? Number(r.value) || 0 : 0;
}

function inWords(devices) {
  const n = { ok: 0, idle: 0, bad: 0 };
  for (const d of devices) n[stateOf(d).key]++;
  const parts = [`${count(n.ok)} online`];
  if (n.idle) parts.push(`${count(n.idle)} silent`);
  if (n.bad) parts.push(`${count(n.bad)} quarantined`);
  return devices.length ? `${parts.join(', ')}.` : '';
}

const rank = { bad: 0, idle: 1, ok: 2 };
const byTroubleThenName = (a, b) => rank[stateOf(a).key] - rank[stateOf(b).key] || a.id.localeCompare(b.id, undefined, { numeric: true });

function row(app, first) {
  const name = h('span', { class: 'row-name' });
  const where = h('span', { class: 'quiet' });
  const state = h('span', { class: 'pill' });
  const seen = h('span', { class: 'quiet' });
  const values = h('dl', { class: 'values' });
  const safety = h('span', { class: 'safety' });
  const balance = h('span', { class: 'money' });
  const result = h('span', { class: 'quiet' });
  const el = h('li', null, h('a', { class: 'row', href: `#/device/${encodeURIComponent(first.id)}` },
    h('span', { class: 'c-name' }, name, where), h('span', { class: 'c-state' }, state, seen), values,
    h('span', { class: 'c-safety' }, safety, h('span', { class: 'quiet' }, 'safety class')), h('span', { class: 'c-money' }, balance, result)));
  return {
    el,
    update(d) {
      const s = stateOf(d);
      say(name, d.name || d.id);
      say(where, [d.name && d.name !== d.id ? d.id : '', d.site].filter(Boolean).join(' · '));
      say(state, s.text);
      state.className = `pill ${s.key}`;
      say(seen, ago(d.last_ms, app.now()));
      showValues(values, d.readings ?? []);
      say(safety, safetyName(d.safety));
      safety.title = safetyWords(d.safety);
      showBalance(balance, result, d.balance);
    },
  };
}

function showValues(el, readings) {
  const shown = readings.slice(0, 3);
  if (el.childElementCount !== shown.length) {
    fill(el, shown.map(() => h('div', null, h('dt'), h('dd'))));
  }
  shown.forEach((r, i) => {
    const [dt, dd] = el.children[i].children;
    say(dt, r.name);
    say(dd, quantity(r.value, r.unit));
    dd.title = `${kindWords(r.kind)}, ${qualityName(r.quality)}`;
  });
}

// showBalance shows what a device earned or cost, with a word beside the colour.
function showBalance(el, word, balance) {
  const amounts = Object.values(balance ?? {});
  const loss = amounts.some(negative);
  const profit = !loss && amounts.some((a) => !zero(a));
  say(el, purse(balance));
  say(word, loss ? 'loss' : profit ? 'profit' : amounts.length ? 'even' : 'no bookings');
  el.classList.toggle('loss', loss);
  el.classList.toggle('profit', profit);
}
