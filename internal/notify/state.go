package notify

import (
	"bytes"
	"errors"
	"maps"
	"slices"

	"github.com/lamppost/lamppost"
	"github.com/lamppost/lamppost/internal/kv"
)

// stateKey is the node's record of what was told.
var stateKey = []byte("nN")

const stateVersion = 1

// state is what was told and what is to be.
type state struct {
	Version   uint8              `cbor:"1,keyasint"`
	Position  lamppost.VerdictID `cbor:"2,keyasint"` // all verdicts of this member up to it are in what follows, or were told
	Next      uint64             `cbor:"3,keyasint"` // messages so far
	Queue     []queued           `cbor:"4,keyasint"`
	Delivered map[string]uint64  `cbor:"5,keyasint"` // the latest message that a webhook took
	Open      []open             `cbor:"6,keyasint"`
}

// queued is a message that some webhook has not.
type queued struct {
	Number  uint64  `cbor:"1,keyasint"`
	Message Message `cbor:"2,keyasint"`
}

// open is an alarm that was told and is not resolved.
type open struct {
	Device   lamppost.DeviceID    `cbor:"1,keyasint"`
	Name     string               `cbor:"2,keyasint"`
	Kind     lamppost.VerdictKind `cbor:"3,keyasint"`
	Code     string               `cbor:"4,keyasint"`
	First    lamppost.VerdictID   `cbor:"5,keyasint"`
	Last     lamppost.VerdictID   `cbor:"6,keyasint"`
	Count    uint32               `cbor:"7,keyasint"`
	Suspends bool                 `cbor:"8,keyasint"`
	Until    lamppost.TimeMS      `cbor:"9,keyasint"`
}

// read reads the record; one that is not there is that of a node that told nothing.
func (s *state) read(r kv.Reader) error {
	raw, err := r.Get(stateKey)
	if errors.Is(err, kv.ErrNotFound) {
		*s = state{Version: stateVersion, Delivered: map[string]uint64{}}
		return nil
	}
	if err == nil {
		err = lamppost.Unmarshal(raw, s)
	}
	if err == nil && s.Version != stateVersion {
		err = errors.New("it is of another version")
	}
	if s.Delivered == nil {
		s.Delivered = map[string]uint64{}
	}
	return err
}

func (s *state) write(store kv.Store) error {
	var b kv.Batch
	b.Set(stateKey, lamppost.Marshal(s))
	return store.Apply(&b)
}

func (s *state) clone() *state {
	c := *s
	c.Queue, c.Open, c.Delivered = slices.Clone(s.Queue), slices.Clone(s.Open), maps.Clone(s.Delivered)
	return &c
}

func (s *state) same(o *state) bool { return bytes.Equal(lamppost.Marshal(s), lamppost.Marshal(o)) }

// keep forgets webhooks that are no more; a new one gets what comes from now on.
func (s *state) keep(all []Webhook) {
	now := map[string]uint64{}
	for _, w := range all {
		at, ok := s.Delivered[w.URL]
		if !ok {
			at = s.Next
		}
		now[w.URL] = at
	}
	s.Delivered = now
	s.drop()
}

// first is the oldest message that a webhook has not, or nil.
func (s *state) first(url string) *queued {
	for i := range s.Queue {
		if s.Queue[i].Number > s.Delivered[url] {
			q := s.Queue[i]
			return &q
		}
	}
	return nil
}

func (s *state) delivered(url string, number uint64) {
	s.Delivered[url] = number
	s.drop()
}

// drop forgets messages that all webhooks have.
func (s *state) drop() {
	least := s.Next
	for _, at := range s.Delivered {
		least = min(least, at)
	}
	s.Queue = slices.DeleteFunc(s.Queue, func(q queued) bool { return q.Number <= least })
}
