// One device: what it last said, a chart of it, how far its word goes, and its account.

import { deviceAlarms } from './alarms.js';
import { get } from './api.js';
import { chartHeight, options } from './chart.js';
import { fill, h, keyed, move, say } from './dom.js';
import { ago, count, drawn, money, negative, plural, quantity, unitName, when, whenExactly, zero } from './format.js';
import { keysCard } from './keys.js';
import { every } from './live.js';
import { takeHome } from './takehome.js';
import { assuranceWords, kindWords, qualityName, safetyName, safetyWords, stateOf, suiteName, suiteWords } from './words.js';

const dayMS = 86_400_000;
// Windows of the recent history, and those (true) that are read from the archive.
const windows = [[0, 'Recently'], [dayMS, 'Last day'], [3_600_000, 'Last hour'], [600_000, 'Last 10 minutes'], [30 * dayMS, 'Last 30 days', true], [365 * dayMS, 'Last year', true]];
const archived = (ms) => windows.some(([span, , far]) => far && span === ms);
const refetchMS = 60_000; // a page of the archive is read again after so long

export function devicePage(app, id) {
  const problem = h('div');
  const title = h('h1', null, id);
  const state = h('span', { class: 'pill' });
  const facts = h('p', { class: 'quiet' });
  const twin = twinCard(app);
  const chart = chartCard(app, id);
  const alarms = deviceAlarms(app, id);
  const cards = [assuranceCard(), sequenceCard(), receiptCard(id), accountCard(id), desiredCard(app), safetyCard(app, id), keysCard(app, id)];
  const quarantine = h('div');

  const load = every(1500, () => app.guard(async () => {
    const d = await get(`/devices/${encodeURIComponent(id)}`);
    say(title, d.name || d.id);
    const s = stateOf(d);
    say(state, s.text);
    state.className = `pill ${s.key}`;
    say(facts, [d.id, d.site, d.owner && `belongs to ${d.owner}`, d.last_ms > 0 && `last heard ${ago(d.last_ms, app.now())}`].filter(Boolean).join(' · '));
    fill(quarantine, d.quarantined && h('p', { class: 'note bad' }, h('strong', null, 'In quarantine: '), d.quarantined,
      '. Its reports are refused until its operator frees it.'));
    twin.update(d);
    cards.forEach((c) => c.update(d));
    await alarms.update();
    await chart.update(d);
  }, problem));

  const el = h('div', { class: 'page' },
    h('nav', { class: 'crumbs', 'aria-label': 'Where you are' }, h('a', { href: '#/' }, 'Fleet'), h('span', { 'aria-hidden': 'true' }, '/'), h('span', { 'aria-current': 'page' }, id)),
    h('header', { class: 'title' }, title, state, facts), problem, quarantine, alarms.el,
    h('div', { class: 'split' },
      h('div', { class: 'wide' }, chart.el, twin.el),
      h('div', { class: 'side' }, cards.map((c) => c.el))));
  return { title: id, el, start: load, changed: load, stop: chart.stop };
}

function twinCard(app) {
  const body = h('tbody');
  const kept = new Map();
  const row = () => {
    const cells = { name: h('th', { scope: 'row' }), value: h('td', { class: 'num strong' }), kind: h('td', { class: 'quiet wide-only' }), age: h('td', { class: 'num quiet' }) };
    return {
      el: h('tr', null, cells.name, cells.value, cells.kind, cells.age),
      update(r) {
        const q = qualityName(r.quality);
        say(cells.name, r.name);
        move(cells.value, quantity(r.value, r.unit));
        say(cells.kind, kindWords(r.kind) + (q === 'measured' ? '' : `, ${q}`));
        say(cells.age, ago(r.time_ms, app.now()));
        cells.age.title = whenExactly(r.time_ms);
      },
    };
  };
  return {
    el: h('section', { class: 'card', 'aria-labelledby': 'twin-h' }, h('h2', { id: 'twin-h' }, 'What it last said'),
      h('table', { id: 'twin' }, h('thead', null, h('tr', null, h('th', { scope: 'col' }, 'Reading'), h('th', { scope: 'col', class: 'num' }, 'Value'),
        h('th', { scope: 'col', class: 'wide-only' }, 'Kind'), h('th', { scope: 'col', class: 'num' }, 'Age'))), body)),
    update: (d) => keyed(body, kept, d.readings ?? [], (r) => r.name, row),
  };
}

function chartCard(app, id) {
  const picks = h('div', { class: 'picks', role: 'group', 'aria-label': 'Which reading to draw' });
  const span = h('select', { id: 'window', onchange: () => app.guard(load, problem) }, windows.map(([ms, text]) => h('option', { value: String(ms) }, text)));
  const place = h('div', { class: 'chart' });
  const words = h('p', { class: 'quiet', role: 'status' });
  const table = h('tbody');
  const problem = h('div');
  const kept = new Map();
  const scheme = matchMedia('(prefers-color-scheme: dark)');
  let picked = '';
  let series = null;
  let far = null; // of the archive, with the name and the window that it is of, and when it was read
  let plot = null;
  let banded = false;
  let size = null;

  function draw() {
    const ms = Number(span.value);
    const shown = !archived(ms) ? series : far?.name === picked && far.ms === ms ? far.of : null;
    if (!shown) return;
    const data = archived(ms) ? whole(shown) : cut(shown, ms);
    say(words, inWords(data, shown.unit) + goneWords(shown));
    fill(table, data.times.slice(-12).map((t, i, all) => {
      const at = data.values.length - all.length + i;
      const off = data.errors[at] > 0 ? ` ± ${drawn(data.errors[at])}` : '';
      return h('tr', null, h('th', { scope: 'row' }, whenExactly(t)), h('td', { class: 'num' }, `${drawn(data.values[at])}${off} ${unitName(shown.unit)}`));
    }).reverse());
    const width = place.clientWidth;
    if (!width) return;
    const band = data.errors.some((e) => e > 0);
    if (plot && band !== banded) {
      plot.destroy();
      plot = null;
    }
    banded = band;
    const drawing = [data.times, data.values];
    if (band) drawing.push(data.values.map((v, i) => v + data.errors[i]), data.values.map((v, i) => v - data.errors[i]));
    if (!plot) plot = new uPlot(options(width, shown, band), drawing, place);
    else plot.setData(drawing);
  }
  function redraw() {
    plot?.destroy();
    plot = null;
    draw();
  }
  async function load() {
    if (!picked) return;
    const path = `/devices/${encodeURIComponent(id)}/series?name=${encodeURIComponent(picked)}`;
    const got = await get(path);
    if (got.name !== picked) return; // another was picked meanwhile
    const other = series?.name !== got.name;
    series = got;
    const ms = Number(span.value);
    if (archived(ms) && !(far?.name === picked && far.ms === ms && Date.now() - far.read < refetchMS)) {
      const last = got.times_ms.at(-1) ?? Date.now(); // by the device's clock: a node's may be another than ours
      const of = await get(`${path}&from_ms=${Math.max(0, last - ms)}&points=500`);
      if (of.name !== picked || Number(span.value) !== ms) return;
      far = { name: picked, ms, read: Date.now(), of };
    }
    if (other) redraw();
    else draw();
  }
  function pick(name) {
    picked = name;
    for (const [key, entry] of kept) entry.el.setAttribute('aria-pressed', String(key === name));
    app.guard(load, problem);
  }

  size = new ResizeObserver(() => plot && plot.width !== place.clientWidth && place.clientWidth && plot.setSize({ width: place.clientWidth, height: chartHeight(place.clientWidth) }));
  size.observe(place);
  scheme.addEventListener('change', redraw);
  return {
    el: h('section', { class: 'card', 'aria-labelledby': 'chart-h' },
      h('div', { class: 'head' }, h('h2', { id: 'chart-h' }, 'Over time'), h('div', { class: 'field row-field' }, h('label', { for: 'window' }, 'Window'), span)),
      picks, problem, place, words,
      h('details', null, h('summary', null, 'The latest numbers as a table'), h('table', null,
        h('thead', null, h('tr', null, h('th', { scope: 'col' }, 'Time'), h('th', { scope: 'col', class: 'num' }, 'Value'))), table))),
    async update(d) {
      const names = d.series ?? [];
      keyed(picks, kept, names, (n) => n, (n) => ({ el: h('button', { type: 'button', 'aria-pressed': 'false', onclick: () => pick(n) }, n), update() {} }));
      if (!picked && names.length) {
        picked = names.includes('power') ? 'power' : names[0];
        kept.get(picked).el.setAttribute('aria-pressed', 'true');
      }
      if (!names.length) say(words, 'Nothing to draw yet.');
      await load();
    },
    stop() {
      size.disconnect();
      scheme.removeEventListener('change', redraw);
      plot?.destroy();
      plot = null;
    },
  };
}

function cut(series, ms) {
  const { times, values, errors } = whole(series);
  if (!ms || !times.length) return { times, values, errors };
  const from = times.findIndex((t) => t >= times.at(-1) - ms);
  return { times: times.slice(from), values: values.slice(from), errors: errors.slice(from) };
}

const whole = (series) => ({ times: series.times_ms ?? [], values: series.values ?? [], errors: series.errors ?? [] });

// goneWords says of what was asked for what is not there any more.
function goneWords(series) {
  return (series.gone ?? []).map((g) => ` Of what came before ${when(g.until_ms)}: ${g.why}.`).join('');
}

function inWords({ times, values, errors }, unit) {
  const all = values.filter(Number.isFinite);
  if (!all.length) return 'No values in this window.';
  const low = all.reduce((a, b) => Math.min(a, b));
  const high = all.reduce((a, b) => Math.max(a, b));
  const u = unitName(unit);
  return `${plural(all.length, 'value')} from ${when(times[0])} to ${when(times.at(-1))}: lowest ${drawn(low)} ${u}, highest ${drawn(high)} ${u}, latest ${drawn(all.at(-1))} ${u}.${offWords(errors, u)}`;
}

// offWords says what the band around the line is.
function offWords(errors, unit) {
  const most = errors.reduce((a, b) => Math.max(a, b), 0);
  return most > 0 ? ` Older values are kept in summaries: they may be off by up to ${drawn(most)} ${unit}, which the band shows.` : '';
}

function card(id, title, ...content) {
  return h('section', { class: 'card', 'aria-labelledby': id }, h('h2', { id }, title), ...content);
}

function assuranceCard() {
  const badge = h('span', { class: 'badge', id: 'assurance' });
  const words = h('p');
  const suite = h('p', { class: 'quiet' });
  return {
    el: card('assurance-h', 'How far its word goes', h('details', { class: 'explain' }, h('summary', null, badge, h('span', { class: 'ask' }, 'What does this mean?')), words, suite,
      h('p', { class: 'quiet' }, 'It does not prove that the meter measures right, only who said what.'))),
    update(d) {
      say(badge, [d.assurance, suiteName(d.suite)].filter(Boolean).join(' · '));
      say(words, assuranceWords(d.assurance));
      say(suite, `${suiteWords(d.suite)}${d.key_epoch ? ` This is key number ${d.key_epoch} of the device.` : ''}`.trim());
    },
  };
}

function sequenceCard() {
  const verdict = h('p', { class: 'verdict' });
  const detail = h('p', { class: 'quiet' });
  return {
    el: card('sequence-h', 'Nothing left out?', verdict, detail, h('details', null, h('summary', null, 'How this is known'),
      h('p', null, 'The device numbers its reports and signs the number, so a gap shows. Bills rest on running totals: a lost report loses detail, not money.'))),
    update(d) {
      const missing = Number(d.missing ?? 0);
      const lost = Number(d.lost ?? 0);
      const n = d.seq?.n ?? 0;
      verdict.className = `verdict ${missing ? 'warn' : 'ok'}`;
      say(verdict, n === 0 ? 'No report yet' : missing ? `${plural(missing, 'report')} on the way or missing` : lost ? 'Nothing is awaited' : 'Every report arrived');
      const parts = [n > 0 && `The latest is number ${count(n)}.`];
      if (lost) parts.push(`${plural(lost, 'report')} given up as lost, on record.`);
      if (d.seq?.epoch > 1) parts.push(`The device began to count anew ${plural(d.seq.epoch - 1, 'time')}.`);
      say(detail, parts.filter(Boolean).join(' '));
    },
  };
}

function receiptCard(id) {
  let seq = { epoch: 0, n: 0 };
  const el = card('receipt-h', 'A receipt to keep', h('p', null, 'The proof that the latest report stands in the log as the device signed it.'),
    takeHome(() => `/api/receipts/${encodeURIComponent(id)}/${seq.epoch}/${seq.n}`, 'receipt.json', 'Download it'));
  return {
    el,
    update(d) {
      seq = d.seq ?? seq;
      el.hidden = !seq.n;
    },
  };
}

function accountCard(id) {
  const body = h('div');
  const points = h('p', { class: 'quiet' });
  return {
    el: card('account-h', 'Its own account', body, points, h('p', null, h('a', { href: `#/profit/${encodeURIComponent(id)}` }, 'Profit and loss'))),
    update(d) {
      const all = Object.entries(d.balance ?? {}).sort();
      fill(body, all.length ? all.map(([currency, amount]) => account(currency, amount)) : h('p', null, 'Nothing is booked on it yet.'));
      const at = (d.points ?? []).filter((p, i, all) => all.findIndex((q) => q.id === p.id) === i);
      const key = at.map((p) => p.id).join();
      if (points.dataset.shown === key) return;
      points.dataset.shown = key;
      fill(points, at.length > 0 && ['Its meter counts for: ', at.map((p, i) => [i > 0 && ', ', h('a', { href: `#/point/${encodeURIComponent(p.id)}` }, p.place || p.id)]), '.']);
    },
  };
}

function account(currency, amount) {
  const [kind, words] = zero(amount) ? ['', 'Income and costs are even.'] : negative(amount)
    ? ['loss', 'Loss: what it used cost more than it earned.'] : ['profit', 'Profit: it earned more than what it used cost.'];
  return h('div', null, h('p', { class: `figure money ${kind}`, id: 'balance' }, money(amount, currency)), h('p', null, words),
    h('p', { class: 'quiet' }, 'Income less costs, all bookings so far.'));
}

// What it should be like, what it does of that, and why these differ.
function desiredCard(app) {
  const text = h('p', { id: 'desired' });
  const rows = h('ul', { class: 'desired' });
  const who = h('p', { class: 'quiet' });
  return {
    el: card('desired-h', 'Desired', text, rows, who),
    update({ desired: d }) {
      say(text, d.text);
      fill(rows, d.functions.map((x) => h('li', null, h('strong', null, x.name), ` should be ${quantity(x.desired, x.unit)}`,
        x.granted && `, is let be ${quantity(x.granted, x.unit)}`, x.reported && `, says ${quantity(x.reported, x.unit)}`, x.why && `: ${x.why}`)));
      say(who, d.revision === 0 ? '' : [`Revision ${d.revision} by ${d.by}${d.mode && `, mode ${d.mode}`}, ${ago(d.time_ms, app.now())}`,
        d.until_ms > 0 && `until ${when(d.until_ms)}`, d.reason].filter(Boolean).join(' · '));
    },
  };
}

function safetyCard(app, id) {
  const name = h('p', { class: 'verdict' });
  const words = h('p');
  const said = h('ul', { class: 'guard' });
  const quiet = h('p', { class: 'quiet' });
  const problem = h('div');
  return {
    el: card('safety-h', 'Safety and guard', name, words, problem, said, quiet),
    update(d) {
      say(name, safetyName(d.safety));
      say(words, safetyWords(d.safety));
      return app.guard(async () => {
        const g = await get(`/devices/${encodeURIComponent(id)}/guard`);
        const decisions = g.words.flatMap((w) => w.decisions);
        fill(said, decisions.map((x) => h('li', null, x.text)), g.words.filter((w) => w.refused).map((w) => h('li', null, `It refuses a charter: ${w.refused}`)));
        const asked = g.restrictions.length;
        say(quiet, g.words.length > 0 ? `Its guard spoke ${ago(Math.max(...g.words.map((w) => w.at_ms)), app.now())}.`
          : asked > 0 ? `${plural(asked, 'restriction')} asked for. No guard has answered, so nothing reaches the device.` : '');
      }, problem);
    },
  };
}
