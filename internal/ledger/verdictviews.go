package ledger

import (
	"encoding/binary"
	"errors"
	"slices"

	"github.com/lamppost/lamppost"
	"github.com/lamppost/lamppost/internal/kv"
)

// Verdict returns a verdict, or kv.ErrNotFound.
func (v View) Verdict(id lamppost.VerdictID) (Verdict, error) {
	var x Verdict
	raw, err := v.Get(verdictKey(id))
	if err != nil {
		return x, err
	}
	return x, lamppost.Unmarshal(raw, &x)
}

// Verdicts calls fn for all verdicts before one, or all for the zero id; the latest first. fn may return kv.ErrStop.
func (v View) Verdicts(before lamppost.VerdictID, fn func(*Verdict) error) error {
	return v.eachVerdict(key('t'), before, fn)
}

// VerdictsOf is Verdicts of a device.
func (v View) VerdictsOf(d lamppost.DeviceID, before lamppost.VerdictID, fn func(*Verdict) error) error {
	return v.eachVerdict(append(key('z', string(d)), 0), before, fn)
}

// OpenVerdicts is Verdicts of those that wait for an answer.
func (v View) OpenVerdicts(before lamppost.VerdictID, fn func(*Verdict) error) error {
	return v.eachVerdict(key('s', "o"), before, fn)
}

// eachVerdict passes through an index. It reads the keys first: fn may read and write.
func (v View) eachVerdict(index []byte, before lamppost.VerdictID, fn func(*Verdict) error) error {
	const page = 256
	from := index
	for {
		if before != (lamppost.VerdictID{}) {
			from = append(appendVerdict(slices.Clone(index), before), 0)
		}
		var ids []lamppost.VerdictID
		err := v.Scan(from, end(index), func(k, _ []byte) error {
			if ids = append(ids, verdictIn(k)); len(ids) == page {
				return kv.ErrStop
			}
			return nil
		})
		if err != nil {
			return err
		}
		for _, id := range ids {
			x, err := v.Verdict(id)
			if err == nil {
				err = fn(&x)
			}
			if errors.Is(err, kv.ErrStop) {
				return nil
			}
			if err != nil {
				return err
			}
		}
		if len(ids) < page {
			return nil
		}
		before = ids[page-1]
	}
}

// Suspending returns the verdicts that hold back a register or a device, the latest first.
func (v View) Suspending() (all []Verdict, err error) {
	err = v.OpenVerdicts(lamppost.VerdictID{}, func(x *Verdict) error {
		if x.Suspending() {
			all = append(all, *x)
		}
		return nil
	})
	return all, err
}

// evidence returns the verdicts that suspend a register, or did, the latest first.
func (v View) evidence(d lamppost.DeviceID, register string) (all []Verdict, err error) {
	err = v.eachVerdict(suspendedKey(d, register), lamppost.VerdictID{}, func(x *Verdict) error {
		all = append(all, *x)
		return nil
	})
	return all, err
}

// A KeepWindow is a time of which a device's reports stay raw, by when they were received, for a verdict.
type KeepWindow struct {
	Device   lamppost.DeviceID
	From, To lamppost.TimeMS
	Verdict  lamppost.VerdictID
}

// KeepWindows returns them by device, the latest verdict first. It reads nothing else.
func (v View) KeepWindows() (all []KeepWindow, err error) {
	from := key('s', "k")
	err = v.Scan(from, end(from), func(k, val []byte) error {
		if len(val) != 16 || len(k) < len(from)+1+verdictBytes {
			return errors.New("a time that is kept raw is damaged")
		}
		all = append(all, KeepWindow{Device: lamppost.DeviceID(k[len(from) : len(k)-verdictBytes-1]), Verdict: verdictIn(k),
			From: lamppost.TimeMS(binary.BigEndian.Uint64(val)), To: lamppost.TimeMS(binary.BigEndian.Uint64(val[8:]))})
		return nil
	})
	return all, err
}

// Judged returns up to which block a member has judged, 0 for one that has said nothing.
func (v View) Judged(m lamppost.MemberID) (lamppost.Height, error) {
	raw, err := v.Get(throughKey(m))
	if errors.Is(err, kv.ErrNotFound) {
		return 0, nil
	}
	if err == nil && len(raw) != 8 {
		err = errors.New("how far a member judged is damaged")
	}
	if err != nil {
		return 0, err
	}
	return lamppost.Height(binary.BigEndian.Uint64(raw)), nil
}

// WatchedPoint returns what was said of a metering point for triage, zero where nothing was.
func (v View) WatchedPoint(id string) (lamppost.WatchBody, error) { return v.watched(id, "") }

// WatchedDevice is WatchedPoint of a device.
func (v View) WatchedDevice(id lamppost.DeviceID) (lamppost.WatchBody, error) {
	return v.watched("", id)
}

// AlarmBudget returns how many alarms people want, or nil where they did not say.
func (v View) AlarmBudget() (*uint32, error) {
	b, err := v.watched("", "")
	return b.Budget, err
}

func (v View) watched(point string, device lamppost.DeviceID) (lamppost.WatchBody, error) {
	b, err := read[lamppost.WatchBody](v, watchKey(point, device))
	if errors.Is(err, kv.ErrNotFound) {
		return lamppost.WatchBody{}, nil
	}
	return b, err
}

// Watched returns all that was said for triage: of points by id, of devices by id, then the budget.
func (v View) Watched() (all []lamppost.WatchBody, err error) {
	for _, kind := range [...]string{"p", "d", "b"} {
		some, err := readRange[lamppost.WatchBody](v, key('s', kind))
		if err != nil {
			return nil, err
		}
		all = append(all, some...)
	}
	return all, nil
}
