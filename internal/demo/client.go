package demo

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"time"

	"github.com/lamppost/lamppost"
)

// A client talks to the node's HTTP API as a program of its administrator would.
type client struct{ url, token string }

func (c *client) get(ctx context.Context, path string, answer any) error {
	raw, err := c.do(ctx, http.MethodGet, path, nil)
	if err != nil {
		return err
	}
	return json.Unmarshal(raw, answer)
}

func (c *client) post(ctx context.Context, path string, body, answer any) error {
	raw, err := json.Marshal(body)
	if err != nil {
		return err
	}
	if raw, err = c.do(ctx, http.MethodPost, path, raw); err != nil {
		return err
	}
	return json.Unmarshal(raw, answer)
}

// A notReady is an answer that will come later.
type notReady struct{ text string }

func (e *notReady) Error() string { return e.text }

func (c *client) do(ctx context.Context, method, path string, body []byte) ([]byte, error) {
	req, err := http.NewRequestWithContext(ctx, method, c.url+path, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	req.Header.Set("Authorization", "Bearer "+c.token)
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	raw, err := io.ReadAll(io.LimitReader(resp.Body, maxReplyBytes))
	switch {
	case err != nil:
		return nil, fmt.Errorf("%s %s: %w", method, path, err)
	case resp.StatusCode == http.StatusServiceUnavailable:
		return nil, &notReady{fmt.Sprintf("%s %s: %s", method, path, raw)}
	case resp.StatusCode >= 300:
		return nil, fmt.Errorf("%s %s: status %d: %s", method, path, resp.StatusCode, raw)
	}
	return raw, nil
}

// status is what the demo reads of /api/status.
type status struct {
	Triage struct {
		Height  lamppost.Height `json:"height"`
		Lag     lamppost.Height `json:"lag"`
		Waiting int             `json:"waiting"`
		Error   string          `json:"error"`
	} `json:"triage"`
	Totals struct {
		Reports  int64                     `json:"reports"`
		Readings int64                     `json:"readings"`
		Billed   map[string]lamppost.Micro `json:"billed"`
	} `json:"totals"`
}

func (c *client) status(ctx context.Context) (s status, err error) {
	return s, c.get(ctx, "/api/status", &s)
}

// An account is what /api/accounts says of one.
type account struct {
	Party    lamppost.PartyID `json:"party"`
	Currency string           `json:"currency"`
	Balance  lamppost.Micro   `json:"balance"`
	Held     lamppost.Micro   `json:"held"`
}

// accounts returns those in the demo's currency.
func (c *client) accounts(ctx context.Context) (map[lamppost.PartyID]account, error) {
	var list struct {
		Accounts []account `json:"accounts"`
	}
	if err := c.get(ctx, "/api/accounts", &list); err != nil {
		return nil, err
	}
	all := make(map[lamppost.PartyID]account)
	for _, a := range list.Accounts {
		if a.Currency == currency {
			all[a.Party] = a
		}
	}
	return all, nil
}

// An agentRecord is what /api/agents says of one.
type agentRecord struct {
	Device  lamppost.DeviceID `json:"device"`
	Records []struct {
		Acted struct {
			Decisions uint32 `json:"decisions"`
		} `json:"acted"`
		Safe uint32 `json:"safe"` // decisions by the safe rule
	} `json:"records"`
}

// agents returns what the ledger has of each, by device.
func (c *client) agents(ctx context.Context) ([]agentRecord, error) {
	var list struct {
		Agents []agentRecord `json:"agents"`
	}
	err := c.get(ctx, "/api/agents", &list)
	return list.Agents, err
}

// promising looks for a decision that expected more than the best until now, among an agent's latest.
func (c *client) promising(ctx context.Context, id lamppost.DeviceID, best *lamppost.DecisionID, gain *lamppost.Micro) error {
	var list struct {
		Decisions []struct {
			ID   lamppost.DecisionID `json:"id"`
			Body lamppost.Decision   `json:"decision"`
		} `json:"decisions"`
	}
	if err := c.get(ctx, "/api/decisions?limit=256&device="+url.QueryEscape(string(id)), &list); err != nil {
		return err
	}
	for _, d := range list.Decisions {
		if d.Body.Gain > *gain {
			*best, *gain = d.ID, d.Body.Gain
		}
	}
	return nil
}

// eventually calls do until its answer is ready.
func eventually(ctx context.Context, fn func() error) error {
	const limit = 500 * time.Millisecond
	for wait, waited := pollEvery, time.Duration(0); ; wait = min(2*wait, limit) {
		err := fn()
		if _, later := err.(*notReady); !later || waited > stallLimit {
			return err
		}
		if err := pause(ctx, wait); err != nil {
			return err
		}
		waited += wait
	}
}
