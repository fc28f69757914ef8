package notify

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"net/http"
	"time"

	"github.com/lamppost/lamppost"
)

// A Message is the body of a notification.
type Message struct {
	ID       string               `cbor:"1,keyasint" json:"id"`    // the same whenever it is sent again
	Event    string               `cbor:"2,keyasint" json:"event"` // alarm, resolved or test
	Network  string               `cbor:"3,keyasint" json:"network"`
	Member   lamppost.MemberID    `cbor:"4,keyasint" json:"member"`
	Time     lamppost.TimeMS      `cbor:"5,keyasint" json:"time_ms"`
	Verdict  lamppost.VerdictID   `cbor:"6,keyasint" json:"verdict"` // the first one; of a resolved alarm, the one that was told
	Device   lamppost.DeviceID    `cbor:"7,keyasint" json:"device"`
	Name     string               `cbor:"8,keyasint,omitempty" json:"name,omitempty"`
	Kind     lamppost.VerdictKind `cbor:"9,keyasint" json:"kind,omitzero"`
	Code     string               `cbor:"10,keyasint" json:"code,omitempty"` // of the first reason
	Count    uint32               `cbor:"11,keyasint" json:"count"`          // alarms that it stands for
	Since    lamppost.TimeMS      `cbor:"12,keyasint,omitempty" json:"since_ms,omitempty"`
	At       lamppost.TimeMS      `cbor:"13,keyasint,omitempty" json:"at_ms,omitempty"`
	Suspends bool                 `cbor:"14,keyasint,omitempty" json:"suspends"`
	Title    string               `cbor:"15,keyasint,omitempty" json:"title,omitempty"`
	Why      []string             `cbor:"16,keyasint,omitempty" json:"why,omitempty"`
	Because  string               `cbor:"17,keyasint,omitempty" json:"because,omitempty"` // resolved: ended, erased, or the answer
}

// sign signs a body as Standard Webhooks 1.0.0 do: HMAC-SHA256 over id, time in seconds and body, with dots between.
func sign(h http.Header, secret []byte, id string, at time.Time, body []byte) {
	stamp := fmt.Sprint(at.Unix())
	mac := hmac.New(sha256.New, secret)
	fmt.Fprintf(mac, "%s.%s.%s", id, stamp, body)
	h.Set("Content-Type", "application/json")
	h.Set("webhook-id", id)
	h.Set("webhook-timestamp", stamp)
	h.Set("webhook-signature", "v1,"+base64.StdEncoding.EncodeToString(mac.Sum(nil)))
}
