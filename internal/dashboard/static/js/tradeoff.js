// A picture of cost against latency: how much sooner a reading is final for how much more.

import { fill, h, part } from './dom.js';

const edge = { left: 62, right: 18, top: 22, bottom: 42 };
const sharp = new Intl.NumberFormat(undefined, { maximumSignificantDigits: 2, notation: 'compact' });

// tradeOff draws the options that have both figures, with their ranges. It is drawn for the width there is, so that its words stay readable.
export function tradeOff(options, needMS) {
  const drawn = options.filter((o) => o.figures?.commit_p99_ms?.high > 0 && o.year?.eur?.high > 0).map((o) => ({ tag: o.tag, out: !!o.out?.length, x: o.figures.commit_p99_ms, y: o.year.eur }));
  if (drawn.length < 2) return null;
  const el = h('div', { class: 'tradeoff', id: 'tradeoff' });
  new ResizeObserver(() => draw(el, drawn, needMS)).observe(el);
  return el;
}

function draw(el, drawn, needMS) {
  const width = Math.round(el.clientWidth);
  if (!width || width === Number(el.dataset.width)) return;
  el.dataset.width = width;
  const height = width < 500 ? 260 : 320;
  const x = scale(drawn.flatMap((d) => [d.x.low, d.x.high]).concat(needMS || []), edge.left, width - edge.right);
  const y = scale(drawn.flatMap((d) => [d.y.low, d.y.high]), height - edge.bottom, edge.top);
  const svg = part('svg', { viewBox: `0 0 ${width} ${height}`, width, height, role: 'img', 'aria-label': 'Cost in a year against the time until a reading is final; the table below has the same figures' });
  svg.append(...axes(x, y, width, height), ...need(x, needMS, height), ...drawn.flatMap((d) => mark(d, x, y)), ...tags(drawn, x, y));
  fill(el, svg);
}

// scale is logarithmic, from half a decade at least; its ticks are powers of ten and what lies between where there is room.
function scale(values, from, to) {
  const low = Math.log10(Math.max(1e-3, Math.min(...values.filter((v) => v > 0))));
  const high = Math.log10(Math.max(...values));
  const room = Math.max(0.5, high - low) * 0.08;
  const [a, b] = [low - room, Math.max(high, low + 0.5) + room];
  const at = (v) => from + ((Math.log10(Math.max(v, 1e-3)) - a) / (b - a)) * (to - from);
  const ticks = [];
  for (let e = Math.floor(a); e <= b; e++) for (const m of b - a > 2 ? [1] : b - a > 1 ? [1, 3] : [1, 2, 5]) ticks.push(m * 10 ** e);
  return { at, ticks: ticks.filter((t) => Math.log10(t) >= a && Math.log10(t) <= b) };
}

function axes(x, y, width, height) {
  const bottom = height - edge.bottom;
  return [
    ...y.ticks.flatMap((t) => [part('line', { class: 'grid', x1: edge.left, x2: width - edge.right, y1: y.at(t), y2: y.at(t) }), words(`€${sharp.format(t)}`, edge.left - 8, y.at(t) + 4, 'end')]),
    ...x.ticks.flatMap((t) => [part('line', { class: 'grid', x1: x.at(t), x2: x.at(t), y1: edge.top, y2: bottom }), words(t < 1000 ? `${sharp.format(t)} ms` : `${sharp.format(t / 1000)} s`, x.at(t), bottom + 16, 'middle')]),
    words('a year', edge.left - 8, 12, 'end'), words('final, 99 of 100', width - edge.right, height - 6, 'end'),
  ];
}

function need(x, needMS, height) {
  if (!(needMS > 0)) return [];
  const at = x.at(needMS);
  return [part('line', { class: 'need', x1: at, x2: at, y1: edge.top, y2: height - edge.bottom }), words('needed', at, 14, 'end')];
}

function mark(d, x, y) {
  const kind = d.out ? 'mark out' : 'mark';
  return [part('line', { class: kind, x1: x.at(d.x.low), x2: x.at(d.x.high), y1: y.at(d.y.mid), y2: y.at(d.y.mid) }),
    part('line', { class: kind, x1: x.at(d.x.mid), x2: x.at(d.x.mid), y1: y.at(d.y.low), y2: y.at(d.y.high) }),
    part('circle', { class: kind, cx: x.at(d.x.mid), cy: y.at(d.y.mid), r: 5 })];
}

// tags stand beside their marks, one under the other where marks are close.
function tags(drawn, x, y) {
  const placed = [];
  return [...drawn].sort((a, b) => y.at(a.y.mid) - y.at(b.y.mid)).map((d) => {
    const left = x.at(d.x.mid) + 9;
    let top = y.at(d.y.mid) - 7;
    while (placed.some((p) => Math.abs(p.left - left) < 16 && Math.abs(p.top - top) < 14)) top += 14;
    placed.push({ left, top });
    return words(d.tag, left, top, 'start', d.out ? 'name out' : 'name');
  });
}

function words(text, x, y, anchor, kind) {
  const el = part('text', { x, y, 'text-anchor': anchor, class: kind ?? 'tick' });
  el.textContent = text;
  return el;
}
