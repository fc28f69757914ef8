// What triage found: why in words, the picture with the unusual part marked, and what somebody says of it.

import { get, post } from './api.js';
import { chartHeight, mark, options } from './chart.js';
import { copyButton, fill, h, keyed, say } from './dom.js';
import { count, drawn, plural, unitName, when, zone } from './format.js';
import { every } from './live.js';

const inWords = `lang=${navigator.language === 'en-US' ? 'en-US' : 'en'}&zone=${encodeURIComponent(zone)}`;
const link = (id) => h('a', { href: `#/device/${encodeURIComponent(id)}` }, id);

// alarmsPage lists what waits for an answer, and then what has one; of one device where it is named.
export function alarmsPage(app, device) {
  const problem = h('div');
  const found = h('p', { class: 'quiet', role: 'status' });
  const budget = h('p', { class: 'quiet', id: 'budget' });
  const list = h('ul', { class: 'cases', id: 'alarms' });
  const kept = new Map();
  const done = h('div', { role: 'status', tabindex: '-1' });
  const of = device ? `&device=${encodeURIComponent(device)}` : '';
  const load = every(3000, () => app.guard(async () => {
    const [open, all] = await Promise.all([get(`/alarms?open=true&limit=200&${inWords}${of}`), get(`/alarms?limit=100&${inWords}${of}`)]);
    const shown = [...open.alarms, ...all.alarms.filter((a) => !a.open)];
    say(found, device ? `Of ${device}` : all.open ? `${plural(all.open, 'waits', 'wait')} for an answer` : shown.length ? 'All have an answer' : 'Nothing unusual was found yet.');
    say(budget, budgetWords(all.budget));
    keyed(list, kept, shown, (a) => a.id, (a) => alarmRow(app, a, (words) => {
      fill(done, h('p', { class: 'note ok' }, words));
      done.focus({ preventScroll: true });
      load();
    }));
  }, problem));
  const el = h('div', { class: 'page' }, h('div', { class: 'head' }, h('h1', null, 'Alarms'), found),
    h('p', { class: 'lead' }, 'What is unlike before, or cannot be right, in what the devices say. An alarm is a hint: only what cannot be right holds back a bill, until somebody answers. ',
      device && h('a', { href: '#/alarms' }, 'Alarms of all devices')),
    problem, done, h('section', { class: 'card', 'aria-label': 'All alarms' }, list), budget);
  return { title: 'Alarms', el, start: load, changed: load, stop: () => kept.forEach((row) => row.stop()) };
}

const budgetWords = (b) => `In the last week there ${b.last_week === 1 ? 'was' : 'were'} ${count(b.last_week)} unusual ${b.last_week === 1 ? 'thing' : 'things'} among ${plural(b.devices, 'device')}: `
  + `${drawn(b.rate)} for each 1,000. The budget is ${count(b.budget)} (lamppost watch budget).`;

// deviceAlarms is the card on a device's page; it is not there while there is nothing to say. of gives the times of a reading's alarms.
export function deviceAlarms(app, id) {
  const list = h('ul', { class: 'plain' });
  const problem = h('div');
  const el = h('section', { class: 'card', 'aria-labelledby': 'alarms-h', hidden: true }, h('h2', { id: 'alarms-h' }, 'Alarms'), problem, list,
    h('p', null, h('a', { href: `#/alarms/${encodeURIComponent(id)}` }, 'Look at them')));
  let shown = [];
  return {
    el,
    of: (name) => shown.filter((a) => a.verdict.name === name).map((a) => ({ from: a.verdict.since_ms, to: a.verdict.at_ms })),
    update: () => app.guard(async () => {
      const { alarms } = await get(`/alarms?device=${encodeURIComponent(id)}&limit=5&${inWords}`);
      shown = alarms;
      el.hidden = alarms.length === 0;
      const key = JSON.stringify(alarms);
      if (list.dataset.shown === key) return;
      list.dataset.shown = key;
      fill(list, alarms.map((a) => h('li', null, pill(a), ' ', a.words.title, '. ', a.words.since, '. ', a.words.why[0])));
    }, problem),
  };
}

function pill(a) {
  const el = h('span', { class: 'pill' });
  dress(el, a);
  return el;
}

// dress says how an alarm stands.
function dress(el, a) {
  const last = a.reviews?.at(-1)?.answer;
  const [kind, text] = a.suspending ? ['bad', a.verdict.kind === 'behaviour' ? 'In quarantine' : 'Not billed']
    : a.open ? ['warn', last === 'seen' ? 'Seen' : 'Open'] : ['', { normal: 'Not an anomaly', valid: 'Right', wrong: 'Was wrong' }[last] ?? 'Answered'];
  el.className = `pill ${kind}`;
  say(el, text);
}

function alarmRow(app, first, answered) {
  const state = h('span', { class: 'pill' });
  const next = h('p', { class: 'note' });
  const said = h('p', { class: 'quiet' });
  const chart = picture(app, first);
  const form = answers(app, first, answered);
  const v = first.verdict;
  return {
    el: h('li', null, h('div', { class: 'head' }, h('h2', null, first.words.title), state),
      h('p', { class: 'quiet' }, link(v.device), first.device_name && ` · ${first.device_name}`, first.place && ` · ${first.place}`, ` · ${first.words.since}`),
      h('ul', { class: 'why' }, first.words.why.map((w) => h('li', null, w))),
      chart.el, next, form, said,
      h('details', null, h('summary', null, 'Prove it'), h('p', null, `Verdict ${first.id} stands in the log, found by ${first.by} with model ${first.model.id}, version ${first.model.version}. This replays it on your own machine:`),
        h('p', { class: 'buttons' }, h('code', null, `lamppost explain ${first.id}`), copyButton('Copy', () => `lamppost explain ${first.id}`)))),
    update(a) {
      dress(state, a);
      next.hidden = form.hidden = !a.open;
      say(next, nextWords(a));
      fill(said, (a.reviews ?? []).map((r, i) => [i > 0 && ' · ', `${answerWords[r.answer] ?? r.answer}, ${r.by}, ${when(r.time_ms)}`, r.reason && `: ${r.reason}`]));
    },
    stop: chart.stop,
  };
}

const answerWords = { seen: 'Seen', normal: 'Not an anomaly', valid: 'It is right', wrong: 'It was wrong' };

// nextWords says what to do.
function nextWords(a) {
  if (a.verdict.kind === 'behaviour') {
    return a.suspending ? 'Its reports are refused. Look at the device. If it is in order, say so; if somebody got at it, give it a new key and say that it was wrong.'
      : 'Look at the device: was it changed, moved, or got at? Nothing is held back.';
  }
  return a.suspending ? 'Nothing that this register shows from then on is billed. Read the meter. If it is right all the same, say so; if not, enter what it should show (lamppost reading enter) and say that it was wrong.'
    : 'Bills are made as ever. If it is nothing, say so: then it takes more for this series to alarm.';
}

// answers is what somebody may say. What ends a suspension needs a reason.
function answers(app, a, answered) {
  const suspends = a.verdict.suspends;
  const id = `reason-${a.id.replaceAll('.', '-')}`;
  const reason = h('input', { id, maxlength: '200', autocomplete: 'off', required: suspends });
  const problem = h('div', { role: 'alert' });
  const give = (answer, words, needsReason) => async () => {
    if (needsReason && !reason.reportValidity()) return;
    for (const b of el.querySelectorAll('button')) b.disabled = true;
    await app.guard(async () => {
      await post(`/verdicts/${a.id}/review`, { answer, reason: reason.value.trim() });
      answered(`${a.words.title}: ${words}`);
    }, problem);
    for (const b of el.querySelectorAll('button')) b.disabled = false;
  };
  const button = (text, props, onclick) => h('button', { type: 'button', class: 'small', ...props, onclick }, text);
  const ends = a.verdict.kind === 'behaviour';
  const el = h('div', { class: 'answers' },
    h('div', { class: 'field' }, h('label', { for: id }, suspends ? 'Reason, for the record (needed to say that it is right or was wrong)' : 'Reason, for the record (may be empty)'), reason),
    h('div', { class: 'buttons', role: 'group', 'aria-label': `Answer to: ${a.words.title}` },
      button('Seen', {}, give('seen', 'seen.')),
      !suspends && button('Not an anomaly', {}, give('normal', 'not an anomaly. This series needs more to alarm from now on.')),
      button(ends ? 'It is in order' : suspends ? 'It is right: bill it' : 'It is right', { class: suspends ? 'small main' : 'small' }, give('valid', 'it is right.', suspends)),
      button('It was wrong', { class: suspends ? 'small danger' : 'small' }, give('wrong', 'it was wrong.', suspends))),
    problem);
  return el;
}

// picture draws the series around an alarm. It says the same in words for whom it cannot be drawn.
function picture(app, a) {
  const v = a.verdict;
  const place = h('div', { class: 'chart alarm-chart', role: 'img', 'aria-label': 'Picture of the readings' });
  const words = h('p', { class: 'quiet' });
  const problem = h('div');
  const el = h('div', { class: 'picture' }, problem, place, words);
  if (!v.name) return { el: h('div', { hidden: true }), stop() {} };
  let plot = null;
  const draw = async () => {
    const series = await get(`/devices/${encodeURIComponent(v.device)}/series?name=${encodeURIComponent(v.name)}`);
    const data = around(asJudged(series, v), v);
    say(words, data ? pictureWords(data, v) : 'Nothing of that time is kept for drawing here.');
    place.hidden = !data;
    if (!data || !place.clientWidth) return;
    place.setAttribute('aria-label', `Picture of ${v.name}. ${words.textContent}`);
    plot?.destroy();
    plot = new uPlot(alarmOptions(place.clientWidth, data, v), [data.times, data.values, ...(data.earlier ? [data.earlier] : [])], place);
  };
  const size = new ResizeObserver(() => plot && plot.width !== place.clientWidth && place.clientWidth && plot.setSize({ width: place.clientWidth, height: chartHeight(place.clientWidth) }));
  const seen = new IntersectionObserver(([entry]) => { // a long list asks for what is looked at
    if (!entry.isIntersecting) return;
    seen.disconnect();
    app.guard(draw, problem);
  });
  const scheme = matchMedia('(prefers-color-scheme: dark)');
  const redraw = () => plot && app.guard(draw, problem);
  scheme.addEventListener('change', redraw);
  size.observe(place);
  seen.observe(el);
  return {
    el,
    stop() {
      seen.disconnect();
      size.disconnect();
      scheme.removeEventListener('change', redraw);
      plot?.destroy();
      plot = null;
    },
  };
}

const asRegister = ['rolled_back', 'clone', 'frozen', 'twin'];

// asJudged turns a running total into what it moves in an hour, which is what detectors look at, unless the register itself is wrong.
function asJudged(series, v) {
  if (series.kind !== 'register' || asRegister.includes(v.reasons[0].code)) return { ...series, label: `${series.name}, ${unitName(series.unit)}` };
  const times = series.times_ms.slice(1);
  const values = times.map((t, i) => ((series.values[i + 1] - series.values[i]) * 3_600_000) / (t - series.times_ms[i]));
  const unit = { Wh: 'W', kWh: 'kW' }[series.unit] ?? `${unitName(series.unit)}/h`;
  return { ...series, times_ms: times, values, unit, kind: 'gauge', label: `${series.name}, ${unit}` };
}

const pointsBefore = 96;
const pointsAfter = 24;

// around cuts out what is near an alarm, with the usual range where a reason gives one of the values, and the nearest earlier course.
function around(series, v) {
  const first = series.times_ms.findIndex((t) => t >= v.since_ms);
  const last = series.times_ms.findLastIndex((t) => t <= v.at_ms);
  if (first < 0 || last < 0) return null;
  const from = Math.max(0, Math.min(first, last) - pointsBefore);
  const to = last + pointsAfter + 1;
  const usual = v.reasons.find((r) => ['value', 'level', 'relation', 'pattern', 'mean'].includes(r.code) && r.low !== undefined && r.high !== undefined);
  const near = v.reasons.find((r) => r.code === 'pattern' && r.nearest_ms);
  const data = { ...series, times: series.times_ms.slice(from, to), values: series.values.slice(from, to), low: usual && Number(usual.low), high: usual && Number(usual.high) };
  if (near) {
    const shift = v.at_ms - near.nearest_ms;
    const at = new Map(series.times_ms.map((t, i) => [t, series.values[i]]));
    const begin = Math.min(v.since_ms, series.times_ms[Math.max(0, last - (near.readings ?? 1) + 1)]);
    data.earlier = data.times.map((t) => (t >= begin && t <= v.at_ms ? at.get(t - shift) ?? nearestValue(series, t - shift) : null));
    data.earlierAt = near.nearest_ms;
  }
  return data;
}

// nearestValue is what a series had at a time, or null where it has nothing near.
function nearestValue(series, at) {
  const i = series.times_ms.findIndex((t) => t >= at);
  if (i <= 0) return null;
  return at - series.times_ms[i - 1] < series.times_ms[i] - at ? series.values[i - 1] : series.values[i];
}

function pictureWords(d, v) {
  const usual = d.low === undefined ? '' : ` The shade across is what was usual: ${drawn(d.low)} to ${drawn(d.high)} ${unitName(d.unit)}.`;
  const earlier = d.earlierAt ? ` The dashed line is the nearest earlier course, which ended ${when(d.earlierAt)}.` : '';
  const from = when(v.since_ms);
  const time = from === when(v.at_ms) ? from : `from ${from} to ${when(v.at_ms)}`;
  return `${d.label}. The band is what is unusual, ${time}.${usual}${earlier}`;
}

function alarmOptions(width, data, v) {
  const style = getComputedStyle(document.documentElement);
  const colour = (name) => style.getPropertyValue(name).trim();
  const o = options(width, data);
  o.series[1].label = data.label;
  o.series[1].fill = undefined; // the shades say enough
  if (data.earlier) {
    o.series.push({ label: 'nearest earlier', stroke: colour('--quiet'), width: 2, dash: [5, 4], points: { show: false }, value: (_, x) => (x == null ? '–' : drawn(x)) });
  }
  const range = o.scales.y.range;
  o.scales.y.range = (u, low, high) => range(u, Math.min(low, data.low ?? low), Math.max(high, data.high ?? high));
  o.hooks = { drawClear: [(u) => shade(u, data, v, colour)] };
  return o;
}

// shade paints the usual range across, and the unusual time from top to bottom.
function shade(u, data, v, colour) {
  const { left, top, width, height } = u.bbox;
  if (data.low !== undefined) {
    const y = (value) => Math.max(top, Math.min(top + height, u.valToPos(value, 'y', true)));
    u.ctx.save();
    u.ctx.fillStyle = colour('--ok-wash');
    u.ctx.fillRect(left, y(data.high), width, Math.max(2, y(data.low) - y(data.high)));
    u.ctx.restore();
  }
  mark(u, v.since_ms, v.at_ms, colour('--bad-wash'));
}
