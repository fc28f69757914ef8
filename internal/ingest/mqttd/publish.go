package mqttd

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"strings"

	"github.com/mochi-mqtt/server/v2/packets"
)

const publishHeader = packets.Publish << 4

// A publish is what matters of a PUBLISH packet. The payload aliases the packet.
type publish struct {
	qos     byte
	id      uint16 // 0 with QoS 0
	payload []byte
	foreign bool   // not to this device's report topic
	topic   string // where foreign; a copy
}

// parseReport reads the PUBLISH packets that make nearly all of the traffic: QoS 0 or 1, to the device's own report
// topic, and in MQTT 5 without properties. Others, good or bad, give false and are for [parsePublish].
//
// It exists because the general decoder fills a Packet of some 700 bytes and walks the topic three times, where comparing
// the topic with the one that is allowed settles its encoding, wildcards and authorisation at once: 18 ns instead of 190,
// and no allocation (BenchmarkParse). FuzzParseReport checks that both agree.
func parseReport(first byte, body []byte, version byte, topic string) (p publish, ok bool) {
	const dup, qos, retain = 1 << 3, 3 << 1, 1 << 0
	p.qos = first & qos >> 1
	if first&^(dup|qos|retain) != publishHeader || p.qos > 1 || p.qos == 0 && first&dup != 0 {
		return p, false
	}
	n := 2 + len(topic)
	if len(body) < n || int(binary.BigEndian.Uint16(body)) != len(topic) || string(body[2:n]) != topic {
		return p, false
	}
	if p.qos == 1 {
		if len(body) < n+2 {
			return p, false
		}
		p.id = binary.BigEndian.Uint16(body[n:])
		if n += 2; p.id == 0 {
			return p, false
		}
	}
	if version == 5 {
		if len(body) <= n || body[n] != 0 { // the length of the properties
			return p, false
		}
		n++
	}
	p.payload = body[n:]
	return p, true
}

// parsePublish reads any PUBLISH. An error is a packets.Code and ends the connection.
func parsePublish(first byte, body []byte, version byte, topic string) (publish, error) {
	pk, err := decode(first, body, version)
	if err != nil {
		return publish{}, err
	}
	// A topic alias is not announced, so using one is an error as well (MQTT 5 §3.3.2.3.4).
	if code := pk.PublishValidate(0); code != packets.CodeSuccess {
		return publish{}, code
	}
	if version == 5 && pk.FixedHeader.Qos > 1 {
		return publish{}, packets.ErrQosNotSupported // MQTT 5 §3.2.2.3.4: Maximum QoS 1 was announced
	}
	p := publish{qos: pk.FixedHeader.Qos, id: pk.PacketID, payload: pk.Payload, foreign: pk.TopicName != topic}
	if p.foreign {
		p.topic = strings.Clone(pk.TopicName)
	}
	return p, nil
}

// decode reads a packet that a client may send. The result aliases body. An error wraps or is a packets.Code.
func decode(first byte, body []byte, version byte) (pk packets.Packet, err error) {
	// The codec indexes out of range on some truncated packets (a MQTT 5 SUBSCRIBE without its options byte), and input
	// must not stop the process.
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("the codec gave up (%v): %w", r, packets.ErrMalformedPacket)
		}
	}()
	pk.ProtocolVersion = version
	if err := pk.FixedHeader.Decode(first); err != nil {
		return pk, err
	}
	pk.FixedHeader.Remaining = len(body)
	switch pk.FixedHeader.Type {
	case packets.Connect:
		err = pk.ConnectDecode(body)
	case packets.Publish:
		err = pk.PublishDecode(body)
	case packets.Pubrel:
		err = pk.PubrelDecode(body)
	case packets.Subscribe:
		err = pk.SubscribeDecode(body)
	case packets.Unsubscribe:
		err = pk.UnsubscribeDecode(body)
	case packets.Disconnect:
		err = pk.DisconnectDecode(body)
	case packets.Pingreq:
	default: // CONNACK, SUBACK …: only a server sends them; PUBACK: everything to devices has QoS 0
		err = packets.ErrProtocolViolation
	}
	return pk, err
}

// codeOf finds what to tell the peer about an error: nothing, if it is not about a packet of his.
func codeOf(err error) packets.Code {
	var code packets.Code
	if errors.As(err, &code) {
		return code
	}
	return packets.CodeDisconnect
}

// encode writes a packet by the codec.
func encode(pk *packets.Packet) []byte {
	var b bytes.Buffer
	var err error
	switch pk.FixedHeader.Type {
	case packets.Connack:
		err = pk.ConnackEncode(&b)
	case packets.Publish:
		err = pk.PublishEncode(&b)
	case packets.Puback:
		err = pk.PubackEncode(&b)
	case packets.Pubcomp:
		err = pk.PubcompEncode(&b)
	case packets.Suback:
		err = pk.SubackEncode(&b)
	case packets.Unsuback:
		err = pk.UnsubackEncode(&b)
	case packets.Disconnect:
		err = pk.DisconnectEncode(&b)
	default:
		panic(fmt.Sprintf("mqttd: no encoder for packet type %d", pk.FixedHeader.Type))
	}
	if err != nil {
		panic("mqttd: encoding a packet of our own: " + err.Error())
	}
	return b.Bytes()
}
