package api

import (
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"sync"
	"time"

	"github.com/lamppost/lamppost"
	"github.com/lamppost/lamppost/audit"
	"github.com/lamppost/lamppost/internal/archive"
	"github.com/lamppost/lamppost/internal/kv"
	"github.com/lamppost/lamppost/internal/ledger"
	"github.com/lamppost/lamppost/internal/notify"
	"github.com/lamppost/lamppost/internal/render"
	"github.com/lamppost/lamppost/internal/replica"
)

// What triage found, as people should see it: verdicts in the reader's words, with where the device is and whether anybody has answered.

// An Alarm is a verdict with what people need to make something of it.
type Alarm struct {
	ledger.Verdict
	DeviceName string       `json:"device_name"`
	Place      string       `json:"place"`    // of the metering point, or else of the device
	Register   bool         `json:"register"` // the reading is a running total: detectors judge what it moves in an hour
	Open       bool         `json:"open"`     // nobody has answered
	Suspending bool         `json:"suspending"`
	Words      render.Alarm `json:"words"`
}

// AlarmList answers GET /api/alarms, the latest first.
type AlarmList struct {
	Alarms []Alarm         `json:"alarms"`
	Open   int             `json:"open"` // of all
	Budget AlarmBudgetUsed `json:"budget"`
}

// An AlarmBudgetUsed says how many alarms of anomalies and behaviour people want, and how many there were.
type AlarmBudgetUsed struct {
	Budget   uint32  `json:"budget"`    // for each 1,000 devices and week
	LastWeek int     `json:"last_week"` // in the seven days to now
	Devices  int     `json:"devices"`
	Rate     float64 `json:"rate"` // LastWeek for each 1,000 devices
}

// A VerdictEvidence answers GET /api/verdicts/{id}/evidence: what a verdict can be replayed from, and the proof that it stands in the log.
type VerdictEvidence struct {
	Verdict ledger.Verdict `json:"verdict"`
	State   string         `json:"state"`   // base64: of the models, before the reading; empty: see Missing
	Proof   string         `json:"proof"`   // base64: the verdict's order, and the report that was judged; of behaviour there is none
	Missing string         `json:"missing"` // what there is not, a code: state, report or erased; empty: all is there
	Why     string         `json:"why"`     // that it is missing
}

const (
	defaultAlarms  = 100 // in an answer, unless told
	maxAlarms      = 1000
	maxOpenCounted = 10_000
	alarmWeekMS    = 7 * 24 * 3600 * 1000
)

// A speaker tells one reader.
type speaker struct {
	lang string
	loc  *time.Location

	places map[placed]string // of metering points
}

// placed is a register of a device.
type placed struct {
	device lamppost.DeviceID
	name   string
}

// speakerOf reads ?lang= and ?zone=.
func speakerOf(req *http.Request) (p speaker, err error) {
	q := req.URL.Query()
	p.lang, p.loc = q.Get("lang"), time.UTC
	if name := q.Get("zone"); name != "" && name != "Local" {
		if p.loc, err = time.LoadLocation(name); err != nil {
			return p, badRequest("zone=%q: expected a name of the time zone database, such as Europe/Berlin", clip(name))
		}
	}
	if _, err := render.AlarmOf(render.Judged{Verdict: new(lamppost.Verdict)}, render.Reader{Lang: p.lang}); err != nil {
		return p, badRequest("%v", err)
	}
	return p, nil
}

func (s *Server) getAlarms(w http.ResponseWriter, req *http.Request) error {
	p, err := speakerOf(req)
	if err != nil {
		return err
	}
	limit, err := queryNumber(req, "limit", defaultAlarms, maxAlarms)
	if err != nil {
		return err
	}
	q := req.URL.Query()
	var before lamppost.VerdictID
	if text := q.Get("before"); text != "" {
		if before, err = lamppost.ParseVerdictID(text); err != nil {
			return badRequest("before: %v", err)
		}
	}
	open := q.Get("open") != ""
	if open {
		if open, err = strconv.ParseBool(q.Get("open")); err != nil {
			return badRequest("open=%q: expected true or false", clip(q.Get("open")))
		}
	}
	out := AlarmList{Alarms: []Alarm{}}
	err = s.snapshot(func(r archive.View) (err error) {
		view := ledger.View{Reader: r}
		if p.places, err = placesOf(view); err != nil {
			return err
		}
		each := view.Verdicts
		device := lamppost.DeviceID(q.Get("device"))
		switch {
		case device != "":
			each = func(before lamppost.VerdictID, fn func(*ledger.Verdict) error) error {
				return view.VerdictsOf(device, before, fn)
			}
		case open:
			each = view.OpenVerdicts
		}
		err = each(before, func(v *ledger.Verdict) error {
			if open && !v.Open() {
				return nil
			}
			if uint64(len(out.Alarms)) >= limit {
				return kv.ErrStop
			}
			a, err := s.alarm(view, v, p)
			out.Alarms = append(out.Alarms, a)
			return err
		})
		if err == nil {
			out.Open, err = view.CountOpen(maxOpenCounted)
		}
		if err == nil {
			out.Budget, err = s.budgetUsed(view)
		}
		return err
	})
	if err != nil {
		return err
	}
	return writeJSON(w, http.StatusOK, out)
}

func (s *Server) alarm(view ledger.View, v *ledger.Verdict, p speaker) (a Alarm, err error) {
	a = Alarm{Verdict: *v, Open: v.Open(), Suspending: v.Suspending(), Register: s.cfg.Live.IsRegister(v.Body.Device, v.Body.Name)}
	words, err := render.TellAlarm(render.Judged{Verdict: &v.Body, Register: a.Register}, p.lang, p.loc)
	if err != nil {
		return a, err
	}
	a.Words = *words
	d, err := view.Device(v.Body.Device)
	if err != nil {
		return a, err
	}
	a.DeviceName, a.Place = d.Name, d.Site
	if place := p.places[placed{v.Body.Device, v.Body.Name}]; place != "" {
		a.Place = place
	}
	return a, nil
}

// placesOf says where registers count, the latest meter of a point counting.
func placesOf(view ledger.View) (map[placed]string, error) {
	points, err := view.Points()
	all := make(map[placed]string, len(points))
	for i := range points {
		all[placed{points[i].Device, points[i].Register}] = points[i].Place
	}
	return all, err
}

func (s *Server) budgetUsed(view ledger.View) (b AlarmBudgetUsed, err error) {
	b.Budget, b.Devices = lamppost.DefaultAlarmBudget, s.cfg.Live.devices()
	if said, err := view.AlarmBudget(); err != nil {
		return b, err
	} else if said != nil {
		b.Budget = *said
	}
	b.LastWeek, err = view.CountAlarms(s.cfg.Now()-alarmWeekMS, maxOpenCounted)
	if b.Devices > 0 {
		b.Rate = float64(b.LastWeek*1000) / float64(b.Devices)
	}
	return b, err
}

// openAlarms is how many verdicts wait for an answer: counted again only when there is another block.
type openAlarms struct {
	mu     sync.Mutex
	height lamppost.Height
	n      int
}

func (o *openAlarms) count(view ledger.View, height lamppost.Height) int {
	o.mu.Lock()
	defer o.mu.Unlock()
	if height != o.height {
		if n, err := view.CountOpen(maxOpenCounted); err == nil { // what cannot be read shows elsewhere
			o.height, o.n = height, n
		}
	}
	return o.n
}

// getVerdictEvidence hands out what a verdict can be replayed from.
func (s *Server) getVerdictEvidence(w http.ResponseWriter, req *http.Request) error {
	id, err := lamppost.ParseVerdictID(req.PathValue("id"))
	if err != nil {
		return badRequest("%v", err)
	}
	var out VerdictEvidence
	if err := s.snapshot(func(r archive.View) error { return s.findEvidence(r, id, &out) }); err != nil {
		return err
	}
	report := out.Missing != "erased" && out.Verdict.Body.Kind != lamppost.Behaviour
	err = s.proveVerdict(&out, report)
	if errors.Is(err, archive.ErrForgotten) || errors.Is(err, archive.ErrAbsent) {
		out.Missing, out.Why = "report", "the report that was judged is not kept raw any more"
		err = s.proveVerdict(&out, false)
	}
	if err != nil {
		return err
	}
	return writeJSON(w, http.StatusOK, out)
}

// findEvidence reads the verdict and the state before it, or why there is none.
func (s *Server) findEvidence(r archive.View, id lamppost.VerdictID, out *VerdictEvidence) error {
	view := ledger.View{Reader: r}
	v, err := view.Verdict(id)
	if errors.Is(err, kv.ErrNotFound) {
		return s.goneVerdict(view, id)
	}
	if err != nil {
		return err
	}
	out.Verdict = v
	erased, err := view.Erased(v.Body.Device)
	switch {
	case err == nil && judgedAt(&v).Compare(erased.Place) < 0:
		out.Missing, out.Why = "erased", "inputs "+erasedWords(&erased)
		return nil
	case err != nil && !errors.Is(err, kv.ErrNotFound):
		return err
	}
	state, err := s.verdictState(&v.Body)
	if errors.Is(err, kv.ErrNotFound) {
		out.Missing, out.Why = "state", "the state is not kept here any more"
		if v.Body.Kind == lamppost.Behaviour && v.By != s.cfg.Member {
			out.Why = fmt.Sprintf("the state is at member %q alone, at whose door it was seen: ask its node", v.By)
		}
		return nil
	}
	out.State = base64.StdEncoding.EncodeToString(state)
	return err
}

// judgedAt is the place of the reading, or of behaviour, which has none, that of the verdict.
func judgedAt(v *ledger.Verdict) ledger.Place {
	if v.Body.Kind == lamppost.Behaviour {
		return ledger.Place{Height: v.ID.Height, Index: v.ID.Tx}
	}
	return ledger.Place{Height: v.Body.Height, Index: v.Body.Tx}
}

// goneVerdict says why there is no verdict of an id.
func (s *Server) goneVerdict(view ledger.View, id lamppost.VerdictID) error {
	gone, err := view.Gone()
	if err != nil {
		return err
	}
	by, ok := gone[ledger.Place{Height: id.Height, Index: id.Tx}]
	if !ok {
		return notFound("no verdict %s: GET /api/alarms lists them", id)
	}
	erasures, err := view.Erasures()
	for i := range erasures {
		if e := &erasures[i]; e.Place == by {
			return &statusError{http.StatusGone, "gone", "inputs " + erasedWords(e)}
		}
	}
	if err != nil {
		return err
	}
	return notFound("no verdict %s: GET /api/alarms lists them", id)
}

func (s *Server) verdictState(v *lamppost.Verdict) ([]byte, error) {
	if s.cfg.VerdictState == nil {
		return nil, kv.ErrNotFound
	}
	return s.cfg.VerdictState(v)
}

func (s *Server) proveVerdict(out *VerdictEvidence, report bool) error {
	return s.proven(func(r archive.View) (replica.Want, error) { return replica.WantVerdict(r, &out.Verdict, report) }, func(p *lamppost.Proof, pin *audit.Pin) error {
		_, err := audit.CheckProof(p, pin)
		out.Proof = base64.StdEncoding.EncodeToString(p.Append(nil))
		return err
	})
}

// NotifyTest answers POST /api/notifications/test.
type NotifyTest struct {
	Webhooks []notify.Result `json:"webhooks"` // as configured
}

func (s *Server) postNotifyTest(w http.ResponseWriter, req *http.Request) error {
	out := NotifyTest{Webhooks: []notify.Result{}}
	if s.cfg.Notify != nil {
		out.Webhooks = s.cfg.Notify(req.Context())
	}
	return writeJSON(w, http.StatusOK, out)
}
