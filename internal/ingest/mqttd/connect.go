package mqttd

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"time"

	"github.com/mochi-mqtt/server/v2/packets"

	"github.com/lamppost/lamppost/internal/ingest"
)

// The user property of a CONNECT by which a MQTT 5 client asks for receipts: its PUBACKs then carry report=<id in
// hexadecimal> and height=<n>. Not for everybody, because that turns 4 bytes into about 100.
const (
	receiptsKey   = "lamppost"
	receiptsValue = "receipts"
)

var (
	errNoWill      = packets.Code{Code: packets.ErrImplementationSpecificError.Code, Reason: "a will is not supported: only signed reports are taken"}
	errNoAuth      = packets.Code{Code: packets.ErrBadAuthenticationMethod.Code, Reason: "log in by user name and password, or by a client certificate"}
	errNoVersion   = packets.Code{Code: packets.ErrUnsupportedProtocolVersion.Code, Reason: "MQTT 3.1.1 and 5 are spoken here"}
	errNoClientID  = packets.Code{Code: packets.ErrClientIdentifierNotValid.Code, Reason: "without a client id a clean session is required"}
	errBadPassword = packets.ErrBadUsernameOrPassword
)

// connect takes the client's first packet, finds out which device it is and answers. An error wraps or is a
// packets.Code; the client has been told.
func (c *conn) connect() error {
	cert, err := c.handshake()
	if err != nil {
		return err
	}
	first, body, err := c.next()
	if err != nil {
		return err
	}
	if first>>4 != packets.Connect {
		return packets.ErrProtocolViolationRequireFirstConnect
	}
	pk, err := decode(first, append([]byte(nil), body...), 0)
	if err != nil {
		return err
	}
	c.version = pk.ProtocolVersion
	c.mods = packets.Mods{MaxSize: pk.Properties.MaximumPacketSize,
		DisallowProblemInfo: pk.Properties.RequestProblemInfoFlag && pk.Properties.RequestProblemInfo == 0}
	code := validate(&pk, c.srv.cfg.Foreign != nil)
	if code == packets.CodeSuccess {
		if c.origin, err = c.login(&pk, cert); err != nil {
			code = errBadPassword
		}
	}
	if code == packets.CodeSuccess {
		c.accept(&pk)
		if c.reader && !c.srv.board.enter(c) {
			code = packets.ErrQuotaExceeded
		}
	}
	if code == packets.CodeSuccess {
		// Before the answer: a client that reconnects at once must not meet its own earlier self arriving later.
		switch old, ok := c.srv.enter(c); {
		case !ok:
			code = packets.ErrUseAnotherServer
		default:
			c.origin.Tally.Connect(old != nil)
			if old != nil {
				old.sendAway(packets.ErrSessionTakenOver, "taken_over")
			}
		}
	}
	if werr := c.connack(&pk, code); werr != nil {
		return werr
	}
	if code != packets.CodeSuccess {
		return errors.Join(code, err)
	}
	return nil
}

// handshake does TLS, where the listener does, and returns the client's certificate if one was verified. One that the
// listener merely asked for and did not check proves nothing.
func (c *conn) handshake() (*x509.Certificate, error) {
	t, ok := c.nc.(*tls.Conn)
	if !ok {
		return nil, nil
	}
	ctx, cancel := context.WithTimeout(c.ctx, ConnectTimeout)
	defer cancel()
	if err := t.HandshakeContext(ctx); err != nil {
		return nil, fmt.Errorf("TLS handshake: %w", err)
	}
	if chains := t.ConnectionState().VerifiedChains; len(chains) > 0 {
		return chains[0][0], nil
	}
	return nil, nil
}

// validate checks a CONNECT beyond what its decoder does.
func validate(pk *packets.Packet, will bool) packets.Code {
	switch code := pk.ConnectValidate(); {
	case code == packets.ErrProtocolViolationProtocolVersion, code == packets.CodeSuccess && pk.ProtocolVersion < 4:
		return errNoVersion
	case code != packets.CodeSuccess:
		return code
	case pk.Connect.WillFlag && !will:
		return errNoWill
	case pk.Properties.AuthenticationMethod != "":
		return errNoAuth
	case pk.ProtocolVersion == 4 && pk.Connect.ClientIdentifier == "" && !pk.Connect.Clean:
		return errNoClientID // [MQTT-3.1.3-8]
	}
	return packets.CodeSuccess
}

// login asks Admin, where the name is an administrator's, and Auth. A device may have that name too: its token is another. What Auth says goes to the log and not to the client, who could learn from it which devices there are.
func (c *conn) login(pk *packets.Packet, cert *x509.Certificate) (*ingest.Origin, error) {
	if string(pk.Connect.Username) == AdminUser && c.srv.cfg.Admin != nil && c.srv.cfg.Admin(string(pk.Connect.Password)) {
		c.reader = true
		return c.srv.reader, nil
	}
	device, err := c.srv.cfg.Auth(string(pk.Connect.Username), string(pk.Connect.Password), cert)
	if err == nil {
		return c.srv.cfg.Origins.Of(device), nil
	}
	wait(c.ctx, c.srv.waiting.failure(c.nc.RemoteAddr(), time.Now()))
	return nobody, fmt.Errorf("log-in of %q: %w", pk.Connect.Username, err)
}

// accept sets up the connection as the CONNECT asks.
func (c *conn) accept(pk *packets.Packet) {
	prefix := "lp/" + string(c.origin.Device) + "/"
	if !c.reader {
		c.topics.report, c.topics.refused, c.topics.desired = prefix+"report", prefix+"refused", prefix+"desired"
	}
	c.keepalive = time.Duration(pk.Connect.Keepalive) * time.Second * 3 / 2 // [MQTT-3.1.2-22]
	if c.client = pk.Connect.ClientIdentifier; c.client == "" {
		c.client = "lp-" + rand.Text()
	}
	for _, p := range pk.Properties.User {
		if p.Key == receiptsKey && p.Val == receiptsValue {
			c.receipts = true
		}
	}
	c.log = c.log.With("device", c.origin.Device, "client", c.client)
}

// connack answers the CONNECT. The writer does not run yet.
func (c *conn) connack(pk *packets.Packet, code packets.Code) error {
	ack := packets.Packet{
		FixedHeader:     packets.FixedHeader{Type: packets.Connack},
		ProtocolVersion: c.version,
		ReasonCode:      code.Code,
		Mods:            c.mods,
	}
	switch {
	case c.version != 5:
		ack.ReasonCode = connack311(code)
	case code != packets.CodeSuccess:
		ack.Properties.ReasonString = code.Reason
	default:
		ack.Properties = c.announce(pk)
	}
	c.nc.SetWriteDeadline(time.Now().Add(WriteTimeout))
	if _, err := c.nc.Write(encode(&ack)); err != nil {
		return fmt.Errorf("writing CONNACK: %w", err)
	}
	return nil
}

// announce lists what MQTT 5 clients must know of this server (MQTT 5 §3.2.2.3). There is no Maximum Packet Size among it:
// whoever names one must disconnect those who pass it [MQTT-4.13.1-1], and here a report that is too large is refused alone.
func (c *conn) announce(pk *packets.Packet) packets.Properties {
	p := packets.Properties{
		ReceiveMaximum:           uint16(c.srv.cfg.InFlight),
		MaximumQosFlag:           true,
		MaximumQos:               1,
		WildcardSubAvailableFlag: true, // none of these three is available, but the first to administrators
		SubIDAvailableFlag:       true,
		SharedSubAvailableFlag:   true,
		// Whatever the client wished for: the session ends with the connection.
		SessionExpiryIntervalFlag: pk.Properties.SessionExpiryInterval > 0,
	}
	if c.reader {
		p.WildcardSubAvailable = 1
	}
	if pk.Connect.ClientIdentifier == "" {
		p.AssignedClientID = c.client
	}
	return p
}

// connack311 is the return code of MQTT 3.1.1 §3.2.2.3.
func connack311(code packets.Code) byte {
	switch code.Code {
	case packets.CodeSuccess.Code:
		return 0
	case packets.ErrUnsupportedProtocolVersion.Code:
		return 1
	case packets.ErrClientIdentifierNotValid.Code:
		return 2
	case packets.ErrUseAnotherServer.Code, packets.ErrQuotaExceeded.Code:
		return 3 // server unavailable
	default:
		return 5 // not authorised
	}
}
