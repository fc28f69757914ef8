package advise

// A Fleet is what is known of the machines, of those who live with their readings, and of what must hold. Its file is YAML, with the
// names below; unknown keys are errors.
type Fleet struct {
	Name          string         `yaml:"name" json:"name"`
	Classes       []Class        `yaml:"classes" json:"classes"`
	Organisations []Organisation `yaml:"organisations" json:"organisations"`
	Needs         Needs          `yaml:"needs" json:"needs"`
}

// A Class is devices that are alike.
type Class struct {
	Name         string   `yaml:"name" json:"name"`
	Devices      int      `yaml:"devices" json:"devices"`
	Signs        []string `yaml:"signs" json:"signs"`                 // suites that the device can sign with: ed25519, es256, hmac-sha256; none: it cannot
	Power        string   `yaml:"power" json:"power"`                 // mains (default), battery
	BatteryWh    float64  `yaml:"battery_wh" json:"battery_wh"`       // of a device on battery
	BatteryYears float64  `yaml:"battery_years" json:"battery_years"` // how long it must last
	Link         string   `yaml:"link" json:"link"`                   // ethernet (default), wifi, zigbee, cellular, lora
	ReadingsADay float64  `yaml:"readings_a_day" json:"readings_a_day"`
	LateMinutes  float64  `yaml:"late_minutes" json:"late_minutes"` // how old a reading may be when it is committed: what a report may gather; 0: it is sent at once
	Peak         float64  `yaml:"peak" json:"peak"`                 // the busiest hour against the mean; default 3
	OnSite       bool     `yaml:"on_site" json:"on_site"`           // a gateway can stand near the devices
}

// An Organisation is somebody who writes or reads the fleet's books.
type Organisation struct {
	Name   string   `yaml:"name" json:"name"`
	Runs   bool     `yaml:"runs" json:"runs"`     // can run a member on a machine of its own
	Trusts []string `yaml:"trusts" json:"trusts"` // whose books it takes unchecked
	Place  string   `yaml:"place" json:"place"`   // where its machine stands: a country (ISO 3166)
}

// Needs are what must hold.
type Needs struct {
	LatencyMS      float64  `yaml:"latency_ms" json:"latency_ms"`           // from a report's sending until it is final, 99 of 100; default 5,000
	Survive        string   `yaml:"survive" json:"survive"`                 // whose loss the service bears: nothing (default), machine, organisation
	NobodyAlone    bool     `yaml:"nobody_alone" json:"nobody_alone"`       // no single party may refuse, delay or reorder what others send
	Check          string   `yaml:"check" json:"check"`                     // who may check the books: nobody, parties (default), anyone
	Strangers      bool     `yaml:"strangers" json:"strangers"`             // people nobody knows beforehand may write
	RTTMS          float64  `yaml:"rtt_ms" json:"rtt_ms"`                   // round trip between the organisations' machines; default 20
	RetentionYears float64  `yaml:"retention_years" json:"retention_years"` // default 10
	PersonalData   bool     `yaml:"personal_data" json:"personal_data"`     // readings tell of persons
	StayIn         []string `yaml:"stay_in" json:"stay_in"`                 // countries the data may be in; none: anywhere
	ValueADay      float64  `yaml:"value_a_day" json:"value_a_day"`         // EUR that the readings of a day decide on
	BudgetAYear    float64  `yaml:"budget_a_year" json:"budget_a_year"`     // EUR; 0: not said
}
