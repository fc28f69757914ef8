package device

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/lamppost/lamppost"
	"github.com/lamppost/lamppost/sig"
)

// HTTP sends reports to a node's HTTP address, one request each.
type HTTP struct {
	url, user, token string
	client           *http.Client
}

// NewHTTP returns a Sender that posts to baseURL + "/v1/report" as the device with its enrolment token. The client
// decides about TLS, proxies and how many connections are kept; nil means http.DefaultClient.
func NewHTTP(baseURL string, device lamppost.DeviceID, token string, client *http.Client) *HTTP {
	if client == nil {
		client = http.DefaultClient
	}
	return &HTTP{url: strings.TrimRight(baseURL, "/"), user: string(device), token: token, client: client}
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
	status, header, body, err := post(ctx, h.client, h.url+"/v1/report", "application/cose", report, h.user, h.token)
	if err != nil {
		return Ack{}, fmt.Errorf("sending a report: %w", err)
	}
	var reply httpReply
	code, known := lamppost.Code(0), false
	if json.Unmarshal(body, &reply) == nil {
		code, known = ParseCode(reply.Code)
	}
	ack := Ack{Code: code, Height: reply.Height, Text: reply.Text}
	if reply.Report != "" {
		if ack.ID, err = lamppost.ParseHash(reply.Report); err != nil {
			return Ack{}, fmt.Errorf("sending a report: reading the reply: %w", err)
		}
	}
	switch {
	case status == http.StatusOK && known && code.Accepted():
		return ack, nil
	case status == http.StatusTooManyRequests, status == http.StatusServiceUnavailable:
		return Ack{}, &WaitError{After: retryAfter(header), Why: fmt.Sprintf("sending a report: status %d", status)}
	case refusedForGood(status) && known && code.Final() && !code.Accepted():
		return ack, nil
	default:
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
	status, _, reply, err := post(ctx, h.client, h.url+"/v1/enrol", "application/json", text, h.user, h.token)
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
func post(ctx context.Context, client *http.Client, url, contentType string, body []byte, user, token string) (int, http.Header, []byte, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, url, bytes.NewReader(body))
	if err != nil {
		return 0, nil, nil, err
	}
	req.Header.Set("Content-Type", contentType)
	req.SetBasicAuth(user, token)
	resp, err := client.Do(req)
	if err != nil {
		return 0, nil, nil, err
	}
	defer resp.Body.Close()
	reply, err := io.ReadAll(io.LimitReader(resp.Body, maxReplyBytes))
	return resp.StatusCode, resp.Header, reply, err
}
