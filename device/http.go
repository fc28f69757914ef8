package device

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/lamppost/lamppost"
	"github.com/lamppost/lamppost/sig"
)

// HTTP sends reports to a node's HTTP address, one request each. Of several members' addresses it uses one until it fails. It is a
// Roamer and a Prover.
type HTTP struct {
	urls        []string
	user, token string
	client      *http.Client

	mu    sync.Mutex
	at    int // of urls, where reports go
	prove int // and where the next proof is asked for
}

// NewHTTP returns a Sender that posts to a base URL + "/v1/report" as the device with its enrolment token, or with its login
// (lamppost.Login) where there are several base URLs, with commas between. The client decides about TLS, proxies, how long a
// member may take and how many connections are kept; nil means http.DefaultClient.
func NewHTTP(baseURLs string, device lamppost.DeviceID, token string, client *http.Client) *HTTP {
	if client == nil {
		client = http.DefaultClient
	}
	h := &HTTP{user: string(device), token: token, client: client}
	for url := range strings.SplitSeq(baseURLs, ",") {
		h.urls = append(h.urls, strings.TrimRight(strings.TrimSpace(url), "/"))
	}
	h.prove = len(h.urls) - 1 // another than reports go to, where there is one
	return h
}

// Members implements [Roamer].
func (h *HTTP) Members() int { return len(h.urls) }

// Elsewhere implements [Roamer].
func (h *HTTP) Elsewhere(server string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if server == "" || server == h.urls[h.at] {
		h.at = (h.at + 1) % len(h.urls)
	}
}

func (h *HTTP) url() string {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.urls[h.at]
}

// Prove implements [Prover]: it asks the members by turns, one a call.
func (h *HTTP) Prove(ctx context.Context, seqs []lamppost.Seq) ([]byte, error) {
	h.mu.Lock()
	at := h.urls[h.prove]
	h.prove = (h.prove + 1) % len(h.urls)
	h.mu.Unlock()
	query := make(url.Values)
	for _, s := range seqs {
		query.Add("report", fmt.Sprintf("%d/%d", s.Epoch, s.N))
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, at+"/v1/proof?"+query.Encode(), nil)
	if err != nil {
		return nil, err
	}
	status, _, body, err := h.do(req, maxProof)
	if err == nil && status != http.StatusOK {
		var reply httpReply
		_ = json.Unmarshal(body, &reply)
		err = fmt.Errorf("status %d, code %q: %.200s", status, reply.Code, reply.Text)
	}
	if err != nil {
		return nil, fmt.Errorf("asking %q for a proof: %w", at, err)
	}
	return body, nil
}

// httpReply is the body of the node's answer.
type httpReply struct {
	Code   string          `json:"code"`
	Report string          `json:"report"`
	Height lamppost.Height `json:"height"`
	Text   string          `json:"text"`
}

// Send implements [Sender].
func (h *HTTP) Send(ctx context.Context, report []byte) (Ack, error) {
	at := h.url()
	status, header, body, err := h.post(ctx, at+"/v1/report", "application/cose", report)
	if err != nil {
		h.Elsewhere(at)
		return Ack{}, fmt.Errorf("sending a report: %w", err)
	}
	var reply httpReply
	code, known := lamppost.Code(0), false
	if json.Unmarshal(body, &reply) == nil {
		code, known = ParseCode(reply.Code)
	}
	ack := Ack{Code: code, Height: reply.Height, Text: reply.Text, Server: at}
	if reply.Report != "" {
		if ack.ID, err = lamppost.ParseHash(reply.Report); err != nil {
			return Ack{}, fmt.Errorf("sending a report: reading the reply: %w", err)
		}
	}
	switch {
	case status == http.StatusOK && known && code.Accepted():
		return ack, nil
	case status == http.StatusTooManyRequests, status == http.StatusServiceUnavailable:
		h.Elsewhere(at)
		return Ack{}, &WaitError{After: retryAfter(header), Why: fmt.Sprintf("sending a report: status %d", status)}
	case refusedForGood(status) && known && code.Final() && !code.Accepted():
		return ack, nil
	default:
		h.Elsewhere(at)
		return Ack{}, fmt.Errorf("sending a report: status %d, code %q: %.200s", status, reply.Code, reply.Text)
	}
}

// Announce implements [Announcer].
func (h *HTTP) Announce(ctx context.Context, suite sig.Suite, key, consent []byte) (Enrolled, error) {
	return h.enrol(ctx, enrolRequest{suite.String(), key, consent})
}

// enrolRequest is the body of POST /v1/enrol.
type enrolRequest struct {
	Suite   string `json:"suite"`
	Key     []byte `json:"key"`
	Consent []byte `json:"consent,omitempty"`
}

func (h *HTTP) enrol(ctx context.Context, body enrolRequest) (got Enrolled, err error) {
	text, err := json.Marshal(body)
	if err != nil {
		return got, err
	}
	status, _, reply, err := h.post(ctx, h.url()+"/v1/enrol", "application/json", text)
	if err != nil {
		return got, err
	}
	if status != http.StatusOK {
		return got, enrolRefusal(status, reply)
	}
	if err := json.Unmarshal(reply, &got); err != nil {
		return got, fmt.Errorf("reading the answer: %w", err)
	}
	return got, lamppost.CheckName("network", got.Network)
}

// refusedForGood says which statuses judge the report. The others of the 400s judge the request around it: a wrong token
// must not throw a queue away.
func refusedForGood(status int) bool {
	switch status {
	case http.StatusUnauthorized, http.StatusProxyAuthRequired, http.StatusRequestTimeout, http.StatusTooEarly:
		return false
	}
	return status >= 400 && status < 500
}

// retryAfter reads the header of that name where it gives seconds (RFC 9110 §10.2.3); a date would need a right clock.
func retryAfter(h http.Header) time.Duration {
	seconds, err := strconv.ParseUint(h.Get("Retry-After"), 10, 32)
	if err != nil {
		return 0
	}
	return min(time.Duration(seconds)*time.Second, time.Hour)
}

// post returns the answer to one request, its body cut at maxReplyBytes.
func (h *HTTP) post(ctx context.Context, url, contentType string, body []byte) (int, http.Header, []byte, error) {
	req, err := h.request(ctx, url, contentType, body)
	if err != nil {
		return 0, nil, nil, err
	}
	return h.do(req, maxReplyBytes)
}

func (h *HTTP) request(ctx context.Context, url, contentType string, body []byte) (*http.Request, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, url, bytes.NewReader(body))
	if err == nil {
		req.Header.Set("Content-Type", contentType)
	}
	return req, err
}

func (h *HTTP) do(req *http.Request, limit int64) (int, http.Header, []byte, error) {
	req.SetBasicAuth(h.user, h.token)
	resp, err := h.client.Do(req)
	if err != nil {
		return 0, nil, nil, err
	}
	defer resp.Body.Close()
	reply, err := io.ReadAll(io.LimitReader(resp.Body, limit))
	return resp.StatusCode, resp.Header, reply, err
}
