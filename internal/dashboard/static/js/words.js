// What codes and classes mean, in plain words. The API sends names; sentences are made here.

import { count, plural } from './format.js';

const codes = {
  ok: 'accepted', duplicate: 'sent again, counted once', bad_report: 'unreadable', too_large: 'too large',
  bad_signature: 'wrong signature', unknown: 'not registered', number_reused: 'number used twice',
  too_old: 'too old', clock_ahead: 'clock ahead', float_billed: 'inexact meter value', quarantined: 'in quarantine',
  forbidden: 'not allowed', bad_transaction: 'unreadable order', expired: 'came too late', exists: 'already there',
  no_funds: 'over the credit limit', not_ready: 'not ready yet', busy: 'too busy, sent again later',
  bad_evidence: 'not what the meter signed',
};

export const codeWords = (code) => codes[code] ?? String(code).replaceAll('_', ' ');

const safety = {
  life: ['Life', 'People’s lives may depend on it. It never refuses service: no bill, contract or outage can switch it off.'],
  public: ['Public', 'The public relies on it. It never falls under its minimum, for a street lamp its minimum light, whatever is owed.'],
  essential: ['Essential', 'Somebody’s home or work relies on it. It may be reduced only after 7 days’ notice and 72 hours’ grace, and never while it is offline.'],
  ordinary: ['Ordinary', 'It may stop, for example when it is not paid for.'],
};
export const safetyClasses = ['life', 'public', 'essential', 'ordinary'];
const safetyByNumber = ['essential', 'life', 'public', 'ordinary'];

export const safetyClass = (c) => (typeof c === 'number' ? safetyByNumber[c] : c) ?? 'essential';
export const safetyName = (c) => (safety[safetyClass(c)] ?? safety.essential)[0];
export const safetyWords = (c) => (safety[safetyClass(c)] ?? safety.essential)[1];

const assurances = {
  'meter-signed': 'The meter itself signs every value. Its signature is kept exactly as it came, so anyone can check it again.',
  'device-signed': 'The device signs every report with a key of its own. Anyone can check that exactly these values came from it and that nobody changed them on the way, neither the network nor the operator of this node.',
  'gateway-vouched': 'The device shares a secret with its gateway. The gateway checked each report and signed for it: you trust the gateway, not the device alone.',
  'channel-authenticated': 'The connection was checked, the values are not signed one by one: you trust whoever ran the connection.',
  unsigned: 'Nobody signed these values. They are shown, and are never silently taken as valid.',
};

export const assuranceWords = (a) => assurances[a] ?? 'This node does not say how the values are vouched for.';

const suites = { ed25519: 'Ed25519', eddsa: 'Ed25519', es256: 'ES256', 'hmac-sha256': 'HMAC-SHA256', 'ml-dsa-44': 'ML-DSA-44' };
const suiteMeaning = {
  ed25519: 'Ed25519 is the kind of signature: a public standard (RFC 8032).',
  es256: 'ES256 is the kind of signature: a public standard that secure chips know (ECDSA on the curve P-256).',
  'hmac-sha256': 'HMAC-SHA256 is the kind of proof: a fingerprint made with a shared secret (RFC 2104).',
};

export const suiteName = (s) => suites[String(s).toLowerCase()] ?? String(s ?? '');
export const suiteWords = (s) => suiteMeaning[suiteName(s).toLowerCase()] ?? '';

const kinds = { register: 'running total', interval: 'amount since the last', gauge: 'at that moment' };
const kindsByNumber = ['gauge', 'interval', 'register'];
const qualities = ['measured', 'estimated', 'substituted', 'faulty'];

export const kindWords = (k) => kinds[typeof k === 'number' ? kindsByNumber[k] : k] ?? String(k ?? '');
export const qualityName = (q) => (typeof q === 'number' ? qualities[q] : q) || 'measured';

const types = {
  genesis: 'Network founded', segment: 'Readings', party: 'Party', device: 'Device', point: 'Metering point',
  tariff: 'Tariff', agreement: 'Agreement', invoice: 'Bill', transfer: 'Payment', block: 'Block', gateway: 'Gateway', revoke: 'Key revoked', fraud: 'Correction',
  retention: 'How long reports stay', hold: 'Hold', erase: 'Erasure', erased: 'Forgotten', snapshot: 'State vouched for', network: 'Members',
  reading: 'Entered by hand', correct: 'Bill corrected', dispute: 'Dispute', session: 'Session', settle: 'Session ended', convert: 'Currencies exchanged', charter: 'Guard charter', restrict: 'Restriction',
  centre: 'Profit centre', payout: 'Profit paid out', offer: 'Offer of a device', accept: 'Offer accepted', verdicts: 'Triage', review: 'Answer to an alarm', watch: 'Told to triage',
};

export const typeName = (t) => types[t] ?? String(t);

// stateOf says how a device is doing: one word for people, one for the style sheet.
export function stateOf(d) {
  if (d.quarantined) return { key: 'bad', text: 'Quarantined' };
  if (d.online) return { key: 'ok', text: 'Online' };
  return { key: 'idle', text: d.last_ms > 0 ? 'Silent' : 'Not heard yet' };
}

const lines = {
  standing: 'Standing charge', series: 'At the changing price', capacity: 'Highest quarter hour', 'session-start': 'Start', vouchers: 'Promised payments', 'session-time': 'Duration',
  'session-idle': 'Time without use', minimum: 'Up to the minimum price', maximum: 'Over the maximum price',
};

// causeWords says why a bill was corrected.
export const causeWords = (c) => ['', 'a reading came after it', 'a reading was replaced', 'it was disputed', 'a meter or an agreement was registered late or wrongly'][c] ?? '';

// lineName names a line of a bill.
export function lineName(band) {
  if (lines[band]) return lines[band];
  return band ? band[0].toUpperCase() + band.slice(1) : 'Use';
}

// verifiedBy says who checks the devices' signatures, and what the samples found.
export function verifiedBy(v) {
  if (v?.policy !== 'gateway') return 'Every replica checks every signature of every device.';
  const skipped = v.skipped ? `, ${count(v.skipped)} more were drawn and skipped for want of time` : '';
  const lies = v.hits ? `${plural(v.hits, 'report')} turned out to be false and ${v.hits === 1 ? 'was' : 'were'} corrected` : 'none was false';
  return `Gateways on site check the devices’ signatures. Since its start this node checked ${plural(v.sampled, 'report')} again, drawn by lot${skipped}: ${lies}.`;
}
