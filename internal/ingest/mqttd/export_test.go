package mqttd

import "github.com/mochi-mqtt/server/v2/packets"

// A Parsed is a publish, for tests.
type Parsed struct {
	QoS     byte
	ID      uint16
	Payload []byte
	Foreign bool
}

// ParseReport is parseReport.
func ParseReport(first byte, body []byte, version byte, topic string) (Parsed, bool) {
	p, ok := parseReport(first, body, version, topic)
	return Parsed{p.qos, p.id, p.payload, p.foreign}, ok
}

// ParsePublish is parsePublish.
func ParsePublish(first byte, body []byte, version byte, topic string) (Parsed, error) {
	p, err := parsePublish(first, body, version, topic)
	return Parsed{p.qos, p.id, p.payload, p.foreign}, err
}

// Decode is decode.
func Decode(first byte, body []byte, version byte) (packets.Packet, error) {
	return decode(first, body, version)
}
