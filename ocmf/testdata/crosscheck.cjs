// Says what the npm packages @road-labs/ocmf and @road-labs/ocmf-crypto-noble say of records: reads a JSON list of {record, key}
// with the key as DER in hex, writes a list of {verdict, page, algorithm, readings}. The packages are looked for where it runs.
'use strict';
const {createRequire} = require('node:module');
const {readFileSync} = require('node:fs');
const need = createRequire(process.cwd() + '/x.js');
const {Verifier} = need('@road-labs/ocmf');
const {Crypto} = need('@road-labs/ocmf-crypto-noble');

const crypto = new Crypto();

// time reads TM by the calendar of the language.
function time(tm) {
  const [, day, clock, ms, zone, sync] = /^(\S+)T(\S{8}),(\d{3})([+-]\d{4}) (.)$/.exec(tm);
  return [Date.parse(`${day}T${clock}.${ms}${zone.slice(0, 3)}:${zone.slice(3)}`), sync];
}

async function say({record, key}) {
  try {
    const publicKey = await crypto.decodeEcPublicKey(Buffer.from(key, 'hex'), 'spki-der');
    const {verified, value} = await new Verifier(crypto).parseAndVerify(record, publicKey);
    if (!verified) {
      return {verdict: 'refused'};
    }
    let last = {};
    const readings = value.payloadData.RD.map((x) => {
      last = {...last, ...x};
      const [at, sync] = time(last.TM);
      return {time: at, sync, reason: last.TX ?? '', value: last.RV, register: last.RI, unit: last.RU, status: last.ST};
    });
    return {verdict: 'ok', page: value.payloadData.PG, readings};
  } catch (err) {
    return {verdict: 'error', why: String(err)};
  }
}

Promise.all(JSON.parse(readFileSync(0)).map(say)).then((all) => console.log(JSON.stringify(all)));
