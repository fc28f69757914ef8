package node_test

import (
	"encoding/json"
	"fmt"
	"math"
	"math/rand/v2"
	"reflect"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/lamppost/lamppost"
	"github.com/lamppost/lamppost/internal/api"
	"github.com/lamppost/lamppost/internal/federate"
	"github.com/lamppost/lamppost/internal/forecast"
	"github.com/lamppost/lamppost/internal/ledger"
	"github.com/lamppost/lamppost/internal/network"
	"github.com/lamppost/lamppost/internal/node"
)

// A school is members who learn together, on a clock that the test moves.
type school struct {
	t     *testing.T
	ahead *atomic.Int64 // ns that the clock is beyond the machine's
	all   []*member
	step  time.Duration
	parts int // models, one of each group of horizons
	sent  map[lamppost.DeviceID]*machine
}

const quarterDay = 6 * time.Hour

func newSchool(t *testing.T, members int) *school { return newSchoolOf(t, members, quarterDay, 4) }

func newSchoolOf(t *testing.T, members int, step time.Duration, horizon int) *school {
	return newSchoolAt(t, founded(t, "raft", members)[:members], step, horizon)
}

func newSchoolAt(t *testing.T, seats []seat, step time.Duration, horizon int) *school {
	s := &school{t: t, ahead: new(atomic.Int64), step: step, parts: len(forecast.Ahead(horizon)), sent: map[lamppost.DeviceID]*machine{}}
	started := time.Now()
	for i, seat := range seats {
		seat.now = func() time.Time { return begin.Add(time.Since(started) + time.Duration(s.ahead.Load())) }
		s.all = append(s.all, seat.runWith(t, func(c *node.Config) {
			c.MQTT, c.Triage = "off", "off"
			c.Learn = []node.Learn{{Model: "load", Owners: []lamppost.PartyID{lamppost.PartyID(fmt.Sprint("owner", i))}, Reading: "power", Step: step, Horizon: horizon}}
		}))
	}
	for i := range seats {
		s.all[0].ordered(lamppost.TxParty, lamppost.PartyBody{ID: lamppost.PartyID(fmt.Sprint("owner", i)), Name: "O"})
	}
	return s
}

// meter enrols devices of a member's owner and sends what they measured in the weeks before.
func (s *school) meter(member, devices int) { s.meterDays(member, devices, 55) }

func (s *school) meterDays(member, devices, days int) {
	s.t.Helper()
	l := s.all[member].lamp()
	for d := range devices {
		id := lamppost.DeviceID(fmt.Sprintf("d%d-%d", member, d))
		var dev api.DeviceToken
		l.order("/api/devices", api.NewDevice{ID: id, Owner: lamppost.PartyID(fmt.Sprint("owner", member)), Name: string(id), Safety: "ordinary"}, &dev)
		m := &machine{id: id, token: dev.Token, key: newKey(s.t, string(id))}
		l.enrol(m)
		s.sent[id] = m
		random := rand.New(rand.NewPCG(uint64(member), uint64(d)))
		var readings []lamppost.Reading
		for at := begin.Add(time.Duration(-days) * 24 * time.Hour); at.Before(begin); at = at.Add(s.step) {
			v := 1000 + 100*float64(d) + 400*math.Sin(float64(at.Hour())/24*2*math.Pi) + 60*random.NormFloat64()
			readings = append(readings, lamppost.Reading{Name: "power", Unit: "W", Time: lamppost.TimeMS(at.UnixMilli()), Value: lamppost.Dec(int64(v), 0)})
		}
		for len(readings) > 0 {
			some := readings[:min(len(readings), 60)]
			readings = readings[len(some):]
			raw := m.report(s.t, func(r *lamppost.Report) { r.Readings = some })
			eventually(s.t, "a report is taken", func() bool {
				got := l.post(m, raw)
				if got.Code != "ok" && got.Code != "duplicate" {
					s.t.Log(got)
				}
				return got.Code == "ok" || got.Code == "duplicate"
			})
		}
	}
}

// weekLater moves all clocks, has a block made, and waits until all members have merged as many rounds.
func (s *school) weekLater(rounds int) (all [][]api.SharedModel) {
	s.t.Helper()
	s.ahead.Add(int64(7 * 24 * time.Hour))
	s.all[0].ordered(lamppost.TxParty, lamppost.PartyBody{ID: lamppost.PartyID(fmt.Sprint("p", rounds)), Name: "P"})
	eventually(s.t, "all have merged", func() bool {
		all = nil
		for _, m := range s.all {
			models, err := m.lamp().SharedModels()
			must(s.t, err)
			for i := range models {
				if models[i].Merged != rounds {
					return false
				}
			}
			if all = append(all, models); len(models) != s.parts {
				return false
			}
		}
		return true
	})
	return all
}

func (s *school) teach(members ...int) {
	s.t.Helper()
	for _, i := range members {
		must(s.t, s.all[i].lamp().Teach(s.t.Context()))
	}
}

// TestMembersLearnTogether: three members each order what their own devices teach, and each merges the same model for itself, byte by byte; the next
// round improves it; one that lies is left out with a number by all, and the model is that of the two others. A node that
// starts again knows it.
func TestMembersLearnTogether(t *testing.T) {
	t.Parallel()
	s := newSchool(t, 3)
	for i := range 3 {
		s.meter(i, federate.MinDevices)
	}
	s.teach(0, 1, 2)
	s.teach(1) // again: it stands already
	first := s.weekLater(1)
	for _, models := range first {
		for i, m := range models {
			if m.Hash == (lamppost.Hash{}) || m.Hash != first[0][i].Hash || len(m.Rounds) != 1 || len(m.Rounds[0].Updates) != 3 || len(m.Open) != 0 {
				t.Fatalf("%s: %+v", m.Model, m)
			}
			for _, u := range m.Rounds[0].Updates {
				if u.Left != "" || u.Rows < federate.MinRows || u.Devices != federate.MinDevices || u.After.Cmp(u.Before) >= 0 || math.Abs(u.Share-1./3) > 0.05 {
					t.Errorf("%s: %+v", m.Model, u)
				}
			}
		}
	}
	before := first[0][0].Rounds[0].Updates[0].Before

	s.teach(0, 1)
	for i := range first[0] { // a third says the opposite of what it said
		s.all[2].ordered(lamppost.TxLearn, s.opposite(first[0][i].Model, first[0][i].Hash, 1))
	}
	second := s.weekLater(2)
	for _, models := range second {
		for i, m := range models {
			r := m.Rounds[0]
			if m.Hash != second[0][i].Hash || r.Base != first[0][i].Hash || m.Hash == r.Base || len(r.Updates) != 3 || r.Updates[2].Left != federate.LeftSpoils ||
				r.Updates[2].Why == "" || r.Updates[0].Share+r.Updates[1].Share < 0.999 {
				t.Errorf("%s: %+v", m.Model, r)
			}
		}
	}
	if u := second[0][0].Rounds[0].Updates[0]; u.Before.Cmp(before) >= 0 {
		t.Errorf("what was learnt together helps nobody: %v before the first round, %v before the second", before, u.Before)
	}
	var list api.SharedModelList
	status, answer := s.all[0].lamp().ask("GET", "/api/learn", nil)
	must(t, json.Unmarshal(answer, &list))
	if !reflect.DeepEqual(list.Models, second[0]) {
		t.Errorf("GET /api/learn: status %d, %s", status, answer)
	}
	s.all[1].stop()
	again := run(t, s.all[1].cfg)
	models, err := again.SharedModels()
	must(t, err)
	for i := range models {
		if models[i].Hash != second[0][i].Hash {
			t.Errorf("%s is another after a restart", models[i].Model)
		}
	}
}

// TestManyGatewaysHaveOneVoice: three organisations learn together, of which one has two seats. One registers seven gateways that all say the opposite: they
// are more than all others, and every member leaves them out and nobody else.
func TestManyGatewaysHaveOneVoice(t *testing.T) {
	t.Parallel()
	var seats []seat
	for i, org := range [...]string{"north", "south", "west", "north", ""} {
		seats = append(seats, newSeat(t, lamppost.MemberID(fmt.Sprint("m", i+1))))
		seats[i].card.Org = org
	}
	found(t, seats, network.File{Network: "house", Engine: "raft", Verify: "full", Trust: [][]string{{"north", "south", "west"}}}, begin)
	s := newSchoolAt(t, seats[:4], quarterDay, 4)
	for i := range 4 {
		s.meter(i, federate.MinDevices)
	}
	s.teach(0, 1, 2, 3)
	model := fmt.Sprint("load-", forecast.Ahead(4)[0])
	lie := s.opposite(model, lamppost.Hash{}, 0)
	for i := range 7 {
		key := newKey(t, fmt.Sprint("gate", i))
		lie.Gateway = lamppost.MemberID(fmt.Sprint("gate", i))
		s.all[2].ordered(lamppost.TxGateway, lamppost.GatewayBody{ID: lie.Gateway, Member: "m3", Key: key.Public().Bytes()})
		must(t, lie.Sign("house", key))
		s.all[2].ordered(lamppost.TxLearn, lie)
	}
	all := s.weekLater(1)
	for _, models := range all {
		i := slices.IndexFunc(models, func(m api.SharedModel) bool { return m.Model == model })
		r := models[i].Rounds[0]
		if models[i].Hash != all[0][i].Hash || r.Members != 3 || len(r.Updates) != 11 {
			t.Fatalf("%d members, %d updates, %s", r.Members, len(r.Updates), models[i].Hash)
		}
		whose := map[string]string{"m1": "organisation north", "m2": "organisation south", "m3": "organisation west", "m4": "organisation north"}
		for _, u := range r.Updates {
			gate := strings.HasPrefix(u.By, "gate")
			if want := whose[u.By]; !gate && (u.Member != want || u.Left != "") || gate && (u.Member != "organisation west" || u.Left != federate.LeftSpoils) {
				t.Errorf("%+v", u)
			}
		}
	}
}

// opposite turns what a member said of a model first into its contrary, so many rounds later.
func (s *school) opposite(model string, base lamppost.Hash, later int64) lamppost.LearnBody {
	s.t.Helper()
	all, err := (ledger.View{Reader: s.all[2].lamp().Store()}).Updates(model)
	must(s.t, err)
	for i := range all {
		if all[i].By != "m3" {
			continue
		}
		var u federate.Update
		must(s.t, u.UnmarshalBinary(all[i].Statistics))
		for k := range u.Stats.Cross {
			u.Stats.Cross[k] *= -1
		}
		u.Round += later
		b := all[i].LearnBody
		b.Base = base
		b.Statistics, err = u.AppendBinary(nil)
		must(s.t, err)
		return b
	}
	s.t.Fatal("m3 said nothing")
	return lamppost.LearnBody{}
}

// TestFewAreNotToldOf: of too few devices, and of an owner who is not named, nothing is put on the ledger; what a device that is erased had taught
// is not in what is told next.
func TestFewAreNotToldOf(t *testing.T) {
	t.Parallel()
	s := newSchool(t, 1)
	s.meter(0, federate.MinDevices-1)
	err := s.all[0].lamp().Teach(t.Context())
	if err == nil || !strings.Contains(err.Error(), "4 devices have enough readings") {
		t.Fatalf("four devices: %v", err)
	}
	s2 := newSchool(t, 1)
	s2.meter(0, federate.MinDevices+1)
	s2.teach(0)
	rows := func(round int64) (all uint64) {
		said, err := (ledger.View{Reader: s2.all[0].lamp().Store()}).Updates("load-1")
		must(t, err)
		for i := range said {
			var u federate.Update
			must(t, u.UnmarshalBinary(said[i].Statistics))
			if u.Round == round {
				all += said[i].Rows
			}
		}
		return all
	}
	now := federate.RoundAt(lamppost.TimeMS(begin.UnixMilli()))
	six := rows(now)
	s2.all[0].ordered(lamppost.TxErase, lamppost.EraseBody{Device: "d0-0", Basis: "GDPR Art. 17(1)(b)"})
	s2.weekLater(1)
	s2.teach(0)
	if five := rows(now + 1); six == 0 || five == 0 || five >= six {
		t.Errorf("%d rows of six devices, %d after one was erased", six, five)
	}
	if said, err := (ledger.View{Reader: s.all[0].lamp().Store()}).Updates(""); err != nil || len(said) > 0 {
		t.Errorf("%d updates of four devices: %v", len(said), err)
	}
}

// TestAgentsStartFromSharedModels: what members learnt together in the steps of agents' forecasts is given to those of owners who take part, and of
// the reading that it is of, and of nobody else.
func TestAgentsStartFromSharedModels(t *testing.T) {
	t.Parallel()
	s := newSchoolOf(t, 1, 15*time.Minute, 96)
	s.meterDays(0, federate.MinDevices, 16)
	l := s.all[0].lamp()
	kin := func(id lamppost.DeviceID, reading string) (lamppost.Hash, int) {
		t.Helper()
		name, kin, err := l.Kin(id, reading)
		must(t, err)
		return name, len(kin)
	}
	if _, n := kin("d0-0", "power"); n != 0 {
		t.Errorf("before a round: %d groups", n)
	}
	s.teach(0)
	s.weekLater(1)
	if name, n := kin("d0-0", "power"); n != s.parts || name == (lamppost.Hash{}) {
		t.Errorf("%d groups of %d, %s", n, s.parts, name)
	}
	s.all[0].ordered(lamppost.TxParty, lamppost.PartyBody{ID: "stranger"})
	l.order("/api/devices", api.NewDevice{ID: "other", Owner: "stranger", Safety: "ordinary"}, nil)
	for _, x := range [...]struct {
		id   lamppost.DeviceID
		name string
	}{{"d0-0", "water"}, {"other", "power"}, {"nobody", "power"}} {
		if _, n := kin(x.id, x.name); n != 0 {
			t.Errorf("%v: %d groups", x, n)
		}
	}
}
