package demo

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/url"

	"github.com/lamppost/lamppost"
)

// A finding is what /api/verdicts says of one.
type finding struct {
	ID         string            `json:"id"`
	Kind       string            `json:"kind"`
	Device     lamppost.DeviceID `json:"device"`
	Since      lamppost.TimeMS   `json:"since_ms"`
	Suspends   bool              `json:"suspends"`
	Suspending bool              `json:"suspending"` // now
	Reasons    []struct {
		Code string `json:"code"`
	} `json:"reasons"`
	Reviews []struct {
		Answer string `json:"answer"`
	} `json:"reviews"`
}

// verdicts returns what triage found, of a device or of all, the latest first.
func (c *client) verdicts(ctx context.Context, device lamppost.DeviceID) (all []finding, err error) {
	for query := (url.Values{"device": {string(device)}}); ; {
		if device == "" {
			query.Del("device")
		}
		var list struct {
			Verdicts []finding `json:"verdicts"`
			Next     string    `json:"next"`
		}
		if err := c.get(ctx, "/api/verdicts?"+query.Encode(), &list); err != nil {
			return nil, err
		}
		if all = append(all, list.Verdicts...); list.Next == "" {
			return all, nil
		}
		query.Set("before", list.Next)
	}
}

// review answers a verdict.
func (c *client) review(ctx context.Context, id, answer, reason string) error {
	return c.post(ctx, "/api/verdicts/"+id+"/review", map[string]string{"answer": answer, "reason": reason}, new(struct{}))
}

// judged waits until all that is committed now is judged, and what was found stands in the ledger.
func (r *run) judged(ctx context.Context) error {
	var until lamppost.Height
	return eventually(ctx, func() error {
		now, err := r.web.status(ctx)
		if err != nil {
			return err
		}
		if until == 0 {
			until = now.Triage.Height + now.Triage.Lag
		}
		switch {
		case now.Triage.Error != "":
			return errors.New(now.Triage.Error)
		case now.Triage.Height < until || now.Triage.Waiting > 0:
			return &notReady{"not all is judged"}
		}
		return nil
	})
}

// A triaged is what triage found in the end.
type triaged struct {
	told    bool
	kinds   map[string]int
	answers []string // to what held something back
}

// triaged asks what was found, and refuses that something is still held back.
func (r *run) triaged(ctx context.Context) (t triaged, err error) {
	if err := r.judged(ctx); err != nil {
		return t, err
	}
	all, err := r.web.verdicts(ctx, "")
	if err != nil {
		return t, err
	}
	t = triaged{told: true, kinds: make(map[string]int)}
	for _, v := range all {
		t.kinds[v.Kind]++
		switch {
		case v.Suspending:
			return t, fmt.Errorf("verdict %s still holds back what %s shows", v.ID, v.Device)
		case v.Suspends:
			t.answers = append(t.answers, fmt.Sprintf("%s  %s of %s, answered with %q", v.ID, v.Reasons[0].Code, v.Device, v.Reviews[len(v.Reviews)-1].Answer))
		}
	}
	return t, nil
}

func (t *triaged) write(w io.Writer) {
	if !t.told {
		return
	}
	fmt.Fprintf(w, "Triage    all readings judged: %d unusual, %d that cannot be or are hard to believe.\n", t.kinds["anomaly"], t.kinds["implausible"])
	for _, a := range t.answers {
		fmt.Fprintf(w, "          %s\n", a)
	}
}
