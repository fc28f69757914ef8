package api

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"fmt"
	"net/http"
	"sort"
	"strings"
	"sync"

	"github.com/lamppost/lamppost"
	"github.com/lamppost/lamppost/internal/kv"
	"github.com/lamppost/lamppost/internal/ledger"
	"github.com/lamppost/lamppost/sig"
)

// Gateways lets gateways on site in, like [Devices] lets devices in: the operator announces one and hands on its token, of
// which only the SHA-256 is kept. A gateway registers its key on the ledger with it, fetches the devices it may take
// reports of, and delivers segments. All methods may be called concurrently.
type Gateways struct {
	store   kv.Store
	order   Registrar
	member  lamppost.MemberID // who answers for gateways announced here
	network string
	devices *Devices

	writing sync.Mutex // held while a token is issued or a key registered; before mu
	mu      sync.RWMutex
	tokens  map[lamppost.MemberID]*gatewayToken
}

// A gatewayToken is what is kept of an announced gateway.
type gatewayToken struct {
	Hash     []byte `cbor:"1,keyasint"`
	Site     string `cbor:"2,keyasint,omitempty"` // whose devices it serves; empty: all
	KeyEpoch uint32 `cbor:"3,keyasint,omitempty"` // that the token may register
}

// Keys of gateways' tokens are "nG" and the gateway's id.
var (
	gatewayPrefix = []byte("nG")
	gatewayEnd    = []byte("nH")
)

// OpenGateways reads the tokens' hashes.
func OpenGateways(store kv.Store, order Registrar, network string, member lamppost.MemberID, devices *Devices) (*Gateways, error) {
	g := &Gateways{store: store, order: order, network: network, member: member, devices: devices, tokens: map[lamppost.MemberID]*gatewayToken{}}
	err := store.Scan(gatewayPrefix, gatewayEnd, func(key, val []byte) error {
		t := new(gatewayToken)
		if err := lamppost.Unmarshal(bytes.Clone(val), t); err != nil || len(t.Hash) != sha256.Size {
			return fmt.Errorf("the record %q is damaged: announce this gateway again", key)
		}
		g.tokens[lamppost.MemberID(key[len(gatewayPrefix):])] = t
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("reading the gateways' tokens: %w", err)
	}
	return g, nil
}

// Announce makes room for a gateway and returns its token, with which it may register one key: its first, or the next
// one. A gateway that was announced before gets another token, and the old one is void at once.
func (g *Gateways) Announce(n NewGateway) (token string, err error) {
	if err := lamppost.CheckName("gateway", string(n.ID)); err != nil {
		return "", lamppost.Refuse(lamppost.CodeBadTx, "%v", err)
	}
	if len(n.Site) > maxText {
		return "", lamppost.Refuse(lamppost.CodeBadTx, "a site has at most %d bytes", maxText)
	}
	if n.ID == g.member {
		return "", lamppost.Refuse(lamppost.CodeExists, "%q is this node's own seat: choose another id for the gateway", n.ID)
	}
	g.writing.Lock()
	defer g.writing.Unlock()
	keys, err := ledger.View{Reader: g.store}.GatewayKeys(n.ID)
	if err != nil {
		return "", err
	}
	next := uint32(0)
	if len(keys) > 0 {
		next = keys[len(keys)-1].Body.KeyEpoch + 1
	}
	var secret [tokenBytes]byte
	rand.Read(secret[:])
	token = hex.EncodeToString(secret[:])
	sum := sha256.Sum256([]byte(token))
	t := &gatewayToken{Hash: sum[:], Site: n.Site, KeyEpoch: next}
	id := lamppost.MemberID(strings.Clone(string(n.ID)))
	var b kv.Batch
	b.Set(append(bytes.Clone(gatewayPrefix), id...), lamppost.Marshal(t))
	if err := g.store.Apply(&b); err != nil {
		return "", fmt.Errorf("keeping the token of gateway %q: %w", id, err)
	}
	g.mu.Lock()
	g.tokens[id] = t
	g.mu.Unlock()
	return token, nil
}

// Authenticate says which gateway a client is.
func (g *Gateways) Authenticate(user, password string) (lamppost.MemberID, error) {
	t := g.known(lamppost.MemberID(user))
	want := nobody[:]
	if t != nil {
		want = t.Hash
	}
	sum := sha256.Sum256([]byte(password))
	if subtle.ConstantTimeCompare(sum[:], want) != 1 || t == nil {
		return "", lamppost.Refuse(lamppost.CodeForbidden, "no gateway %q with this token", clip(user))
	}
	return lamppost.MemberID(user), nil
}

func (g *Gateways) known(id lamppost.MemberID) *gatewayToken {
	g.mu.RLock()
	defer g.mu.RUnlock()
	return g.tokens[id]
}

// Register makes a gateway's key known to the ledger and returns the network's id and the key's epoch. The same key again
// changes nothing.
// Another one takes a new token, or the consent of the key that is registered.
func (g *Gateways) Register(ctx context.Context, id lamppost.MemberID, key, consent []byte) (network string, epoch uint32, err error) {
	if len(key) != ed25519.PublicKeySize {
		return "", 0, lamppost.Refuse(lamppost.CodeBadTx, "a gateway's key is an Ed25519 key of %d bytes", ed25519.PublicKeySize)
	}
	if _, err := sig.ParsePublicKey(sig.EdDSA, key); err != nil {
		return "", 0, lamppost.Refuse(lamppost.CodeBadTx, "the key of gateway %q: %v", id, err)
	}
	g.writing.Lock() // so that a retry finds what the first try did
	defer g.writing.Unlock()
	body, done, err := g.next(id, key, consent)
	if done || err != nil {
		return g.network, body.KeyEpoch, err
	}
	if _, err := g.order.do(ctx, lamppost.TxGateway, body); err != nil {
		return "", 0, fmt.Errorf("registering gateway %q: %w", id, err)
	}
	return g.network, body.KeyEpoch, nil
}

// next is the registration that a key is to be put into; done says that the key is the gateway's already.
func (g *Gateways) next(id lamppost.MemberID, key, consent []byte) (body lamppost.GatewayBody, done bool, err error) {
	view := ledger.View{Reader: g.store}
	keys, err := view.GatewayKeys(id)
	if err != nil {
		return body, false, err
	}
	body = lamppost.GatewayBody{ID: id, Member: g.member, Key: key}
	if len(keys) == 0 {
		return body, false, nil
	}
	now := keys[len(keys)-1].Body
	if bytes.Equal(now.Key, key) {
		return now, true, nil
	}
	revoked, err := view.RevokedGateway(id)
	if err != nil {
		return body, false, err
	}
	mute := len(revoked) > 0 && revoked[len(revoked)-1].KeyEpoch >= now.KeyEpoch
	body.KeyEpoch = now.KeyEpoch + 1
	switch t := g.known(id); {
	case len(consent) > 0 && !mute:
		body.Consent = consent
	case t != nil && t.KeyEpoch > now.KeyEpoch:
	case mute:
		err = lamppost.Refuse(lamppost.CodeForbidden, "the key of gateway %q was revoked: another one takes a new token (lamppost gateway add %s)", id, id)
	default:
		err = lamppost.Refuse(lamppost.CodeExists, "gateway %q has another key: a new one takes the old one's consent or a new token (lamppost gateway add %s)", id, id)
	}
	return body, false, err
}

// A GatewayDevice is a device whose reports a gateway may take, with its token's SHA-256.
type GatewayDevice struct {
	ID     lamppost.DeviceID
	Token  []byte
	Safety lamppost.SafetyClass
}

// Fleet lists the devices of a gateway's site, or all if it was announced without a site, by id.
func (g *Gateways) Fleet(id lamppost.MemberID) ([]GatewayDevice, error) {
	t := g.known(id)
	if t == nil {
		return nil, lamppost.Refuse(lamppost.CodeForbidden, "gateway %q was not announced", clip(string(id)))
	}
	list := []GatewayDevice{}
	g.devices.mu.RLock()
	for device, issued := range g.devices.tokens {
		if t.Site == "" || issued.Site == t.Site {
			list = append(list, GatewayDevice{ID: device, Token: issued.Hash, Safety: issued.Safety})
		}
	}
	g.devices.mu.RUnlock()
	sort.Slice(list, func(i, j int) bool { return list[i].ID < list[j].ID })
	return list, nil
}

// list returns what is known of all gateways that were announced here or are registered, by id.
func (g *Gateways) list() ([]Gateway, error) {
	view := ledger.View{Reader: g.store}
	registered, err := view.Gateways()
	if err != nil {
		return nil, err
	}
	all := []Gateway{}
	seen := map[lamppost.MemberID]bool{}
	for _, b := range registered {
		revoked, err := view.RevokedGateway(b.ID)
		if err != nil {
			return nil, err
		}
		x := Gateway{ID: b.ID, Member: b.Member, Registered: true, KeyEpoch: b.KeyEpoch}
		if n := len(revoked); n > 0 && revoked[n-1].KeyEpoch >= b.KeyEpoch {
			x.Revoked = revoked[n-1].Reason
		}
		if t := g.known(b.ID); t != nil {
			x.Site = t.Site
		}
		seen[b.ID] = true
		all = append(all, x)
	}
	g.mu.RLock()
	for id, t := range g.tokens {
		if !seen[id] {
			all = append(all, Gateway{ID: id, Member: g.member, Site: t.Site})
		}
	}
	g.mu.RUnlock()
	sort.Slice(all, func(i, j int) bool { return all[i].ID < all[j].ID })
	return all, nil
}

func (s *Server) getGateways(w http.ResponseWriter, _ *http.Request) error {
	out := GatewayList{Gateways: []Gateway{}}
	if s.cfg.Gateways != nil {
		var err error
		if out.Gateways, err = s.cfg.Gateways.list(); err != nil {
			return err
		}
	}
	return writeJSON(w, http.StatusOK, out)
}

func (s *Server) postGateway(w http.ResponseWriter, r *http.Request) error {
	if s.cfg.Gateways == nil {
		return notFound("this node takes no gateways")
	}
	var n NewGateway
	if err := readJSON(r, &n); err != nil {
		return err
	}
	token, err := s.cfg.Gateways.Announce(n)
	if err != nil {
		return err
	}
	return writeJSON(w, http.StatusCreated, GatewayToken{ID: n.ID, Token: token, HTTP: s.cfg.HTTP})
}

// GatewayList answers /api/gateways.
type GatewayList struct {
	Gateways []Gateway `json:"gateways"`
}

// A Gateway is a gateway on site.
type Gateway struct {
	ID         lamppost.MemberID `json:"id"`
	Member     lamppost.MemberID `json:"member"` // who answers for it
	Site       string            `json:"site"`   // whose devices it serves; empty: all
	Registered bool              `json:"registered"`
	KeyEpoch   uint32            `json:"key_epoch"`
	Revoked    string            `json:"revoked"` // why its key was revoked and nothing of it is taken; empty: it was not
}

// NewGateway announces a gateway on site.
type NewGateway struct {
	ID   lamppost.MemberID `json:"id"`
	Site string            `json:"site,omitempty"` // whose devices it serves; empty: all
}

// GatewayToken is what an announced gateway needs for its first start. It is shown once.
type GatewayToken struct {
	ID    lamppost.MemberID `json:"id"`
	Token string            `json:"token"`
	HTTP  string            `json:"http"` // its upstream
}
