package brokerd

import (
	"errors"
	"net"
	"net/url"
	"strconv"
)

// An Address is where a broker is.
type Address struct {
	Host string // host:port
	TLS  bool
}

// String writes the address as a URL, without any log-in.
func (a Address) String() string {
	if a.TLS {
		return "mqtts://" + a.Host
	}
	return "mqtt://" + a.Host
}

// Loopback reports whether the broker is on this machine, so that nobody else can read along.
func (a Address) Loopback() bool {
	host, _, _ := net.SplitHostPort(a.Host)
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

// ParseURL reads mqtt://host[:1883] or mqtts://host[:8883] with the log-in that stands in it, if any. Its errors do not
// repeat the text, which may hold a password.
func ParseURL(text string) (a Address, login *url.Userinfo, err error) {
	u, err := url.Parse(text)
	if err != nil {
		return a, nil, errors.New("it cannot be read as mqtt://host:1883 or mqtts://host:8883; is a sign in the password not written as %xx?")
	}
	port := "1883"
	switch u.Scheme {
	case "mqtt":
	case "mqtts":
		a.TLS, port = true, "8883"
	default:
		return a, nil, errors.New("it begins neither with mqtt:// nor with mqtts://")
	}
	switch {
	case u.Hostname() == "":
		return a, nil, errors.New("it has no host")
	case u.Path != "" && u.Path != "/" || u.RawQuery != "" || u.Fragment != "":
		return a, nil, errors.New("nothing may follow the port; is a / in the password not written as %2F?")
	}
	if u.Port() != "" {
		port = u.Port()
	}
	if n, err := strconv.ParseUint(port, 10, 16); err != nil || n == 0 {
		return a, nil, errors.New("its port is not a number from 1 to 65535")
	}
	a.Host = net.JoinHostPort(u.Hostname(), port)
	if again, err := url.Parse(a.String()); err != nil || again.Hostname() != u.Hostname() {
		return a, nil, errors.New("its host is neither a name nor an address")
	}
	return a, u.User, nil
}
