package gateway

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"

	"github.com/lamppost/lamppost"
	"github.com/lamppost/lamppost/guard"
	"github.com/lamppost/lamppost/internal/ingest/httpd"
)

// An upstream is the node that a gateway hands its segments to, over HTTP.
type upstream struct {
	url    string
	id     string
	token  func() string
	client *http.Client
}

// A rejectedError says that the upstream will never take a segment: sending it again cannot help.
type rejectedError struct{ text string }

func (e *rejectedError) Error() string { return "the upstream will never take this segment: " + e.text }

// An answerError is an answer that is no success.
type answerError struct {
	status int
	code   string
	text   string
}

func (e *answerError) Error() string {
	return fmt.Sprintf("the upstream answers %d %s: %s", e.status, e.code, e.text)
}

// ofKey says whether an answer judges a key for good, and not the request or the moment.
func (e *answerError) ofKey() bool {
	switch e.status {
	case http.StatusBadRequest, http.StatusForbidden, http.StatusConflict, http.StatusUnprocessableEntity:
		return true
	}
	return false
}

// register makes a key of this gateway known, with the consent of the one before or without, and returns the network's id
// and the key's epoch.
func (u *upstream) register(ctx context.Context, key, consent []byte) (network string, epoch uint32, err error) {
	in := map[string][]byte{"key": key}
	if len(consent) > 0 {
		in["consent"] = consent
	}
	body, err := json.Marshal(in)
	if err != nil {
		return "", 0, err
	}
	var out struct {
		Network string
		Epoch   uint32 `json:"key_epoch"`
	}
	_, raw, err := u.ask(ctx, http.MethodPost, "/v1/gateway", "application/json", body, "")
	if err == nil {
		err = json.Unmarshal(raw, &out)
	}
	if err == nil && out.Network == "" {
		err = errors.New("the upstream names no network")
	}
	if err != nil {
		return "", 0, fmt.Errorf("registering this gateway's key: %w", err)
	}
	return out.Network, out.Epoch, nil
}

// devices returns the list of devices, nil where the one with this tag is still right.
func (u *upstream) devices(ctx context.Context, tag string) (raw []byte, newTag string, err error) {
	header, raw, err := u.ask(ctx, http.MethodGet, "/v1/gateway/devices", "", nil, tag)
	if err != nil {
		return nil, "", fmt.Errorf("asking for the list of devices: %w", err)
	}
	if header == nil {
		return nil, tag, nil
	}
	return raw, header.Get("ETag"), nil
}

const guardsPath = "/v1/gateway/guards"

// guards tells what guards decide, and returns what is asked of them and of others.
func (u *upstream) guards(ctx context.Context, words map[lamppost.DeviceID]guard.Word) (asked map[lamppost.DeviceID]guard.Asked, err error) {
	body, err := json.Marshal(words)
	if err != nil {
		return nil, err
	}
	_, raw, err := u.ask(ctx, http.MethodPost, guardsPath, "application/json", body, "")
	if err == nil {
		err = json.Unmarshal(raw, &asked)
	}
	if err != nil {
		return nil, fmt.Errorf("asking what is asked of guards: %w", err)
	}
	return asked, nil
}

// deliver hands a segment on and returns once the upstream has committed it. A *rejectedError is final.
func (u *upstream) deliver(ctx context.Context, raw []byte, reports int) (delivered, error) {
	_, answer, err := u.ask(ctx, http.MethodPost, "/v1/segments", "application/cbor", raw, "")
	var refusal *answerError
	if errors.As(err, &refusal) && final(refusal.status) {
		return delivered{}, &rejectedError{refusal.Error()}
	}
	if err != nil {
		return delivered{}, fmt.Errorf("delivering a segment: %w", err)
	}
	var d httpd.Delivery
	if err := json.Unmarshal(answer, &d); err != nil {
		return delivered{}, fmt.Errorf("delivering a segment: the answer cannot be read: %w", err)
	}
	return expand(d, reports)
}

// final says which statuses judge the segment's bytes. All others judge the request, the gateway, or the moment.
func final(status int) bool {
	switch status {
	case http.StatusBadRequest, http.StatusRequestEntityTooLarge, http.StatusUnprocessableEntity:
		return true
	}
	return false
}

// expand makes one outcome for each report of what the upstream answered.
func expand(d httpd.Delivery, reports int) (delivered, error) {
	out := delivered{height: d.Height, outcomes: make([]lamppost.Outcome, 0, reports)}
	for _, r := range d.Outcomes {
		code, known := parseCode(r.Code)
		if !known || r.N < 1 || r.N > reports-len(out.outcomes) {
			return delivered{}, fmt.Errorf("delivering a segment: the answer does not fit its %d reports", reports)
		}
		for range r.N {
			out.outcomes = append(out.outcomes, lamppost.Outcome{Code: code, Text: r.Text})
		}
	}
	if len(out.outcomes) != reports {
		return delivered{}, fmt.Errorf("delivering a segment: the answer judges %d of its %d reports", len(out.outcomes), reports)
	}
	return out, nil
}

func parseCode(name string) (lamppost.Code, bool) {
	for i, n := range lamppost.CodeNames() {
		if n == name {
			return lamppost.Code(i), true
		}
	}
	return 0, false
}

// ask returns the body of a successful answer. An unchanged answer has no header.
func (u *upstream) ask(ctx context.Context, method, path, contentType string, body []byte, tag string) (http.Header, []byte, error) {
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, method, u.url+path, bytes.NewReader(body))
	if err != nil {
		return nil, nil, err
	}
	req.SetBasicAuth(u.id, u.token())
	if contentType != "" {
		req.Header.Set("Content-Type", contentType)
	}
	limit := int64(maxReplyBytes)
	if method == http.MethodGet || path == guardsPath {
		limit = maxFleetBytes
	}
	if tag != "" {
		req.Header.Set("If-None-Match", tag)
	}
	resp, err := u.client.Do(req)
	if err != nil {
		return nil, nil, err
	}
	defer resp.Body.Close()
	raw, err := io.ReadAll(io.LimitReader(resp.Body, limit+1))
	switch {
	case err != nil:
		return nil, nil, err
	case resp.StatusCode == http.StatusNotModified && tag != "":
		return nil, nil, nil
	case int64(len(raw)) > limit:
		return nil, nil, fmt.Errorf("the upstream's answer is over the limit of %d bytes", limit)
	case resp.StatusCode != http.StatusOK:
		var why struct{ Code, Text string }
		_ = json.Unmarshal(raw, &why) // what is not from a node has no code
		return nil, nil, &answerError{resp.StatusCode, why.Code, why.Text}
	}
	return resp.Header, raw, nil
}
