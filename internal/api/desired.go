package api

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/lamppost/lamppost"
	"github.com/lamppost/lamppost/internal/kv"
	"github.com/lamppost/lamppost/internal/ledger"
)

// A DesiredState is a twin's two sides: what the device should be like, what it says it is like, and why they differ.
type DesiredState struct {
	Revision uint64             `json:"revision"` // of the latest command; 0: there was none
	ID       string             `json:"id"`       // the command's
	Set      lamppost.Setpoints `json:"set"`      // as commanded; empty: it took back what was desired
	Until    lamppost.TimeMS    `json:"until_ms"`
	By       string             `json:"by"`
	Mode     string             `json:"mode"`
	Reason   string             `json:"reason"`
	Time     lamppost.TimeMS    `json:"time_ms"` // of its block
	Height   lamppost.Height    `json:"height"`

	State     string            `json:"state"` // one of the words below
	Text      string            `json:"text"`  // the same for people
	Functions []DesiredFunction `json:"functions"`
	Delivered lamppost.TimeMS   `json:"delivered_ms"` // by this member, last; 0: not since it started
	Acked     lamppost.TimeMS   `json:"acked_ms"`     // when what Functions rest on came; 0: nothing did
	AckedBy   string            `json:"acked_by"`     // "device", which signed it, or "gateway" and its id
}

// A DesiredFunction is one function of a command.
type DesiredFunction struct {
	Name     string `json:"name"`
	Unit     string `json:"unit"`
	Desired  string `json:"desired"`
	Granted  string `json:"granted"`  // what the device's guard let it do; empty: nothing, or not known
	Reported string `json:"reported"` // the reading of this name and unit that came after; empty: none
	Why      string `json:"why"`      // why not as desired; empty: it is, or nothing is known
}

// States of a command.
const (
	NothingDesired  = "none"
	TakenBack       = "taken_back"
	CommandOver     = "expired"
	NotDelivered    = "not_delivered" // by this member
	NotAcknowledged = "delivered"
	GrantedLess     = "granted_less"
	SaysOtherwise   = "says_otherwise"
	Obeyed          = "obeyed"
)

// desired joins what the ledger, the doors and the twin know.
func (s *Server) desired(v ledger.View, id lamppost.DeviceID) (DesiredState, error) {
	out := DesiredState{State: NothingDesired, Text: "Nothing was ever desired of it.", Set: lamppost.Setpoints{}, Functions: []DesiredFunction{}}
	d, err := v.Desire(id)
	if errors.Is(err, kv.ErrNotFound) {
		return out, nil
	}
	if err != nil {
		return out, err
	}
	b := &d.Body
	out.Revision, out.ID, out.Until, out.By, out.Mode, out.Reason, out.Time, out.Height = d.Revision, b.ID, b.Until, b.By, b.Mode, b.Reason, d.Time, d.Place.Height
	out.Set = append(out.Set, b.Set...)
	var known delivery
	if s.cfg.Desires != nil {
		known = s.cfg.Desires.known(id)
	}
	if known.revision == d.Revision {
		out.Delivered = known.at
	}
	ack := s.ackOf(id, d.Revision, &known, &out)
	below, err := floor(v, id, b.Set)
	if err != nil {
		return out, err
	}
	for i := range b.Set {
		out.Functions = append(out.Functions, s.cfg.Live.function(id, &b.Set[i], &below[i], ack))
	}
	out.judge(&d, ack != nil, s.cfg.Now())
	return out, nil
}

// ackOf is what is known of how the device took a revision: its own signed word, or else its gateway's.
func (s *Server) ackOf(id lamppost.DeviceID, revision uint64, known *delivery, out *DesiredState) *acked {
	if own := s.cfg.Live.ack(id); own != nil && own.Revision == revision {
		out.Acked, out.AckedBy = own.received, deviceItself
		return own
	}
	if known.ack != nil && known.ack.Revision == revision {
		out.Acked, out.AckedBy = known.acked, known.by
		return &acked{Ack: *known.ack, time: lamppost.TimeMS(1) << 62} // readings of a device whose clock nobody knows say nothing against it
	}
	return nil
}

// function compares one setpoint with what was granted and what is reported. below is what the device was told of it.
func (l *Live) function(id lamppost.DeviceID, want *lamppost.Setpoint, below *lamppost.Grant, ack *acked) DesiredFunction {
	f := DesiredFunction{Name: want.Name, Unit: want.Unit, Desired: want.Value.String()}
	if ack == nil {
		return f
	}
	got, why := below.Got, below.Why
	if at := slices.IndexFunc(ack.Grants, func(g lamppost.Grant) bool { return g.Want.Name == want.Name }); at >= 0 {
		g := &ack.Grants[at]
		if got = g.Got; g.Why != lamppost.AsDesired {
			why = g.Why
		}
	} else if why == lamppost.AsDesired {
		got = nil // it was told, and does not speak of it
		f.Why = "the device does not speak of it"
	}
	if why != lamppost.AsDesired {
		f.Why = why.String()
	}
	if got == nil {
		return f
	}
	f.Granted = got.String()
	x, ok := l.reading(id, want.Name)
	if !ok || x.Unit != want.Unit || x.Time <= ack.time {
		return f
	}
	if f.Reported = text(&x); x.IsFloat || x.Value.Cmp(*got) != 0 {
		f.Why = strings.TrimPrefix(f.Why+"; the device says otherwise", "; ")
	}
	return f
}

// judge says in a word and in a sentence how the device stands to the command.
func (d *DesiredState) judge(x *ledger.Desire, acked bool, now lamppost.TimeMS) {
	set := func(state, format string, a ...any) { d.State, d.Text = state, fmt.Sprintf(format, a...) }
	who := "The device"
	if d.AckedBy != "" && d.AckedBy != deviceItself {
		who = "Its " + d.AckedBy
	}
	switch {
	case len(x.Body.Set) == 0 && acked:
		set(TakenBack, "Nothing is desired any more, and it knows.")
	case len(x.Body.Set) == 0:
		set(TakenBack, "Nothing is desired any more. It has not said yet that it knows; what it was told before ends by itself.")
	case x.Body.Until <= now:
		set(CommandOver, "The command is over: the device ends it by its own clock, and goes to its safe state.")
	case !acked && d.Delivered == 0:
		set(NotDelivered, "Not delivered yet: the device has not asked this member since the command.")
	case !acked:
		set(NotAcknowledged, "Delivered, and not acknowledged yet.")
	default:
		for i := range d.Functions {
			if f := &d.Functions[i]; f.differs() {
				set(SaysOtherwise, "%s acknowledged, but says otherwise: %s is %s %s, not %s.", who, f.Name, f.Reported, f.Unit, f.Granted)
				return
			}
		}
		for i := range d.Functions {
			if f := &d.Functions[i]; f.Why != "" {
				set(GrantedLess, "%s does otherwise: %s.", who, f.text())
				return
			}
		}
		set(Obeyed, "%s does what is desired.", who)
	}
}

func (f *DesiredFunction) differs() bool {
	return f.Reported != "" && strings.HasSuffix(f.Why, "says otherwise")
}

func (f *DesiredFunction) text() string {
	if f.Granted == "" {
		return fmt.Sprintf("nothing of %s %s %s: %s", f.Name, f.Desired, f.Unit, f.Why)
	}
	return fmt.Sprintf("%s is %s %s, not %s: %s", f.Name, f.Granted, f.Unit, f.Desired, f.Why)
}
