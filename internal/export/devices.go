package export

import (
	"errors"
	"io"

	"github.com/lamppost/lamppost"
	"github.com/lamppost/lamppost/internal/archive"
	"github.com/lamppost/lamppost/internal/ledger"
)

// writeDevices writes devices.parquet: the devices that are wanted, by id, as they are now.
func (e *exporter) writeDevices(out io.Writer) error {
	t := newTable[Device](out, e.src.Version)
	if t == nil {
		return nil
	}
	var rows []Device
	err := e.src.See(func(v archive.View) (err error) {
		rows, err = e.deviceRows(v)
		return err
	})
	if err != nil {
		return err
	}
	for i := range rows {
		row, err := t.next()
		if err != nil {
			return err
		}
		*row = rows[i]
	}
	e.res.Devices = t.n
	return t.end(e.about())
}

func (e *exporter) deviceRows(v archive.View) (rows []Device, err error) {
	parties, err := ledger.View{Reader: v}.Parties()
	if err != nil {
		return nil, err
	}
	names := map[lamppost.PartyID]string{}
	for _, p := range parties {
		names[p.ID] = p.Name
	}
	for i := range e.devices {
		d := &e.devices[i]
		if !e.wants(d.ID) {
			continue
		}
		row, err := e.device(v, d, names[d.Owner])
		if err != nil {
			return nil, err
		}
		rows = append(rows, row)
	}
	return rows, nil
}

func (e *exporter) device(v archive.View, d *lamppost.DeviceBody, owner string) (row Device, err error) {
	row = Device{Device: string(d.ID), Owner: string(d.Owner), Safety: d.Safety.String(), Assurance: d.Assurance.String(), Gateway: string(d.Gateway), KeyEpoch: int64(d.KeyEpoch)}
	if !d.Assurance.Wrapped() {
		row.Suite = d.Suite.String()
	}
	if e.o.People {
		row.Name, row.Site, row.OwnerName = d.Name, d.Site, owner
	}
	keys, err := ledger.View{Reader: v}.Keys(d.ID)
	if err != nil || len(keys) == 0 {
		return row, err
	}
	if row.Enrolled, err = blockTime(v, keys[0].Place.Height); err != nil {
		return row, err
	}
	row.KeySince, err = blockTime(v, keys[len(keys)-1].Place.Height)
	return row, err
}

// blockTime returns when a block was made, 0 for one that this copy never had.
func blockTime(v archive.View, h lamppost.Height) (int64, error) {
	b, err := v.Block(h)
	if errors.Is(err, archive.ErrAbsent) {
		return 0, nil
	}
	return int64(b.Time), err
}
