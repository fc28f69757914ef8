package agent

import "github.com/lamppost/lamppost"

// A Kind says what an agent steers. The numbers are part of the format.
type Kind uint8

// Kinds.
const (
	KindLamp    Kind = 1 // a street lamp's level
	KindCharger Kind = 2 // a charger's power
	KindStorage Kind = 3 // a storage's power: in, or out below 0
	KindValve   Kind = 4 // a water valve
)

// A Mode says what becomes of decisions. The numbers are part of the format.
type Mode uint8

// Modes.
const (
	ModeAdvise  Mode = 1 // decisions are recorded and shown, and the device follows its safe rule
	ModeBounded Mode = 2 // it acts, within the guard, the spending limit and the rules
	ModeStopped Mode = 3 // it decides nothing: the device follows its safe rule
	ModeSafe    Mode = 4 // of a decision alone: the safe rule, because a forecast or an input could not be used
)

// A Decision is what an agent has its device do from At until Until or its next decision, and why in numbers.
type Decision struct {
	Device   lamppost.DeviceID `cbor:"1,keyasint" json:"device"`
	Kind     Kind              `cbor:"2,keyasint" json:"kind"`
	At       lamppost.TimeMS   `cbor:"3,keyasint" json:"at_ms"`
	Until    lamppost.TimeMS   `cbor:"4,keyasint" json:"until_ms"`
	Mode     Mode              `cbor:"5,keyasint" json:"mode"`
	Action   Action            `cbor:"6,keyasint" json:"action"`
	Inputs   lamppost.Hash     `cbor:"7,keyasint" json:"inputs"`          // SHA-256 of [Inputs.Encode]; zero until [Record]
	Gain     lamppost.Micro    `cbor:"8,keyasint,omitempty" json:"gain"`  // that is expected over the horizon, against the safe rule
	Spend    lamppost.Micro    `cbor:"9,keyasint,omitempty" json:"spend"` // that is expected until Until: it counts against the device's limit
	Currency string            `cbor:"10,keyasint" json:"currency"`
	Forecast []Expected        `cbor:"11,keyasint,omitempty" json:"forecast,omitempty"`

	Reasons      []lamppost.VerdictReason `cbor:"12,keyasint" json:"reasons"`                          // 1 to MaxReasons
	Alternatives []Alternative            `cbor:"13,keyasint,omitempty" json:"alternatives,omitempty"` // the best first
	Flip         *Flip                    `cbor:"14,keyasint,omitempty" json:"flip,omitempty"`         // nil until [Record]
}

// An Action is what a device is told: a level or a valve in %, a power in W, below 0 out of a storage.
type Action struct {
	Name  string           `cbor:"1,keyasint" json:"name"` // "level", "power" or "valve"
	Value lamppost.Decimal `cbor:"2,keyasint" json:"value"`
	Unit  string           `cbor:"3,keyasint" json:"unit"`
}

// Expected is a forecast of what mattered: its mean until Until, and the bounds within which it should lie nine times of ten.
type Expected struct {
	Name string           `cbor:"1,keyasint" json:"name"`
	Unit string           `cbor:"2,keyasint,omitempty" json:"unit,omitempty"`
	Mean lamppost.Decimal `cbor:"3,keyasint" json:"mean"`
	Low  lamppost.Decimal `cbor:"4,keyasint" json:"low"`
	High lamppost.Decimal `cbor:"5,keyasint" json:"high"`
}

// An Alternative is what else could have been done, with what it was expected to gain against the safe rule.
type Alternative struct {
	Action Action         `cbor:"1,keyasint" json:"action"`
	Gain   lamppost.Micro `cbor:"2,keyasint,omitempty" json:"gain"`
}

// A Flip is what would have changed a decision: another value of one input, the others as they were.
type Flip struct {
	What      string           `cbor:"1,keyasint" json:"what"`
	Threshold lamppost.Decimal `cbor:"2,keyasint" json:"threshold"`
	Unit      string           `cbor:"3,keyasint,omitempty" json:"unit,omitempty"`
	Below     bool             `cbor:"4,keyasint,omitempty" json:"below"` // true: had it been under the threshold; false: above
	Other     Action           `cbor:"5,keyasint" json:"other"`           // then
}
