// Fleets to begin with, for the page that advises: what is typical of each, to be changed.

const machines = (name, devices, more) => ({ name, devices, signs: ['ed25519'], power: 'mains', battery_wh: 0, battery_years: 0, link: 'ethernet', readings_a_day: 96,
  late_minutes: 15, peak: 3, on_site: false, ...more });
const who = (name, runs, trusts = []) => ({ name, runs, trusts, place: 'DE' });
const must = (more) => ({ latency_ms: 5000, survive: 'nothing', nobody_alone: false, check: 'parties', strangers: false, rtt_ms: 20, retention_years: 10, personal_data: false,
  stay_in: [], value_a_day: 0, budget_a_year: 0, ...more });

export const fleets = [
  { title: 'A house and its landlord', fleet: {
    name: 'house', classes: [machines('flat meters', 12, { link: 'wifi' }), machines('heat cost allocators', 48, { signs: ['hmac-sha256'], power: 'battery', battery_wh: 8, battery_years: 10, link: 'zigbee', readings_a_day: 24, late_minutes: 60, on_site: true })],
    organisations: [who('landlord', true), who('tenants', false)], needs: must({ personal_data: true, stay_in: ['DE'], value_a_day: 60 }) } },
  { title: 'Street lamps of a city', fleet: {
    name: 'street', classes: [machines('lamps', 4000, { link: 'cellular', readings_a_day: 288, late_minutes: 5 })],
    organisations: [who('city', true, ['utility', 'maintainer']), who('utility', true, ['city', 'maintainer']), who('maintainer', true, ['city', 'utility'])],
    needs: must({ survive: 'organisation', value_a_day: 900 }) } },
  { title: 'Chargers of rivals', fleet: {
    name: 'chargers', classes: [machines('chargers', 2500, { signs: ['es256'], readings_a_day: 1440, late_minutes: 0, peak: 4 })],
    organisations: [who('north grid', true), who('fast charge', true), who('city works', true), who('car club', true)],
    needs: must({ latency_ms: 2000, survive: 'organisation', nobody_alone: true, value_a_day: 40000 }) } },
  { title: 'Sensors of one company', fleet: {
    name: 'plant', classes: [machines('sensors', 600, { signs: [], readings_a_day: 1440, late_minutes: 1 })],
    organisations: [who('plant', true)], needs: must({ check: 'nobody', retention_years: 2 }) } },
];
