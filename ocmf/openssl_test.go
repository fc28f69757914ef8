package ocmf_test

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"flag"
	"fmt"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/lamppost/lamppost/ocmf"
)

var sign = flag.Bool("sign", false, "sign the records of testdata/own.txt anew with openssl; then run with -rewrite")

// A made is how one algorithm of the format is called, and what OpenSSL calls its curve and hash.
type made struct{ algorithm, curve, hash string }

var algorithms = []made{
	{"ECDSA-secp192k1-SHA256", "secp192k1", "sha256"},
	{"ECDSA-secp256k1-SHA256", "secp256k1", "sha256"},
	{"ECDSA-secp192r1-SHA256", "prime192v1", "sha256"},
	{"ECDSA-secp256r1-SHA256", "prime256v1", "sha256"},
	{"ECDSA-brainpool256r1-SHA256", "brainpoolP256r1", "sha256"},
	{"ECDSA-secp384r1-SHA256", "secp384r1", "sha256"},
	{"ECDSA-brainpool384r1-SHA256", "brainpoolP384r1", "sha256"},
	{"ECDSA-secp384r1-SHA384", "secp384r1", "sha384"},
	{"ECDSA-brainpool384r1-SHA384", "brainpoolP384r1", "sha384"},
}

// A signer signs with a fresh key of OpenSSL.
type signer struct {
	made
	file string // the private key
	der  []byte // the public key
}

func openssl(t testing.TB, in []byte, args ...string) []byte {
	t.Helper()
	cmd := exec.Command("openssl", args...)
	cmd.Stdin = bytes.NewReader(in)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("openssl %s: %v: %s", strings.Join(args, " "), err, stderr.String())
	}
	return out
}

func newSigner(t testing.TB, m made) *signer {
	t.Helper()
	s := &signer{m, filepath.Join(t.TempDir(), "key.pem"), nil}
	openssl(t, nil, "ecparam", "-name", m.curve, "-genkey", "-noout", "-out", s.file)
	s.der = openssl(t, nil, "ec", "-in", s.file, "-pubout", "-outform", "DER")
	return s
}

func (s *signer) sign(t testing.TB, payload string) []byte {
	t.Helper()
	return openssl(t, []byte(payload), "dgst", "-"+s.hash, "-sign", s.file)
}

func (s *signer) record(t testing.TB, payload string) string {
	t.Helper()
	return fmt.Sprintf(`OCMF|%s|{"SA":%q,"SD":"%x"}`, payload, s.algorithm, s.sign(t, payload))
}

// TestOpenSSL protects the arithmetic: what OpenSSL signs with a fresh key of each curve verifies, and nothing else does.
func TestOpenSSL(t *testing.T) {
	t.Parallel()
	if _, err := exec.LookPath("openssl"); err != nil {
		t.Skip("no openssl here to sign with")
	}
	for _, m := range algorithms {
		s := newSigner(t, m)
		key, err := ocmf.ParsePublicKey(s.der)
		if err != nil {
			t.Errorf("%s: key %x: %v", m.algorithm, s.der, err)
			continue
		}
		if !bytes.Equal(key.DER(), s.der) {
			t.Errorf("%s: key %x is written as %x", m.algorithm, s.der, key.DER())
		}
		for i := range 4 {
			text := s.record(t, strings.Replace(session, "T41", fmt.Sprintf("T%d", i), 1))
			r, err := ocmf.Parse(text)
			if err == nil {
				err = r.Verify(key)
			}
			if err != nil {
				t.Errorf("%s: %s: %v", m.algorithm, text, err)
			}
			other, err := ocmf.Parse(strings.Replace(text, "1300.50", "1300.51", 1))
			if err != nil || other.Verify(key) == nil {
				t.Errorf("%s: another value verifies, or cannot be read: %v", m.algorithm, err)
			}
		}
	}
}

// session is one record of a whole session.
const session = `{"FV":"1.2","GI":"Lamppost test","GS":"G-7","GV":"1","PG":"T41","MV":"Nobody","MM":"M1","MS":"4711","MF":"2","IS":true,` +
	`"IL":"TRUSTED","IF":["OCPP_RS_TLS"],"IT":"CENTRAL","ID":"c0ffee","CT":"EVSEID","CI":"DE*LMP*E1","RD":[` +
	`{"TM":"2027-01-15T09:00:00,000+0100 S","TX":"B","RV":1300.50,"RI":"1-b:1.8.0","RU":"kWh","RT":"AC","EF":"","ST":"G"},` +
	`{"TM":"2027-01-15T09:15:00,000+0100 S","TX":"C","RV":1302.75},` +
	`{"TM":"2027-01-15T09:30:00,000+0100 S","RV":1304.00},` +
	`{"TM":"2027-01-15T09:45:00,000+0100 S","TX":"E","RV":1305.25}]}`

// payloads are signed with P-256 for testdata/own.txt, to show a rule each.
var payloads = [][2]string{
	{"the begin alone", `{"PG":"T1","MS":"4711","RD":[{"TM":"2027-01-15T08:00:00,000+0000 S","TX":"B","RV":1,"RI":"1-b:1.8.0","RU":"kWh","ST":"G"}]}`},
	{"fiscal, without a transaction", `{"PG":"F7","MS":"4711","RD":[{"TM":"2027-01-15T08:00:00,000+0000 S","RV":1300500,"RI":"1-b:1.8.0","RU":"Wh","ST":"G"}]}`},
	{"white space inside of the signed bytes", "\n{ \"PG\" : \"T2\", \"MS\":\"4711\",\n\t\"RD\":[{\"TM\":\"2027-01-15T08:00:00,000+0000 S\",\"TX\":\"B\",\"RV\":1,\"RI\":\"1-b:1.8.0\",\"RU\":\"kWh\",\"ST\":\"G\"},{\"TM\":\"2027-01-15T09:00:00,000+0000 S\",\"TX\":\"L\",\"RV\":2}]}\n"},
	{"a number with an exponent", `{"PG":"T3","GS":"G-7","RD":[{"TM":"2028-02-29T23:59:59,999-0330 S","TX":"B","RV":1.3005E3,"RI":"1-b:1.8.0","RU":"kWh","ST":"G"},{"TM":"2028-03-01T05:00:00,000+0000 S","TX":"A","RV":13010E-1}]}`},
	{"the stop below the start", `{"PG":"T4","MS":"4711","RD":[{"TM":"2027-01-15T08:00:00,000+0000 S","TX":"B","RV":2,"RI":"1-b:1.8.0","RU":"kWh","ST":"G"},{"TM":"2027-01-15T09:00:00,000+0000 S","TX":"E","RV":1}]}`},
	{"an error of energy in between", `{"PG":"T5","MS":"4711","RD":[{"TM":"2027-01-15T08:00:00,000+0000 S","TX":"B","RV":1,"RI":"1-b:1.8.0","RU":"kWh","ST":"G"},{"TM":"2027-01-15T08:30:00,000+0000 S","TX":"X","EF":"E","ST":"T"},{"TM":"2027-01-15T09:00:00,000+0000 S","TX":"E","RV":2,"EF":"","ST":"G"}]}`},
	{"an error of time in between", `{"PG":"T6","MS":"4711","RD":[{"TM":"2027-01-15T08:00:00,000+0000 S","TX":"B","RV":1,"RI":"1-b:1.8.0","RU":"kWh","ST":"G"},{"TM":"2027-01-15T08:30:00,000+0000 S","TX":"X","EF":"t"},{"TM":"2027-01-15T09:00:00,000+0000 S","TX":"P","RV":2}]}`},
	{"two registers", `{"PG":"T8","MS":"4711","RD":[{"TM":"2027-01-15T08:00:00,000+0000 S","TX":"B","RV":1,"RI":"1-b:1.8.0","RU":"kWh","ST":"G"},{"RV":5,"RI":"1-b:2.8.0","RU":"kWh"},{"TM":"2027-01-15T09:00:00,000+0000 S","TX":"E","RV":6},{"RV":3,"RI":"1-b:1.8.0","RU":"kWh"}]}`},
	{"a name that stands twice", `{"PG":"T9","MS":"4711","MS":"4712","RD":[{"TM":"2027-01-15T08:00:00,000+0000 S","RV":1,"RI":"1-b:1.8.0","RU":"kWh","ST":"G"}]}`},
	{"a day that does not exist", `{"PG":"T9","MS":"4711","RD":[{"TM":"2027-02-29T08:00:00,000+0000 S","RV":1,"RI":"1-b:1.8.0","RU":"kWh","ST":"G"}]}`},
}

// TestSign is no test: with -sign it makes testdata/own.txt.
func TestSign(t *testing.T) {
	if !*sign {
		t.Skip("run with -sign to make testdata/own.txt anew")
	}
	var vs []vector
	own := func(name, key, record string) {
		vs = append(vs, vector{name: name, source: "Lamppost, signed with openssl", key: key, record: record})
	}
	for _, m := range algorithms {
		s := newSigner(t, m)
		own("a session in one record, "+m.algorithm, hex.EncodeToString(s.der), s.record(t, session))
	}
	p256, k1 := newSigner(t, algorithms[3]), newSigner(t, algorithms[1])
	key := base64.StdEncoding.EncodeToString(p256.der)
	for _, p := range payloads {
		own(p[0], key, p256.record(t, p[1]))
	}
	der := p256.sign(t, session)
	own("the default algorithm and a signature in base64", key,
		fmt.Sprintf(`OCMF|%s|{"SE":"base64","SM":"application/x-der","SD":%q}`, session, base64.StdEncoding.EncodeToString(der)))
	own("a point without its curve's name inside", fmt.Sprintf("secp256r1:%x", p256.der[len(p256.der)-64:]), p256.record(t, session))
	own("a key of another curve", hex.EncodeToString(k1.der), p256.record(t, session))
	own("a key of somebody else", hex.EncodeToString(newSigner(t, algorithms[3]).der), p256.record(t, session))
	own("a value that was changed afterwards", key, strings.Replace(p256.record(t, session), "1305.25", "1306.25", 1))
	own("an algorithm that is not supported", key, fmt.Sprintf(`OCMF|%s|{"SA":"ECDSA-sect283k1-SHA256","SD":"%x"}`, session, der))
	own("a signature with something after it", key, fmt.Sprintf(`OCMF|%s|{"SD":"%x00"}`, session, der))
	own("a section too many", key, fmt.Sprintf(`OCMF|%s|{"SD":"%x"}|`, session, der))
	writeVectors(t, "testdata/own.txt", ownHead, vs)
}

const ownHead = "// Records of our own making. See README.md for the form.\n\n"
