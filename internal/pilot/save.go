package pilot

import (
	"encoding/binary"
	"errors"
	"fmt"
	"slices"

	"github.com/klauspost/compress/zstd"

	"github.com/lamppost/lamppost"
	"github.com/lamppost/lamppost/internal/kv"
)

// What forecasts know is kept among the node's own records, so that a restart does not make agents follow their safe rules for two days:
//
//	nAf <device> 0 <reading>   keptFeed
//	nAp <tariff>               keptFeed
//
// Each is eight bytes, since when it was observed, big-endian, and a zstd frame. Each is written every three hours and at a stop; one that no agent goes by
// is deleted.
const (
	feedPrefix                  = "nAf"
	pricePrefix                 = "nAp"
	saveEvery   lamppost.TimeMS = 3 * 3600_000
	maxSaves                    = 20 // in a minute, some 4 ms each: of maxFeeds each has its turn within three hours
	sinceBytes                  = 8
)

// A keptFeed is a feed that is saved.
type keptFeed struct {
	Known  bool            `cbor:"1,keyasint,omitempty"`
	At     lamppost.TimeMS `cbor:"2,keyasint,omitempty"` // of the last reading
	Was    float64         `cbor:"3,keyasint,omitempty"` // its value
	Unit   string          `cbor:"4,keyasint,omitempty"`
	Now    float64         `cbor:"5,keyasint,omitempty"`
	Series []byte          `cbor:"6,keyasint"` // as forecast.Series writes it
}

func feedKey(id feedID) []byte {
	return append(append(append([]byte(feedPrefix), id.device...), 0), id.name...)
}

func priceKey(tariff string) []byte { return append([]byte(pricePrefix), tariff...) }

// save keeps what forecasts know that was not kept within three hours; all: of each, whatever its turn.
func (p *Pilot) save(now lamppost.TimeMS, all bool) error {
	var due []*feed
	for _, f := range p.feeds {
		due = append(due, f)
	}
	for _, x := range p.prices {
		due = append(due, x.feed)
	}
	due = slices.DeleteFunc(due, func(f *feed) bool { return f.since == 0 || !all && now-f.saved < saveEvery })
	if !all {
		due = due[:min(len(due), maxSaves)]
	}
	for part := range slices.Chunk(due, maxSaves) {
		if err := p.saveFeeds(part, now); err != nil {
			return err
		}
	}
	return nil
}

func (p *Pilot) saveFeeds(part []*feed, now lamppost.TimeMS) error {
	p.mu.Lock()
	defer p.mu.Unlock() // an erasure comes before or after
	var b kv.Batch
	for _, f := range part {
		if _, gone := p.erased[f.device]; gone && f.device != "" {
			continue
		}
		series, err := f.series.AppendBinary(nil)
		if err != nil {
			return err
		}
		k := keptFeed{Known: f.known, At: f.at, Was: f.was, Unit: f.unit, Now: f.now, Series: series}
		b.Set(f.key, p.enc.EncodeAll(lamppost.Marshal(k), binary.BigEndian.AppendUint64(nil, uint64(f.since))))
		f.saved = now
	}
	return p.cfg.Records.Apply(&b)
}

// load goes on with what forecasts knew. What cannot be read is observed anew.
func (p *Pilot) load() error {
	dec, err := zstd.NewReader(nil, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxMemory(maxEvidenceBytes))
	if err != nil {
		return err
	}
	defer dec.Close()
	read := func(f *feed, val []byte) *feed {
		if err := f.load(dec, val); err != nil {
			p.cfg.Log.Warn("what a forecast knew cannot be used, and is observed anew", "of", string(f.key[len(feedPrefix):]), "error", err)
			return newFeed(f.key, f.device)
		}
		return f
	}
	err = p.scan(feedPrefix, func(key, val []byte) error {
		device, name, ok := cutZero(key[len(feedPrefix):])
		if ok && len(p.feeds) < maxFeeds {
			id := feedID{lamppost.DeviceID(device), name}
			p.feeds[id] = read(newFeed(feedKey(id), id.device), val)
		}
		return nil
	})
	if err != nil {
		return err
	}
	return p.scan(pricePrefix, func(key, val []byte) error {
		id := string(key[len(pricePrefix):])
		p.prices[id] = &price{feed: read(newFeed(priceKey(id), ""), val)}
		return nil
	})
}

func cutZero(key []byte) (device, name string, ok bool) {
	i := slices.Index(key, 0)
	if i < 0 {
		return "", "", false
	}
	return string(key[:i]), string(key[i+1:]), true
}

func (p *Pilot) scan(prefix string, do func(key, val []byte) error) error {
	to := []byte(prefix)
	to[len(to)-1]++
	return p.cfg.Records.Scan([]byte(prefix), to, do)
}

var errKept = errors.New("the record is cut short")

func (f *feed) load(dec *zstd.Decoder, val []byte) error {
	if len(val) < sinceBytes {
		return errKept
	}
	raw, err := dec.DecodeAll(val[sinceBytes:], nil)
	if err != nil {
		return err
	}
	var k keptFeed
	if err := lamppost.Unmarshal(raw, &k); err != nil {
		return err
	}
	if err := f.series.UnmarshalBinary(k.Series); err != nil {
		return err
	}
	f.since = lamppost.TimeMS(binary.BigEndian.Uint64(val))
	f.known, f.at, f.was, f.unit, f.now = k.Known, k.At, k.Was, k.Unit, k.Now
	return nil
}

// forget deletes what forecasts knew that nobody goes by any more.
func (p *Pilot) forget(feeds map[feedID]*feed, prices map[string]*price) error {
	var b kv.Batch
	for id, f := range p.feeds {
		if feeds[id] == nil {
			b.Delete(f.key)
		}
	}
	for id, x := range p.prices {
		if prices[id] == nil {
			b.Delete(x.feed.key)
		}
	}
	if err := p.cfg.Records.Apply(&b); err != nil {
		return fmt.Errorf("deleting what forecasts knew: %w", err)
	}
	return nil
}

// eraseFeeds deletes what was observed of a device from before a time: a series that began later is of another life of it.
func (p *Pilot) eraseFeeds(b *kv.Batch, id lamppost.DeviceID, before lamppost.TimeMS) error {
	return p.cfg.Records.Scan(feedKey(feedID{device: id}), append([]byte(feedPrefix+string(id)), 1), func(key, val []byte) error {
		if len(val) < sinceBytes || lamppost.TimeMS(binary.BigEndian.Uint64(val)) <= before {
			b.Delete(slices.Clone(key))
		}
		return nil
	})
}
