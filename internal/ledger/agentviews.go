package ledger

import (
	"bytes"
	"errors"
	"slices"

	"github.com/lamppost/lamppost"
	"github.com/lamppost/lamppost/internal/kv"
	"github.com/lamppost/lamppost/tariff"
)

// Agent returns how an owner wants a device's agent, or kv.ErrNotFound.
func (v View) Agent(id lamppost.DeviceID) (lamppost.AgentBody, error) {
	return read[lamppost.AgentBody](v, agentKey(id))
}

// Agents returns all agents by device.
func (v View) Agents() ([]lamppost.AgentBody, error) { return readAll[lamppost.AgentBody](v, '0') }

// Decision returns one of the latest 256 decisions of a device, or kv.ErrNotFound.
func (v View) Decision(id lamppost.DecisionID) (d Decision, err error) {
	var at slotOf
	raw, err := v.Get(decisionIDKey(id))
	if err == nil {
		err = lamppost.Unmarshal(raw, &at)
	}
	if err != nil {
		return d, err
	}
	return v.decisionIn(at.Device, at.Slot)
}

// DecisionsOf calls fn for the latest 256 decisions of a device, the latest first. fn may return kv.ErrStop.
func (v View) DecisionsOf(id lamppost.DeviceID, fn func(*Decision) error) error {
	at, err := v.progress(id)
	if err != nil {
		return err
	}
	for i := range uint32(maxKept) {
		d, err := v.decisionIn(id, (at.Next+maxKept-1-i)%maxKept)
		if errors.Is(err, kv.ErrNotFound) {
			return nil
		}
		if err == nil {
			err = fn(&d)
		}
		if errors.Is(err, kv.ErrStop) {
			return nil
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// Records returns what a device's decisions came to, by month.
func (v View) Records(id lamppost.DeviceID) (all []Record, err error) {
	from := append(key('2', string(id)), 0)
	err = v.Scan(from, end(from), func(_, val []byte) error {
		var r Record
		err := lamppost.Unmarshal(val, &r)
		all = append(all, r)
		return err
	})
	return all, err
}

// An Update is one of a model that several learn together.
type Update struct {
	lamppost.LearnBody
	By    string `json:"by"` // the member or gateway that learned
	Place Place  `json:"-"`
}

// Updates returns the updates of a shared model that the state keeps, by who learned; of all models for "".
func (v View) Updates(model string) ([]Update, error) {
	if model == "" {
		return v.updates(key('6'))
	}
	return v.updates(append(key('6', model), 0))
}

func (v View) updatesBy(model string, by lamppost.MemberID) ([]Update, error) {
	return v.updates(append(key('6', model, string(by)), 0))
}

func (v View) updates(from []byte) (all []Update, err error) {
	err = v.Scan(from, end(from), func(k, val []byte) error {
		at, err := decodePlace(val)
		if err != nil {
			return err
		}
		b, err := decodeBody[lamppost.LearnBody](slices.Clone(val))
		who := k[2 : len(k)-len(b.Base)-1]
		all = append(all, Update{b, string(who[bytes.IndexByte(who, 0)+1:]), at})
		return err
	})
	return all, err
}

// progress returns how far a device's decisions are known.
func (v View) progress(id lamppost.DeviceID) (x progress, err error) {
	raw, err := v.Get(progressKey(id))
	if errors.Is(err, kv.ErrNotFound) {
		return x, nil
	}
	if err == nil {
		err = lamppost.Unmarshal(raw, &x)
	}
	return x, err
}

// DecidedUntil returns up to when a device's agent has decided; 0: nothing yet.
func (v View) DecidedUntil(id lamppost.DeviceID) (lamppost.TimeMS, error) {
	x, err := v.progress(id)
	return x.Last, err
}

func (v View) decisionIn(id lamppost.DeviceID, slot uint32) (d Decision, err error) {
	raw, err := v.Get(decisionKey(id, slot))
	if err == nil {
		err = lamppost.Unmarshal(raw, &d)
	}
	return d, err
}

// TariffVersions returns the versions of a tariff; none where there is no such tariff.
func (v View) TariffVersions(id string) ([]tariff.Tariff, error) {
	return readRange[tariff.Tariff](v, append(key('T', id), 0))
}
