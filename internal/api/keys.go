package api

import (
	"errors"
	"net/http"

	"github.com/lamppost/lamppost"
	"github.com/lamppost/lamppost/internal/archive"
	"github.com/lamppost/lamppost/internal/kv"
	"github.com/lamppost/lamppost/internal/ledger"
	"github.com/lamppost/lamppost/sig"
)

// A KeyHistory answers /api/devices/{id}/keys and /api/gateways/{id}/keys.
type KeyHistory struct {
	ID   string     `json:"id"`
	Keys []KeyEntry `json:"keys"` // the latest first
}

// A KeyEntry is one of the keys that a device or gateway had.
type KeyEntry struct {
	Epoch   uint32            `json:"epoch"`
	Suite   string            `json:"suite"` // empty: no key of its own
	Key     []byte            `json:"key"`   // public; of an HMAC key its digest
	How     string            `json:"how"`   // enrolled, rotated or set
	By      lamppost.MemberID `json:"by"`    // who ordered it
	From    lamppost.TimeMS   `json:"from_ms"`
	Until   lamppost.TimeMS   `json:"until_ms"`         // when it ended or ends; 0: until further notice
	State   string            `json:"state"`            // current, former, replaced or revoked
	Revoked lamppost.TimeMS   `json:"revoked_ms"`       // 0: it was not
	Reason  string            `json:"reason,omitempty"` // of the revocation
	Height  lamppost.Height   `json:"height"`           // of the order

	place ledger.Place // likewise
}

// How a key came.
const (
	keyEnrolled = "enrolled" // the first one
	keyRotated  = "rotated"  // with the consent of the key before
	keySet      = "set"      // by the operator alone
)

// What a key is good for.
const (
	keyCurrent  = "current"
	keyFormer   = "former" // replaced, and still counts
	keyReplaced = "replaced"
	keyRevoked  = "revoked"
)

// A Revoke orders the end of a key and of all before it.
type Revoke struct {
	KeyEpoch *uint32 `json:"key_epoch"` // absent: of the key in use
	Reason   string  `json:"reason"`
}

func (s *Server) getKeys(w http.ResponseWriter, r *http.Request) error {
	id := lamppost.DeviceID(r.PathValue("id"))
	return s.history(w, string(id), func(v ledger.View) ([]KeyEntry, []ledger.Revocation, error) {
		keys, err := v.Keys(id)
		if err != nil {
			return nil, nil, err
		}
		if len(keys) == 0 {
			return nil, nil, notFound("no device %q is enrolled", clip(string(id)))
		}
		revoked, err := v.Revoked(id)
		if err != nil {
			return nil, nil, err
		}
		return entries(keys, func(b *lamppost.DeviceBody, e *KeyEntry) []byte {
			e.Epoch, e.Key = b.KeyEpoch, b.Key
			if !b.Assurance.Wrapped() {
				e.Suite = b.Suite.String()
			}
			return b.Consent
		}), revoked, nil
	})
}

func (s *Server) getGatewayKeys(w http.ResponseWriter, r *http.Request) error {
	id := lamppost.MemberID(r.PathValue("id"))
	return s.history(w, string(id), func(v ledger.View) ([]KeyEntry, []ledger.Revocation, error) {
		keys, err := v.GatewayKeys(id)
		if err != nil {
			return nil, nil, err
		}
		if len(keys) == 0 {
			return nil, nil, notFound("no gateway %q is registered", clip(string(id)))
		}
		revoked, err := v.RevokedGateway(id)
		if err != nil {
			return nil, nil, err
		}
		return entries(keys, func(b *lamppost.GatewayBody, e *KeyEntry) []byte {
			e.Epoch, e.Key, e.Suite = b.KeyEpoch, b.Key, sig.EdDSA.String()
			return b.Consent
		}), revoked, nil
	})
}

// entries shows keys in the order of their epochs. fill says what the order says, and returns its consent.
func entries[B any](keys []ledger.Key[B], fill func(*B, *KeyEntry) []byte) []KeyEntry {
	list := make([]KeyEntry, len(keys))
	for i := range keys {
		e := &list[i]
		consent := fill(&keys[i].Body, e)
		e.Until, e.Height, e.place, e.How = keys[i].Until, keys[i].Place.Height, keys[i].Place, keyEnrolled
		switch {
		case i > 0 && len(consent) > 0:
			e.How = keyRotated
		case i > 0:
			e.How = keySet
		}
		if e.Key == nil {
			e.Key = []byte{}
		}
	}
	return list
}

// history answers with keys and how they ended.
func (s *Server) history(w http.ResponseWriter, id string, read func(ledger.View) ([]KeyEntry, []ledger.Revocation, error)) error {
	out := KeyHistory{ID: id}
	err := s.snapshot(func(r archive.View) error {
		list, revoked, err := read(ledger.View{Reader: r})
		if err != nil {
			return err
		}
		for i := len(list) - 1; i >= 0; i-- {
			e := &list[i]
			if err := e.end(r, revoked, i == len(list)-1, s.cfg.Now()); err != nil {
				return err
			}
			out.Keys = append(out.Keys, *e)
		}
		return nil
	})
	if err != nil {
		return err
	}
	return writeJSON(w, http.StatusOK, out)
}

// end fills in who ordered a key, when, and how it ended.
func (e *KeyEntry) end(r archive.View, revoked []ledger.Revocation, latest bool, now lamppost.TimeMS) (err error) {
	blk, err := r.Block(e.Height)
	if err != nil {
		return err
	}
	rec, err := r.Tx(e.place.Height, e.place.Index)
	if err != nil {
		return err
	}
	tx, err := lamppost.ParseTransaction(rec.Raw)
	if err != nil {
		return err
	}
	e.From, e.By = blk.Time, tx.Signed.Key
	switch {
	case latest:
		e.State = keyCurrent
	case now < e.Until:
		e.State = keyFormer
	default:
		e.State = keyReplaced
	}
	for i := range revoked { // by key epoch: the earliest that reaches this key is the one that ended it
		x := &revoked[i]
		if x.KeyEpoch < e.Epoch {
			continue
		}
		blk, err := r.Block(x.Place.Height)
		if err != nil {
			return err
		}
		if e.Revoked == 0 || blk.Time < e.Revoked {
			e.Revoked, e.Reason = blk.Time, x.Reason
		}
	}
	if e.Revoked != 0 && (e.Until == 0 || e.Revoked < e.Until) {
		e.State, e.Until = keyRevoked, e.Revoked
	}
	return nil
}

func (s *Server) postRevoke(w http.ResponseWriter, r *http.Request) error {
	id := lamppost.DeviceID(r.PathValue("id"))
	b, err := readRevoke(r)
	if err != nil {
		return err
	}
	now, err := ledger.View{Reader: s.cfg.Store}.Device(id)
	if errors.Is(err, kv.ErrNotFound) {
		return notFound("no device %q is enrolled", clip(string(id)))
	}
	if err != nil {
		return err
	}
	return s.order(w, r, lamppost.TxRevoke, lamppost.RevokeBody{Device: id, KeyEpoch: b.epoch(now.KeyEpoch), Reason: b.Reason})
}

func (s *Server) postGatewayRevoke(w http.ResponseWriter, r *http.Request) error {
	id := lamppost.MemberID(r.PathValue("id"))
	b, err := readRevoke(r)
	if err != nil {
		return err
	}
	keys, err := ledger.View{Reader: s.cfg.Store}.GatewayKeys(id)
	if err != nil {
		return err
	}
	if len(keys) == 0 {
		return notFound("no gateway %q is registered", clip(string(id)))
	}
	return s.order(w, r, lamppost.TxRevoke, lamppost.RevokeBody{Gateway: id, KeyEpoch: b.epoch(keys[len(keys)-1].Body.KeyEpoch), Reason: b.Reason})
}

func readRevoke(r *http.Request) (b Revoke, err error) {
	if err := readJSON(r, &b); err != nil {
		return b, err
	}
	if b.Reason == "" {
		return b, badRequest("a revocation has a reason: it stays on record")
	}
	return b, nil
}

// epoch is that of the key to be revoked.
func (b *Revoke) epoch(inUse uint32) uint32 {
	if b.KeyEpoch == nil {
		return inUse
	}
	return *b.KeyEpoch
}
