package mqttd

import (
	"encoding/json"
	"strings"
	"unicode/utf8"

	"github.com/mochi-mqtt/server/v2/packets"

	"github.com/lamppost/lamppost"
	"github.com/lamppost/lamppost/internal/ingest"
)

// ReasonCode is the MQTT 5 reason code of a PUBACK for a report that ended with c. It is part of the API: the table
// stands in docs/devices.md. Only codes that MQTT 5 §3.4.2.1 allows in a PUBACK are used, which is why a report that is
// too large is not answered with "packet too large" (0x95). What a program should act on is the lamppost code at the
// beginning of the Reason String; the reason code only tells "never again" from "later" (0x97) to libraries.
func ReasonCode(c lamppost.Code) byte {
	switch c {
	case lamppost.CodeOK, lamppost.CodeDuplicate:
		return packets.CodeSuccess.Code
	case lamppost.CodeBadReport:
		return packets.ErrPayloadFormatInvalid.Code
	case lamppost.CodeBadSignature, lamppost.CodeUnknown, lamppost.CodeForbidden:
		return packets.ErrNotAuthorized.Code
	case lamppost.CodeBusy, lamppost.CodeNotReady:
		return packets.ErrQuotaExceeded.Code
	default:
		return packets.ErrImplementationSpecificError.Code
	}
}

// A refusal is the message on lp/<device>/refused. Its field names are part of the API (docs/devices.md).
type refusal struct {
	Report string `json:"report,omitempty"` // absent where the bytes could not be read
	Code   string `json:"code"`
	Text   string `json:"text"`
}

func refusalJSON(r *ingest.Reply) []byte {
	m := refusal{Code: r.Code.String(), Text: clip(r.Text)}
	if !r.ID.IsZero() {
		m.Report = r.ID.String()
	}
	b, err := json.Marshal(m)
	if err != nil {
		panic("mqttd: three strings do not encode as JSON: " + err.Error())
	}
	return b
}

// clip makes text fit for a MQTT string: valid UTF-8, no NUL (MQTT 5 §1.5.4), at most maxReasonBytes.
func clip(text string) string {
	text = strings.ReplaceAll(strings.ToValidUTF8(text, "�"), "\x00", "�")
	if len(text) <= maxReasonBytes {
		return text
	}
	n := maxReasonBytes
	for !utf8.RuneStart(text[n]) {
		n--
	}
	return text[:n]
}
