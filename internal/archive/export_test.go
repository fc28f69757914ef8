package archive

import (
	"slices"

	"github.com/lamppost/lamppost"
	"github.com/lamppost/lamppost/internal/kv"
)

// AppendResult and DecodeResult are the two directions of an archived result.
var (
	AppendResult = appendResult
	DecodeResult = decodeResult
)

// DecodeSeries reads a frame of series.
func DecodeSeries(raw []byte) ([]Series, error) {
	var c content
	if err := lamppost.Unmarshal(raw, &c.stored); err != nil {
		return nil, err
	}
	return c.series()
}

// SeriesFrames are the frames of series of all packs.
func SeriesFrames(store kv.Store, packs *Packs) (all [][]byte, err error) {
	list, err := View{store, packs}.All()
	if err != nil {
		return nil, err
	}
	for _, p := range list {
		c, err := packs.read(p.Name)
		if err != nil {
			return nil, err
		}
		if len(c.stored) > 0 {
			all = append(all, lamppost.Marshal(c.stored))
		}
	}
	return all, nil
}

// MakeHourly writes the only pack as older programs did, with an hour of five readings of a device, mean 2, from 1 to 5, and lists it
// as they did.
func MakeHourly(store kv.Store, packs *Packs, d lamppost.DeviceID, name string) error {
	list, err := View{store, packs}.All()
	if err != nil {
		return err
	}
	c, err := packs.read(list[0].Name)
	if err != nil {
		return err
	}
	c.hours = []hourly{{Device: d, Name: name, Unit: "Wh", Buckets: []bucket{{Hour: int64(c.blocks[0].Block.Time) / hourMS, Count: 5, Min: 1, Max: 5, Mean: 2, Last: 5, At: 60_000}}}}
	p, data := packs.encode(c, func() {})
	if err := packs.objects.Put(p.Name.String(), data); err != nil {
		return err
	}
	old := olderPack{First: p.First, Last: p.Last, From: p.From, To: p.To, Name: p.Name, Bytes: p.Bytes, Reports: list[0].Reports, Kept: list[0].Kept}
	var b kv.Batch
	b.Set(slices.Clone(heightKey(packKind, p.Last)), lamppost.Marshal(old))
	if err := store.Apply(&b); err != nil {
		return err
	}
	return packs.objects.Remove(list[0].Name.String())
}
