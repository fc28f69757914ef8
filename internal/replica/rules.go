package replica

import (
	"github.com/lamppost/lamppost"
	"github.com/lamppost/lamppost/internal/archive"
	"github.com/lamppost/lamppost/internal/kv"
	"github.com/lamppost/lamppost/internal/ledger"
)

const dayMS lamppost.TimeMS = 24 * 3600 * 1000

// Rules reads what the ledger says of keeping and forgetting, for the archive to carry out. They read on while they are used: the
// reader is there as long as they are.
func Rules(r kv.Reader) (*archive.Rules, error) {
	v := ledger.View{Reader: r}
	rules := &archive.Rules{Devices: map[lamppost.DeviceID]archive.Retention{}, Erased: map[lamppost.DeviceID][]archive.Place{}, Gone: map[archive.Place]bool{}}
	retentions, err := v.Retentions()
	if err != nil {
		return nil, err
	}
	for _, b := range retentions {
		keep := archive.Retention{RawMS: lamppost.TimeMS(b.RawDays) * dayMS, SummaryMS: lamppost.TimeMS(b.SummaryDays) * dayMS,
			Error: float64(b.Error) / 1000}
		if b.Device == "" {
			rules.Default = keep
		} else {
			rules.Devices[b.Device] = keep
		}
	}
	rules.Alarms = func(d lamppost.DeviceID) (all []archive.Window, err error) {
		windows, err := v.KeepWindowsOf(d)
		for _, w := range windows {
			all = append(all, archive.Window{From: w.From, To: w.To})
		}
		return all, err
	}
	holds, err := v.Holds()
	if err != nil {
		return nil, err
	}
	for _, b := range holds {
		if b.Lifted {
			continue
		}
		since, err := v.HeldSince(b.ID)
		if err != nil {
			return nil, err
		}
		rules.Holds = append(rules.Holds, archive.Hold{Device: b.Device, From: b.From, To: b.To, Since: archive.Place(since)})
	}
	erasures, err := v.Erasures()
	if err != nil {
		return nil, err
	}
	for _, e := range erasures {
		if e.Device != "" {
			rules.Erased[e.Device] = append(rules.Erased[e.Device], archive.Place(e.Place))
		}
	}
	gone, err := v.Gone()
	if err != nil {
		return nil, err
	}
	for at := range gone {
		rules.Gone[archive.Place(at)] = true
	}
	rules.Changed, rules.Erase, err = v.KeptSince()
	return rules, err
}
