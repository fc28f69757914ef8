package lamppost

import (
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/lamppost/lamppost/sig"
)

// What agents decide. An agent runs beside the ledger, in the node of one member; what it decided, by what, and what came of it stands on
// the ledger, so that whoever has its inputs decides the same again. docs/agents.md says how agents decide.

// AgentBody is how a device's owner wants its agent. The last one counts.
type AgentBody struct {
	Device   DeviceID     `cbor:"1,keyasint" json:"device"`
	Kind     AgentKind    `cbor:"2,keyasint" json:"kind"`
	Mode     AgentMode    `cbor:"3,keyasint" json:"mode"`                // not safe: that is an agent's word, not an owner's
	Member   MemberID     `cbor:"4,keyasint" json:"member"`              // whose node runs it; nobody else decides for the device
	Currency string       `cbor:"5,keyasint" json:"currency"`            // of all gains
	Site     string       `cbor:"6,keyasint,omitempty" json:"site"`      // devices of one site share its limits
	Tariff   string       `cbor:"7,keyasint,omitempty" json:"tariff"`    // whose prices count
	Inputs   []AgentInput `cbor:"8,keyasint,omitempty" json:"inputs"`    // what it observes, in the order of their names
	Rules    []AgentRule  `cbor:"9,keyasint,omitempty" json:"rules"`     // the owner's bounds and wishes, in the order of their names
	Function string       `cbor:"10,keyasint,omitempty" json:"function"` // of its guard, that actions pass; empty: the name of the action
}

// An AgentKind says what an agent steers. The numbers are part of the format.
type AgentKind uint8

// Kinds.
const (
	AgentLamp    AgentKind = 1 // a street lamp's level
	AgentCharger AgentKind = 2 // a charger's power
	AgentStorage AgentKind = 3 // a storage's power: in, or out below 0
	AgentValve   AgentKind = 4 // a water valve
)

var agentKindNames = [...]string{"", "lamp", "charger", "storage", "valve"}

// String returns the kind's name.
func (k AgentKind) String() string { return nameOf(agentKindNames[:], int(k)) }

// MarshalText writes the form of String.
func (k AgentKind) MarshalText() ([]byte, error) { return []byte(k.String()), nil }

// UnmarshalText reads it.
func (k *AgentKind) UnmarshalText(b []byte) (err error) {
	*k, err = ParseAgentKind(string(b))
	return err
}

// ParseAgentKind reads the form that String writes.
func ParseAgentKind(s string) (AgentKind, error) {
	if i := slices.Index(agentKindNames[:], s); i > 0 {
		return AgentKind(i), nil
	}
	return 0, fmt.Errorf("%q is not a kind of agent: lamp, charger, storage or valve", clip(s))
}

// An AgentMode says what becomes of decisions. The numbers are part of the format.
type AgentMode uint8

// Modes.
const (
	AgentAdvises AgentMode = 1 // decisions are recorded and shown, and the device follows its safe rule
	AgentBounded AgentMode = 2 // it acts, within the guard, the spending limit and the rules
	AgentStopped AgentMode = 3 // it decides nothing: the device follows its safe rule
	AgentSafe    AgentMode = 4 // of a decision alone: the safe rule, because the forecast or an input could not be used
)

var agentModeNames = [...]string{"", "advise", "bounded", "stopped", "safe"}

// String returns the mode's name.
func (m AgentMode) String() string { return nameOf(agentModeNames[:], int(m)) }

// MarshalText writes the form of String.
func (m AgentMode) MarshalText() ([]byte, error) { return []byte(m.String()), nil }

// UnmarshalText reads it.
func (m *AgentMode) UnmarshalText(b []byte) (err error) {
	*m, err = ParseAgentMode(string(b))
	return err
}

// ParseAgentMode reads the form that String writes.
func ParseAgentMode(s string) (AgentMode, error) {
	if i := slices.Index(agentModeNames[:], s); i > 0 {
		return AgentMode(i), nil
	}
	return 0, fmt.Errorf("%q is not a mode of an agent: advise, bounded, stopped or safe", clip(s))
}

func nameOf(names []string, i int) string {
	if i < len(names) {
		return names[i]
	}
	return "unknown"
}

// An AgentInput is something an agent observes: a reading, of its own device or another.
type AgentInput struct {
	Name    string   `cbor:"1,keyasint" json:"name"` // the agent's word for it, as docs/agents.md lists them for each kind
	Device  DeviceID `cbor:"2,keyasint" json:"device"`
	Reading string   `cbor:"3,keyasint" json:"reading"`
}

// An AgentRule is a number that an owner sets, under a name that docs/agents.md lists.
type AgentRule struct {
	Name  string  `cbor:"1,keyasint" json:"name"`
	Value Decimal `cbor:"2,keyasint" json:"value"`
	Unit  string  `cbor:"3,keyasint,omitempty" json:"unit,omitempty"`
}

// DecisionsBody is what the agents in a member's node decided, each device at most once, and what came of what they decided before.
type DecisionsBody struct {
	Model     Model             `cbor:"1,keyasint" json:"model"`
	Decisions []Decision        `cbor:"2,keyasint,omitempty" json:"decisions,omitempty"`
	Outcomes  []DecisionOutcome `cbor:"3,keyasint,omitempty" json:"outcomes,omitempty"`
}

// A Decision is what an agent has its device do from At until its next decision, and why in numbers. It was worked out for the time until Until.
type Decision struct {
	Device   DeviceID   `cbor:"1,keyasint" json:"device"`
	Kind     AgentKind  `cbor:"2,keyasint" json:"kind"`
	At       TimeMS     `cbor:"3,keyasint" json:"at_ms"`
	Until    TimeMS     `cbor:"4,keyasint" json:"until_ms"`
	Mode     AgentMode  `cbor:"5,keyasint" json:"mode"`
	Action   Action     `cbor:"6,keyasint" json:"action"`
	Inputs   Hash       `cbor:"7,keyasint" json:"inputs"`          // SHA-256 of what it was decided from: whoever has that replays it
	Gain     Micro      `cbor:"8,keyasint,omitempty" json:"gain"`  // that is expected over the horizon, against the safe rule
	Spend    Micro      `cbor:"9,keyasint,omitempty" json:"spend"` // that is expected until Until: it counts against the device's limit
	Currency string     `cbor:"10,keyasint" json:"currency"`       // of both, the agent's
	Forecast []Expected `cbor:"11,keyasint,omitempty" json:"forecast,omitempty"`

	Reasons      []VerdictReason `cbor:"12,keyasint" json:"reasons"`                          // 1 to MaxReasons, the weightiest first
	Alternatives []Alternative   `cbor:"13,keyasint,omitempty" json:"alternatives,omitempty"` // the best first
	Flip         *Flip           `cbor:"14,keyasint,omitempty" json:"flip,omitempty"`
}

// An Action is what a device is told: a level or a valve in %, a power in W, below 0 out of a storage.
type Action struct {
	Name  string  `cbor:"1,keyasint" json:"name"` // "level", "power" or "valve"
	Value Decimal `cbor:"2,keyasint" json:"value"`
	Unit  string  `cbor:"3,keyasint" json:"unit"`
}

// Expected is a forecast of what mattered: its mean until Until, and the bounds within which it should lie nine times of ten.
type Expected struct {
	Name string  `cbor:"1,keyasint" json:"name"`
	Unit string  `cbor:"2,keyasint,omitempty" json:"unit,omitempty"`
	Mean Decimal `cbor:"3,keyasint" json:"mean"`
	Low  Decimal `cbor:"4,keyasint" json:"low"`
	High Decimal `cbor:"5,keyasint" json:"high"`
}

// An Alternative is what else could have been done, with what it was expected to gain against the safe rule.
type Alternative struct {
	Action Action `cbor:"1,keyasint" json:"action"`
	Gain   Micro  `cbor:"2,keyasint,omitempty" json:"gain"`
}

// A Flip is what would have changed a decision: another value of one input, the others as they were.
type Flip struct {
	What      string  `cbor:"1,keyasint" json:"what"`
	Threshold Decimal `cbor:"2,keyasint" json:"threshold"`
	Unit      string  `cbor:"3,keyasint,omitempty" json:"unit,omitempty"`
	Below     bool    `cbor:"4,keyasint,omitempty" json:"below"` // true: had it been under the threshold; false: above
	Other     Action  `cbor:"5,keyasint" json:"other"`           // then
}

// A DecisionOutcome is what a decision came to against the safe rule, on the same data.
type DecisionOutcome struct {
	Decision DecisionID `cbor:"1,keyasint" json:"decision"`
	Until    TimeMS     `cbor:"2,keyasint" json:"until_ms"`           // it is over since: another decision came, or its time was up
	Gain     Micro      `cbor:"3,keyasint,omitempty" json:"gain"`     // of advice: what following it would have gained
	Spent    Micro      `cbor:"4,keyasint,omitempty" json:"spent"`    // in the place of what it was expected to spend
	Measured uint16     `cbor:"5,keyasint,omitempty" json:"measured"` // thousandths of its time of which there are readings
	Data     Hash       `cbor:"6,keyasint" json:"data"`               // SHA-256 of what it was computed from
	Expected Micro      `cbor:"7,keyasint,omitempty" json:"expected"` // what Gain would be had all come as it was forecast
}

// A DecisionID names a decision by where it stands.
type DecisionID struct {
	Height Height `cbor:"1,keyasint" json:"height"`
	Tx     uint32 `cbor:"2,keyasint" json:"tx"`
	Index  uint32 `cbor:"3,keyasint" json:"index"` // in the order's list
}

// String writes the id for people: d1204.3.0.
func (id DecisionID) String() string { return fmt.Sprintf("d%d.%d.%d", id.Height, id.Tx, id.Index) }

// MarshalText writes the form of String.
func (id DecisionID) MarshalText() ([]byte, error) { return []byte(id.String()), nil }

// UnmarshalText reads it.
func (id *DecisionID) UnmarshalText(b []byte) (err error) {
	*id, err = ParseDecisionID(string(b))
	return err
}

// ParseDecisionID reads the form that String writes.
func ParseDecisionID(s string) (DecisionID, error) {
	id, ok := parsePlaced(s, "d")
	if !ok {
		return DecisionID{}, fmt.Errorf("%q is not the id of a decision: they look like d1204.3.0", clip(s))
	}
	return DecisionID(id), nil
}

// LearnBody is an update of a model that gateways or members learn together, from data that stays with them.
type LearnBody struct {
	Model  string  `cbor:"1,keyasint" json:"model"`
	Base   Hash    `cbor:"2,keyasint" json:"base"`   // of the model that it improves; zero: of none
	Data   Hash    `cbor:"3,keyasint" json:"data"`   // commitment to what was learned from
	Rows   uint64  `cbor:"4,keyasint" json:"rows"`   // of that
	Metric string  `cbor:"5,keyasint" json:"metric"` // such as "mae"
	Before Decimal `cbor:"6,keyasint" json:"before"` // of the base, on data that was not learned from
	After  Decimal `cbor:"7,keyasint" json:"after"`  // with the update, on the same
	// Statistics are additive: those of all together give the model that all data in one place would have given.
	Statistics []byte `cbor:"8,keyasint" json:"statistics"`
	// Gateway is who learned, where that is no member, and Word its signature, see [LearnBody.Sign].
	Gateway MemberID `cbor:"9,keyasint,omitempty" json:"gateway,omitempty"`
	Word    []byte   `cbor:"10,keyasint,omitempty" json:"word,omitempty"`
}

// Sign gives an update its gateway's word: a COSE_Sign1 whose key id is the gateway's id and whose payload is the body without the word.
func (b *LearnBody) Sign(network string, key *sig.PrivateKey) (err error) {
	b.Word = nil
	b.Word, err = SignBody(network, PurposeLearn, b.Gateway, key, Marshal(b))
	return err
}

// Verify reports whether the word is that of the gateway with a public key, for this very update.
func (b LearnBody) Verify(network string, key *sig.PublicKey) bool {
	word := b.Word
	b.Word = nil
	return isWord(word, network, PurposeLearn, DeviceID(b.Gateway), Marshal(b), key)
}

// Limits of agents' orders.
const (
	MaxDecisions    = 1024                     // in an order, and as many outcomes
	MaxExpected     = 4                        // forecasts in a decision
	MaxAlternatives = 2                        // of a decision
	MaxAgentInputs  = 16                       // of an agent
	MaxAgentRules   = 32                       // of an agent
	MaxStatistics   = 64 << 10                 // bytes of an update of a shared model
	MaxDecisionMS   = TimeMS(24 * 3600 * 1000) // that a decision holds
)

// Check refuses an agent that nobody could run.
func (b *AgentBody) Check() error {
	bad := func(format string, args ...any) error {
		return fmt.Errorf("agent of %q: "+format, append([]any{clip(string(b.Device))}, args...)...)
	}
	if err := CheckName("device", string(b.Device)); err != nil {
		return err
	}
	switch {
	case b.Kind < AgentLamp || b.Kind > AgentValve:
		return bad("kind %d is not known", b.Kind)
	case b.Mode < AgentAdvises || b.Mode > AgentStopped:
		return bad("its mode is advise, bounded or stopped")
	case !isCurrency(b.Currency):
		return bad("%q is not an ISO 4217 currency", clip(b.Currency))
	case len(b.Site) > MaxTextBytes || !utf8.ValidString(b.Site):
		return bad("a site has at most %d bytes", MaxTextBytes)
	case b.Function != "" && CheckName("function", b.Function) != nil, b.Tariff != "" && CheckName("tariff", b.Tariff) != nil, CheckName("member", string(b.Member)) != nil:
		return bad("function %q, tariff %q or member %q is no id", clip(b.Function), clip(b.Tariff), clip(string(b.Member)))
	case len(b.Inputs) > MaxAgentInputs || len(b.Rules) > MaxAgentRules:
		return bad("it has at most %d inputs and %d rules", MaxAgentInputs, MaxAgentRules)
	case !ascend(b.Inputs, func(x AgentInput) string { return x.Name }), !ascend(b.Rules, func(x AgentRule) string { return x.Name }):
		return bad("inputs and rules are in the order of their names, each once")
	}
	for _, in := range b.Inputs {
		if !isCode(in.Name) || CheckName("device", string(in.Device)) != nil || in.Reading == "" || len(in.Reading) > MaxReadingNameBytes || !utf8.ValidString(in.Reading) {
			return bad("input %q names a device and a reading", clip(in.Name))
		}
	}
	for _, r := range b.Rules {
		if !isCode(r.Name) || !r.Value.valid() || !isUnit(r.Unit) {
			return bad("rule %q is a name of at most %d bytes and a number", clip(r.Name), MaxCodeBytes)
		}
	}
	return nil
}

// ascend reports whether names are in order, each once.
func ascend[T any](all []T, name func(T) string) bool {
	for i := 1; i < len(all); i++ {
		if name(all[i-1]) >= name(all[i]) {
			return false
		}
	}
	return true
}

// Check refuses decisions that say nothing, or nothing that could be.
func (b *DecisionsBody) Check() error {
	switch {
	case b.Model.ID == "" || len(b.Model.ID) > MaxNameBytes || !utf8.ValidString(b.Model.ID):
		return fmt.Errorf("decisions: they name what decided")
	case len(b.Decisions) > MaxDecisions || len(b.Outcomes) > MaxDecisions || len(b.Decisions)+len(b.Outcomes) == 0:
		return fmt.Errorf("decisions: an order has up to %d, and as many outcomes", MaxDecisions)
	}
	seen := make(map[DeviceID]bool, len(b.Decisions))
	for i := range b.Decisions {
		d := &b.Decisions[i]
		if err := d.check(); err != nil {
			return fmt.Errorf("decision %d: %w", i, err)
		}
		if seen[d.Device] {
			return fmt.Errorf("decision %d: an order has one decision of %q", i, d.Device)
		}
		seen[d.Device] = true
	}
	known := make(map[DecisionID]bool, len(b.Outcomes))
	for i := range b.Outcomes {
		o := &b.Outcomes[i]
		if o.Decision.Height <= 0 || o.Until <= 0 || o.Spent < 0 || o.Measured > 1000 || known[o.Decision] {
			return fmt.Errorf("outcome %d: it is of one decision, ends at some time, spends nothing below 0 and is measured in thousandths", i)
		}
		known[o.Decision] = true
	}
	return nil
}

func (d *Decision) check() error {
	if err := CheckName("device", string(d.Device)); err != nil {
		return err
	}
	switch {
	case d.Kind < AgentLamp || d.Kind > AgentValve:
		return fmt.Errorf("kind %d is not known", d.Kind)
	case d.Mode < AgentAdvises || d.Mode > AgentSafe:
		return fmt.Errorf("mode %d is not known", d.Mode)
	case d.At <= 0 || d.Until <= d.At || d.Until-d.At > MaxDecisionMS:
		return fmt.Errorf("it holds from one moment to a later one, at most %d ms", MaxDecisionMS)
	case d.Spend < 0:
		return fmt.Errorf("it spends nothing below 0")
	case !isCurrency(d.Currency):
		return fmt.Errorf("%q is not an ISO 4217 currency", clip(d.Currency))
	case len(d.Forecast) > MaxExpected || len(d.Alternatives) > MaxAlternatives:
		return fmt.Errorf("it has at most %d forecasts and %d alternatives", MaxExpected, MaxAlternatives)
	}
	if err := d.Action.check(); err != nil {
		return err
	}
	for i := range d.Forecast {
		f := &d.Forecast[i]
		if !isCode(f.Name) || !isUnit(f.Unit) || !f.Mean.valid() || !f.Low.valid() || !f.High.valid() || f.Low.Cmp(f.Mean) > 0 || f.Mean.Cmp(f.High) > 0 {
			return fmt.Errorf("forecast %q has a mean between its bounds", clip(f.Name))
		}
	}
	for i := range d.Alternatives {
		if err := d.Alternatives[i].Action.check(); err != nil {
			return fmt.Errorf("alternative %d: %w", i, err)
		}
	}
	if f := d.Flip; f != nil {
		if !isCode(f.What) || !isUnit(f.Unit) || !f.Threshold.valid() {
			return fmt.Errorf("what would have changed it is a name and a threshold")
		}
		if err := f.Other.check(); err != nil {
			return err
		}
	}
	return checkReasons(d.Reasons)
}

func (a *Action) check() error {
	percent := a.Value.Mantissa >= 0 && a.Value.Cmp(Dec(100, 0)) <= 0
	switch {
	case !a.Value.valid():
	case a.Name == "power" && a.Unit == "W", (a.Name == "level" || a.Name == "valve") && a.Unit == "%" && percent:
		return nil
	}
	return fmt.Errorf("an action is a level or a valve from 0 to 100 %%, or a power in W, not %q in %q", clip(a.Name), clip(a.Unit))
}

// Check refuses updates that say nothing.
func (b *LearnBody) Check() error {
	if err := CheckName("model", b.Model); err != nil {
		return err
	}
	switch {
	case b.Data == Hash{} || b.Rows == 0:
		return fmt.Errorf("update of %q: it commits to the rows that it is from", b.Model)
	case !isCode(b.Metric) || !b.Before.valid() || !b.After.valid():
		return fmt.Errorf("update of %q: it says how good the model was before and is after it", b.Model)
	case len(b.Statistics) == 0 || len(b.Statistics) > MaxStatistics:
		return fmt.Errorf("update of %q: 1 to %d bytes of statistics", b.Model, MaxStatistics)
	case b.Gateway == "" && len(b.Word) > 0:
		return fmt.Errorf("update of %q: a word is a gateway's", b.Model)
	}
	return nil
}

func isCode(s string) bool { return s != "" && len(s) <= MaxCodeBytes && utf8.ValidString(s) }
func isUnit(s string) bool { return len(s) <= MaxUnitBytes && utf8.ValidString(s) }

func isCurrency(s string) bool {
	return len(s) == 3 && strings.IndexFunc(s, func(r rune) bool { return r < 'A' || r > 'Z' }) < 0
}
