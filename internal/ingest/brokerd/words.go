package brokerd

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"syscall"

	"github.com/eclipse/paho.golang/packets"
	"github.com/eclipse/paho.golang/paho"
)

// Reason codes of MQTT 5 §2.4 that an operator can do something about, in words that say what.
var reasons = map[byte]string{
	packets.ConnackUnsupportedProtocolVersion: "the broker does not speak MQTT 5, which is needed here",
	packets.ConnackInvalidClientID:            "the broker does not take the client id",
	packets.ConnackBadUsernameOrPassword:      "the broker does not know this user and password",
	packets.ConnackNotAuthorized:              "not authorised: the broker does not know the user and password, or its rules forbid it",
	packets.ConnackServerUnavailable:          "the broker is not available",
	packets.ConnackServerBusy:                 "the broker is busy",
	packets.ConnackBanned:                     "the broker has banned this client",
	packets.DisconnectServerShuttingDown:      "the broker is shutting down",
	packets.DisconnectKeepAliveTimeout:        "the broker heard nothing from this node for too long",
	packets.DisconnectSessionTakenOver: "another client has logged in with the same id: does another node of the same network and member run, " +
		"or a copy of this one?",
	packets.SubackSharedSubscriptionnotsupported:    "the broker has no shared subscriptions: leave the group out",
	packets.SubackWildcardsubscriptionsnotsupported: "the broker has no subscriptions with wildcards, which are needed here",
	packets.DisconnectQuotaExceeded:                 "over a quota that the broker sets",
	packets.DisconnectPacketTooLarge:                "a packet was too large for the broker",
}

// words says what a reason code means.
func words(code byte) string {
	if text := reasons[code]; text != "" {
		return fmt.Sprintf("%s (reason 0x%02x)", text, code)
	}
	return fmt.Sprintf("the broker gives reason 0x%02x", code)
}

// wordsOfConnack says why a log-in was refused.
func wordsOfConnack(ack *paho.Connack, connect *paho.Connect) error {
	text := words(ack.ReasonCode)
	switch {
	case connect.Username == "" && (ack.ReasonCode == packets.ConnackBadUsernameOrPassword || ack.ReasonCode == packets.ConnackNotAuthorized):
		text += "; no user was given: mqtt_broker_user and LAMPPOST_BROKER_PASSWORD"
	case ack.ReasonCode == packets.ConnackInvalidClientID:
		text += fmt.Sprintf(" %q", connect.ClientID)
	}
	return errors.New(text)
}

// wordsOfDisconnect says why the broker ended a connection.
func wordsOfDisconnect(d *paho.Disconnect) error {
	text := "the broker disconnects: " + words(d.ReasonCode)
	if d.Properties != nil && d.Properties.ReasonString != "" {
		text += fmt.Sprintf(": %.200q", d.Properties.ReasonString)
	}
	return errors.New(text)
}

// hint adds to an error of the network what it usually means.
func hint(err error) error {
	var stranger x509.UnknownAuthorityError
	var record tls.RecordHeaderError
	switch {
	case errors.As(err, &stranger):
		return fmt.Errorf("%w: mqtt_broker_ca names the file with the authority that signed the broker's certificate", err)
	case errors.As(err, &record):
		return fmt.Errorf("%w: is TLS spoken at this port? mqtt:// is without", err)
	case errors.Is(err, io.EOF), errors.Is(err, syscall.ECONNRESET):
		return errors.New("the broker closed the connection without a word: does it want TLS (mqtts://), or not speak MQTT 5?")
	}
	return err
}
