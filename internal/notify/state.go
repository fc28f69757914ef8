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
	Began     lamppost.TimeMS    `cbor:"7,keyasint"` // webhooks are told of what was found from then on
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
	Told     lamppost.TimeMS      `cbor:"10,keyasint"` // of the message
}

// Restored is called on the store of a node that was restored: what it told since is not known. It begins anew, and so says nothing of old alarms.
func Restored(store kv.Store) error {
	var b kv.Batch
	b.Delete(stateKey)
	return store.Apply(&b)
}

var errVersion = errors.New("it is of another version")

// readState reads the record. An error other than kv.ErrNotFound and the store's own says that it is damaged, or of another version.
func readState(r kv.Reader) (*state, error) {
	raw, err := r.Get(stateKey)
	if err != nil {
		return nil, err
	}
	s := new(state)
	if err := lamppost.Unmarshal(raw, s); err != nil {
		return nil, &damaged{err}
	}
	if s.Version != stateVersion {
		return nil, &damaged{errVersion}
	}
	if s.Delivered == nil {
		s.Delivered = map[string]uint64{}
	}
	return s, nil
}

// damaged is the error of a record that cannot be used.
type damaged struct{ error }

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

// forget drops messages about verdicts that are erased, but those that say so. A message on its way is not called back.
func (s *state) forget(ledger Ledger) error {
	var failed error
	s.Queue = slices.DeleteFunc(s.Queue, func(q queued) bool {
		if q.Message.Because == "erased" {
			return false
		}
		_, err := ledger.Verdict(q.Message.Verdict)
		if err != nil && !errors.Is(err, kv.ErrNotFound) {
			failed = err
		}
		return errors.Is(err, kv.ErrNotFound)
	})
	return failed
}

// drop forgets messages that all webhooks have.
func (s *state) drop() {
	least := s.Next
	for _, at := range s.Delivered {
		least = min(least, at)
	}
	s.Queue = slices.DeleteFunc(s.Queue, func(q queued) bool { return q.Number <= least })
}
