package ingest

import (
	"encoding/json"
	"strings"
	"unicode/utf8"
)

// A refusal is the message on lp/<device>/refused. Its field names are part of the API (docs/devices.md).
type refusal struct {
	Report string `json:"report,omitempty"` // absent where the bytes could not be read
	Code   string `json:"code"`
	Text   string `json:"text"`
}

// Refusal is what a device reads on its refused topic about a report that was not accepted.
func (r *Reply) Refusal() []byte {
	m := refusal{Code: r.Code.String(), Text: clip(r.Text)}
	if !r.ID.IsZero() {
		m.Report = r.ID.String()
	}
	b, err := json.Marshal(m)
	if err != nil {
		panic("ingest: three strings do not encode as JSON: " + err.Error())
	}
	return b
}

// Reason is the same in a line, for protocols that have room for one: "<code>: <text>".
func (r *Reply) Reason() string { return r.Code.String() + ": " + clip(r.Text) }

// clip makes text fit for a MQTT string: valid UTF-8, no NUL (MQTT 5 §1.5.4), at most maxReasonBytes.
func clip(text string) string {
	text = strings.ReplaceAll(strings.ToValidUTF8(text, "\uFFFD"), "\x00", "\uFFFD")
	if len(text) <= maxReasonBytes {
		return text
	}
	n := maxReasonBytes
	for !utf8.RuneStart(text[n]) {
		n--
	}
	return text[:n]
}
