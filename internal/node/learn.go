package node

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/lamppost/lamppost"
	"github.com/lamppost/lamppost/internal/api"
	"github.com/lamppost/lamppost/internal/federate"
	"github.com/lamppost/lamppost/internal/forecast"
	"github.com/lamppost/lamppost/internal/kv"
	"github.com/lamppost/lamppost/internal/ledger"
	"github.com/lamppost/lamppost/internal/pilot"
)

// What members learn together, they merge each for itself: when the ledger's clock is past a round's week, what stands there for it. The
// block that was first past it decides what is in, so that all have the same model. docs/learning.md says how.

// Among the node's own records:
//
//	nLm <model>               keptModel
//	nLs <commitment, 32>      the salt that an update's commitment to its rows was made with
const learnPrefix = "nL"

// maxRounds is how many rounds of a model are shown.
const maxRounds = 8

// learnAgain is when a member that had too little to say, or was not heard, tries again.
const learnAgain = 3600_000 // ms

// learning is what a node has merged.
type learning struct {
	mu    sync.Mutex
	round int64 // that is open; those before are merged
}

// A keptModel is a shared model as this node has it.
type keptModel struct {
	api.SharedModel
	Stats []byte `json:"stats"` // as forecast.Stats writes them; empty: nothing was merged yet
}

func modelKey(model string) []byte { return []byte(learnPrefix + "m" + model) }

// openLearning merges what a stop may have kept from being merged. No block came since.
func (n *Node) openLearning() error { return n.closeRounds(n.rep.Last().Time) }

// closeRounds merges rounds that are over at a block's time. It is called for each block that is committed, after it.
func (n *Node) closeRounds(at lamppost.TimeMS) error {
	l := &n.learning
	l.mu.Lock()
	defer l.mu.Unlock()
	open := federate.RoundAt(at)
	if open <= l.round {
		return nil
	}
	snap, err := n.store.Snapshot()
	if err != nil {
		return err
	}
	defer snap.Close()
	v := ledger.View{Reader: snap}
	said, err := v.Updates("")
	if err != nil {
		return err
	}
	var whose map[lamppost.MemberID]string
	if len(said) > 0 { // else there may be no network yet
		if whose, err = learners(v); err != nil {
			return err
		}
	}
	for len(said) > 0 {
		model := said[0].Model
		end := slices.IndexFunc(said, func(u ledger.Update) bool { return u.Model != model })
		if end < 0 {
			end = len(said)
		}
		if err := n.mergeModel(model, whose, said[:end], open); err != nil {
			return fmt.Errorf("merging what was learnt of %q: %w", model, err)
		}
		said = said[end:]
	}
	l.round = open
	if n.pilot != nil {
		n.pilot.Changed()
	}
	return nil
}

// mergeModel merges the rounds of one model that are before the open one and that this node has not merged.
func (n *Node) mergeModel(model string, whose map[lamppost.MemberID]string, said []ledger.Update, open int64) error {
	k, err := n.keptModel(model)
	if err != nil {
		return err
	}
	byRound := map[int64][]learnt{}
	for i := range said {
		x := learnt{said: &said[i]}
		if x.Update.UnmarshalBinary(said[i].Statistics) != nil || x.Stats.Rows != int(min(said[i].Rows, 1<<31-1)) {
			continue // of no round: nothing that could be merged
		}
		x.By, x.Member = said[i].By, whose[lamppost.MemberID(said[i].By)]
		if x.Round < open && x.Round > k.Round {
			byRound[x.Round] = append(byRound[x.Round], x)
		}
	}
	for _, round := range sortedKeys(byRound) {
		if err := k.merge(round, byRound[round]); err != nil {
			return err
		}
	}
	if len(byRound) == 0 {
		return nil
	}
	raw, err := json.Marshal(k)
	if err != nil {
		return err
	}
	var b kv.Batch
	b.Set(modelKey(model), raw)
	return n.store.Apply(&b)
}

// learners says of all who may learn who answers for them, and has one voice: the organisation of the member's seat, or the seat where it names none. Seats
// and their organisations take the consent of most members; gateways, parties and devices any member can register as it likes.
func learners(v ledger.View) (map[lamppost.MemberID]string, error) {
	net, err := v.Network()
	if err != nil {
		return nil, err
	}
	gateways, err := v.Gateways()
	if err != nil {
		return nil, err
	}
	whose := map[lamppost.MemberID]string{}
	for _, m := range net.Members {
		whose[m.ID] = string(m.ID)
		if m.Org != "" {
			whose[m.ID] = "organisation " + m.Org // the blank: no seat has such an id
		}
	}
	for _, g := range gateways {
		if _, seat := whose[g.ID]; !seat {
			whose[g.ID] = whose[g.Member] // "" of a former member's
		}
	}
	return whose, nil
}

func sortedKeys[V any](m map[int64]V) []int64 {
	var all []int64
	for k := range m {
		all = append(all, k)
	}
	slices.Sort(all)
	return all
}

// A learnt is an update as it stands on the ledger, read.
type learnt struct {
	federate.Update
	said *ledger.Update
}

// merge takes a round's updates. They must improve the model that this node has; where it has none, that of which most are: a member that
// came later knows no other.
func (k *keptModel) merge(round int64, all []learnt) error {
	base := k.Hash
	if !slices.ContainsFunc(all, func(x learnt) bool { return x.said.Base == base }) {
		base = mostNamed(all)
	}
	var in []federate.Update
	stale := 0
	for _, x := range all {
		if x.said.Base != base {
			stale++
			continue
		}
		in = append(in, x.Update)
	}
	merged, err := federate.Merge(in)
	if err != nil || merged.Stats == nil {
		return err
	}
	if k.Stats, err = merged.Stats.AppendBinary(nil); err != nil {
		return err
	}
	r := api.SharedRound{Round: round, Base: base, Hash: merged.Hash, Stale: stale, From: lamppost.TimeMS(round) * federate.RoundMS,
		Until: lamppost.TimeMS(round+1) * federate.RoundMS, Rows: merged.Stats.Rows, Members: merged.Members}
	for i, x := range slices.DeleteFunc(slices.Clone(all), func(x learnt) bool { return x.said.Base != base }) {
		u := x.said
		r.Updates = append(r.Updates, api.SharedUpdate{Part: merged.Parts[i], Devices: x.Devices, Data: u.Data, Metric: u.Metric, Before: u.Before, After: u.After,
			Height: u.Place.Height})
	}
	k.Round, k.Hash, k.Merged = round, merged.Hash, k.Merged+1
	k.Rounds = append([]api.SharedRound{r}, k.Rounds[:min(len(k.Rounds), maxRounds-1)]...)
	return nil
}

// mostNamed is the base that most members' updates improve, of several the first by its bytes.
func mostNamed(all []learnt) (base lamppost.Hash) {
	by := map[lamppost.Hash]map[string]bool{}
	for _, x := range all {
		if x.Member == "" {
			continue
		}
		if by[x.said.Base] == nil {
			by[x.said.Base] = map[string]bool{}
		}
		by[x.said.Base][x.Member] = true
	}
	for h, members := range by {
		if n, most := len(members), len(by[base]); n > most || n == most && slices.Compare(h[:], base[:]) < 0 {
			base = h
		}
	}
	return base
}

// keptModel is a model as this node has it, or one that knows nothing.
func (n *Node) keptModel(model string) (k keptModel, err error) {
	raw, err := n.store.Get(modelKey(model))
	if errors.Is(err, kv.ErrNotFound) {
		return keptModel{SharedModel: api.SharedModel{Model: model, Round: -1}}, nil
	}
	if err == nil {
		err = json.Unmarshal(raw, &k)
	}
	return k, err
}

// SharedModels are what members learn together, by name, with what stands for the round that is open.
func (n *Node) SharedModels() (all []api.SharedModel, err error) {
	byName := map[string]*api.SharedModel{}
	prefix := modelKey("")
	if err := n.store.Scan(prefix, after(prefix), func(_, val []byte) error {
		var k keptModel
		err := json.Unmarshal(val, &k)
		byName[k.Model] = &k.SharedModel
		return err
	}); err != nil {
		return nil, err
	}
	said, err := (ledger.View{Reader: n.store}).Updates("")
	if err != nil {
		return nil, err
	}
	n.learning.mu.Lock()
	open := n.learning.round
	n.learning.mu.Unlock()
	for i := range said {
		var u federate.Update
		if u.UnmarshalBinary(said[i].Statistics) != nil || u.Round < open {
			continue
		}
		m := byName[said[i].Model]
		if m == nil {
			m = &api.SharedModel{Model: said[i].Model, Round: -1}
			byName[m.Model] = m
		}
		m.Open = append(m.Open, said[i].By)
	}
	for _, m := range byName {
		all = append(all, *m)
	}
	slices.SortFunc(all, func(a, b api.SharedModel) int { return slices.Compare([]byte(a.Model), []byte(b.Model)) })
	return all, nil
}

// learn orders this member's updates, once a round for each of its configured models.
func (n *Node) learn(ctx context.Context) error {
	tick := time.NewTicker(max(50*time.Millisecond, time.Duration(float64(time.Minute)/max(1, n.cfg.Speed))))
	defer tick.Stop()
	due := make([]lamppost.TimeMS, len(n.cfg.Learn))
	for {
		now := n.now()
		for i := range n.cfg.Learn {
			if now < due[i] {
				continue
			}
			due[i] = lamppost.TimeMS(federate.RoundAt(now)+1) * federate.RoundMS
			if err := n.teach(ctx, &n.cfg.Learn[i], now); err != nil && ctx.Err() == nil {
				n.cfg.Log.Warn("this member takes no part in a round of learning yet", "model", n.cfg.Learn[i].Model, "why", err)
				due[i] = now + learnAgain
			}
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

// kin is what members learnt together of a device's reading in the steps of agents' forecasts, and its name. The device's owner takes part in that, so
// what others give it gives, too.
func (n *Node) kin(id lamppost.DeviceID, reading string) (name lamppost.Hash, kin []*forecast.Stats, err error) {
	d, err := ledger.View{Reader: n.store}.Device(id)
	if errors.Is(err, kv.ErrNotFound) {
		return name, nil, nil
	}
	if err != nil {
		return name, nil, err
	}
	i := slices.IndexFunc(n.cfg.Learn, func(c Learn) bool {
		return c.Reading == reading && lamppost.TimeMS(c.Step.Milliseconds()) == pilot.Step && slices.Contains(c.Owners, d.Owner)
	})
	if i < 0 {
		return name, nil, nil
	}
	hash := sha256.New()
	for _, h := range forecast.Ahead(n.cfg.Learn[i].Horizon) {
		k, err := n.keptModel(n.cfg.Learn[i].part(h))
		if err != nil || len(k.Stats) == 0 {
			return name, nil, err // of all groups or of none
		}
		s := new(forecast.Stats)
		if err := s.UnmarshalBinary(k.Stats); err != nil {
			return name, nil, err
		}
		kin = append(kin, s)
		hash.Write(k.Hash[:])
	}
	return lamppost.Hash(hash.Sum(nil)), kin, nil
}

// teach makes this member's updates of a model, one of each group of horizons, and orders those that do not stand yet.
func (n *Node) teach(ctx context.Context, c *Learn, now lamppost.TimeMS) error {
	ahead := forecast.Ahead(c.Horizon)
	base, hashes := make([]*forecast.Stats, len(ahead)), make([]lamppost.Hash, len(ahead))
	for g, h := range ahead {
		k, err := n.keptModel(c.part(h))
		if err != nil {
			return err
		}
		base[g], hashes[g] = new(forecast.Stats), k.Hash
		if len(k.Stats) == 0 {
			base[g] = nil
		} else if err := base[g].UnmarshalBinary(k.Stats); err != nil {
			return err
		}
	}
	x, err := n.gather(ctx, c, base, now)
	if err != nil {
		return err
	}
	salt := kv.Batch{}
	salt.Set(append([]byte(learnPrefix+"s"), x.data[:]...), x.salt[:])
	if err := n.store.Apply(&salt); err != nil {
		return err
	}
	for g, h := range ahead {
		b, err := x.update(g, federate.RoundAt(now))
		if err != nil {
			return fmt.Errorf("%d steps ahead: %w", h, err)
		}
		b.Model, b.Base = c.part(h), hashes[g]
		timed, cancel := context.WithTimeout(ctx, findingTimeout)
		_, err = n.Order(timed, lamppost.TxLearn, b)
		cancel()
		var refusal *lamppost.Refusal
		if errors.As(err, &refusal) && (refusal.Code == lamppost.CodeExists || refusal.Code == lamppost.CodeDuplicate) {
			continue // it was ordered before a restart
		}
		if err != nil {
			return err
		}
	}
	return nil
}
