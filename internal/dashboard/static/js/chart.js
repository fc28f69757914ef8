// How readings over time are drawn.

import { axisClock, axisDay, drawn, unitName, whenExactly } from './format.js';

// chartHeight is a chart's height for a width.
export const chartHeight = (width) => (width < 500 ? 220 : 300);

// options are uPlot's for one series {name, unit, kind}, in the page's colours; with a band, the third and fourth column of the data are
// between what a value was at most and at least.
export function options(width, series, band) {
  const style = getComputedStyle(document.documentElement);
  const colour = (name) => style.getPropertyValue(name).trim();
  const font = '12px system-ui, sans-serif';
  const axis = { stroke: colour('--quiet'), font, grid: { stroke: colour('--line'), width: 1 }, ticks: { stroke: colour('--line'), width: 1, size: 4 } };
  const unit = unitName(series.unit);
  return {
    width, height: chartHeight(width), ms: 1, legend: { live: true, markers: { show: false } },
    cursor: { y: false, points: { size: 8 } },
    scales: { x: { time: true }, y: { range: (_, low, high) => fromZero(low, high, series.kind) } },
    axes: [
      { ...axis, space: 70, size: 44, values: (_, ticks) => tickWords(ticks) },
      { ...axis, size: 62, values: (_, ticks) => ticks.map((v) => drawn(v)) },
    ],
    series: [
      { label: 'Time', value: (_, v) => (v == null ? '–' : whenExactly(v)) },
      { label: series.name, stroke: colour('--line-ink'), width: 2, fill: colour('--line-fill'), points: { show: false },
        value: (_, v) => (v == null ? '–' : `${drawn(v)} ${unit}`) },
      ...(band ? ['At most', 'At least'].map((label) => ({ label, stroke: 'transparent', width: 0, points: { show: false }, value: (_, v) => (v == null ? '–' : `${drawn(v)} ${unit}`) })) : []),
    ],
    ...(band ? { bands: [{ series: [2, 3], fill: colour('--line-band') }] } : {}),
  };
}

// fromZero lets what may fall to nothing stand on zero, and leaves a running total or a voltage its own stretch.
function fromZero(low, high, kind) {
  const pad = (high - low || Math.abs(high) || 1) * 0.08;
  return kind !== 'register' && low >= 0 && low <= 0.7 * high ? [0, high + pad] : [low - pad, high + pad];
}

// tickWords writes the clock at each tick, and the day wherever it changes.
function tickWords(ticks) {
  let day = '';
  return ticks.map((t) => {
    const d = axisDay(t);
    const midnight = new Date(t).getHours() === 0 && new Date(t).getMinutes() === 0;
    const text = day === '' || d !== day ? (midnight ? d : `${axisClock(t)}\n${d}`) : axisClock(t);
    day = d;
    return text;
  });
}
