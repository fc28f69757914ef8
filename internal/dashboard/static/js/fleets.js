// Fleets to begin with, for the page that advises: those of examples/fleets, where the reasons for every choice stand.

const machines = (name, devices, more) => ({ name, devices, signs: ['ed25519'], power: 'mains', battery_wh: 0, battery_years: 0, link: 'ethernet', readings_a_day: 96,
  late_minutes: 0, peak: 3, on_site: false, ...more });
const who = (name, place) => ({ name, runs: true, trusts: [], place });
const must = (more) => ({ latency_ms: 5000, survive: 'nothing', nobody_alone: false, check: 'parties', strangers: false, rtt_ms: 20, retention_years: 10, personal_data: false,
  stay_in: [], value_a_day: 0, budget_a_year: 0, ...more });

export const fleets = [
  { title: 'A house with sub-meters', fleet: {
    name: 'House with sub-meters', classes: [machines('electricity', 24, { late_minutes: 60 }), machines('water and heat', 96, { signs: ['hmac-sha256'], power: 'battery',
      battery_wh: 9, battery_years: 10, link: 'zigbee', readings_a_day: 24, late_minutes: 720, peak: 1.5, on_site: true })],
    organisations: [who('landlord', 'DE'), who("tenants' association", 'DE')],
    needs: must({ latency_ms: 60_000, personal_data: true, stay_in: ['DE'], retention_years: 3, value_a_day: 90, budget_a_year: 400 }) } },
  { title: 'Street lamps of a city', fleet: {
    name: "City's street lamps", classes: [machines('lamp', 40_000, { signs: ['es256', 'hmac-sha256'], link: 'zigbee', late_minutes: 60, on_site: true })],
    organisations: [who('city works', 'NL'), who('energy supplier', 'NL')],
    needs: must({ survive: 'machine', rtt_ms: 5, retention_years: 7, value_a_day: 9000, budget_a_year: 40_000 }) } },
  { title: 'Chargers of rivals', fleet: {
    name: 'Charging rivals who roam', classes: [machines('station', 2400, { signs: ['es256'], link: 'cellular', readings_a_day: 288 })],
    organisations: [who('north', 'DE'), who('south', 'AT'), who('east', 'PL'), who('west', 'NL')],
    needs: must({ latency_ms: 3000, nobody_alone: true, survive: 'organisation', rtt_ms: 30, personal_data: true, stay_in: ['DE', 'AT', 'PL', 'NL'], value_a_day: 60_000, budget_a_year: 50_000 }) } },
  { title: 'Sensors of one factory', fleet: {
    name: "Factory's internal sensors", classes: [machines('temperature and vibration', 5000, { signs: ['none'], link: 'wifi', readings_a_day: 1440, late_minutes: 1, peak: 1.5 })],
    organisations: [who('factory', 'CZ')], needs: must({ check: 'nobody', survive: 'machine', retention_years: 2, budget_a_year: 20_000 }) } },
];
