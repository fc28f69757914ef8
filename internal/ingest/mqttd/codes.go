package mqttd

import (
	"github.com/mochi-mqtt/server/v2/packets"

	"github.com/lamppost/lamppost"
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
