package main

import (
	"context"
	"crypto/ed25519"
	"crypto/tls"
	"crypto/x509"
	"encoding/binary"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
	"unsafe"
)

// A lab is a network of this machine's own: each host is a network namespace with one TAP device, and this process is the switch
// between them. It takes each frame that a host sends and passes it on to the one that it is for, or loses it, or holds it back.
// So TCP between the hosts is the kernel's, and all that befalls it is decided here. Host 0 is this process, in the namespace where it
// runs anyway.
//
//	host 1 (namespace)  tap ──fd──┐
//	host 2 (namespace)  tap ──fd──┼── switch (this process)
//	host 0 (here)       tap ──fd──┘
type lab struct {
	t     testing.TB
	tag   string // in names, so that they are of this lab alone
	net   string // 10.x.y. of all addresses
	names []string
	taps  []*os.File
	wires [][]*wire // from, to
	wg    sync.WaitGroup

	config string      // settings of all members
	roots  *tls.Config // for who calls their doors
}

// A wire leads from one host to another.
type wire struct {
	frames chan frame
	to     *os.File

	mu   sync.Mutex
	rnd  *rand.Rand
	fate fate
}

// A fate is what a wire does to frames.
type fate struct {
	cut   bool
	loss  float64 // share that is lost
	delay time.Duration
}

type frame struct {
	due time.Time
	raw []byte
}

const (
	labPrefix  = "lplab" // of namespaces and devices; then the number of the process
	maxFrame   = 2048
	wireFrames = 1024                   // on their way; more are lost, as by any switch
	labDelay   = 200 * time.Microsecond // of a wire that nothing is wrong with
)

// newLab makes so many hosts beside this process, and takes all down when the test ends. Where it may not, the test is skipped.
func newLab(t testing.TB, hosts int, seed uint64) *lab {
	if os.Geteuid() != 0 {
		t.Skip("a network of this machine's own needs root")
	}
	if _, err := exec.LookPath("ip"); err != nil {
		t.Skipf("a network of this machine's own needs iproute2: %v", err)
	}
	labMu.Lock()
	defer labMu.Unlock()
	sweepLabs()
	labs++
	l := &lab{t: t, tag: fmt.Sprintf("%s%s%c", labPrefix, strconv.FormatInt(int64(os.Getpid()), 36), 'a'+labs%26), net: freeNet(t)}
	t.Cleanup(l.close)
	for i := range hosts + 1 {
		if err := l.addHost(i); err != nil {
			t.Skipf("a network of this machine's own is not permitted: %v", err)
		}
	}
	for from := range l.taps {
		var row []*wire
		for to := range l.taps {
			w := &wire{frames: make(chan frame, wireFrames), to: l.taps[to], rnd: rand.New(rand.NewPCG(seed, uint64(from<<8|to))), fate: fate{delay: labDelay}}
			l.wg.Go(w.carry)
			row = append(row, w)
		}
		l.wires = append(l.wires, row)
	}
	for i := range l.taps {
		l.wg.Go(func() { l.forward(i) })
	}
	if err := l.certify(); err != nil {
		t.Fatal(err)
	}
	return l
}

// labMu is held while a lab is made, so that two of them do not take the same names and addresses.
var (
	labMu sync.Mutex
	labs  int
)

// name is of a host's namespace and its device: at most 15 characters.
func (l *lab) name(host int) string { return l.tag + strconv.Itoa(host) }

func (l *lab) address(host int) string { return l.net + strconv.Itoa(host+1) }

func hardware(host int) string { return fmt.Sprintf("02:6c:70:00:00:%02x", host+1) }

// inside is the command that runs another one at a host.
func (l *lab) inside(host int) []string { return []string{"ip", "netns", "exec", l.name(host)} }

// addHost makes a namespace, none for host 0, and its device. Neighbours are told, so that a cut wire is silent and not "unreachable".
func (l *lab) addHost(host int) error {
	name := l.name(host)
	tap, err := openTAP(name)
	if err != nil {
		return err
	}
	l.names, l.taps = append(l.names, name), append(l.taps, tap)
	at := []string{"ip"}
	if host > 0 {
		at = append(at, "-n", name)
		if err := run("ip", "netns", "add", name); err != nil {
			return err
		}
		if err := run("ip", "link", "set", name, "netns", name); err != nil {
			return err
		}
		if err := run("ip", "-n", name, "link", "set", "lo", "up"); err != nil {
			return err
		}
	}
	for _, words := range []string{"link set " + name + " address " + hardware(host), "addr add " + l.address(host) + "/24 dev " + name, "link set " + name + " up"} {
		if err := run(append(slices.Clone(at), strings.Fields(words)...)...); err != nil {
			return err
		}
	}
	for other := range maxHosts {
		if other != host {
			words := fmt.Sprintf("neigh replace %s lladdr %s dev %s nud permanent", l.address(other), hardware(other), name)
			if err := run(append(slices.Clone(at), strings.Fields(words)...)...); err != nil {
				return err
			}
		}
	}
	return nil
}

const maxHosts = 8

func run(args ...string) error {
	if out, err := exec.Command(args[0], args[1:]...).CombinedOutput(); err != nil {
		return fmt.Errorf("%s: %w: %s", strings.Join(args, " "), err, out)
	}
	return nil
}

// openTAP makes a TAP device; its frames are read from and written to the file, wherever the device goes (linux/if_tun.h).
func openTAP(name string) (*os.File, error) {
	const (
		setIFF  = 0x400454ca // TUNSETIFF
		tap     = 0x0002     // IFF_TAP
		noInfo  = 0x1000     // IFF_NO_PI
		nameLen = 16
	)
	fd, err := syscall.Open("/dev/net/tun", syscall.O_RDWR|syscall.O_CLOEXEC|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, fmt.Errorf("opening /dev/net/tun: %w", err)
	}
	var req [40]byte // struct ifreq
	copy(req[:nameLen-1], name)
	binary.NativeEndian.PutUint16(req[nameLen:], tap|noInfo)
	if _, _, e := syscall.Syscall(syscall.SYS_IOCTL, uintptr(fd), setIFF, uintptr(unsafe.Pointer(&req))); e != 0 {
		syscall.Close(fd)
		return nil, fmt.Errorf("making the device %q: %w", name, e)
	}
	runtime.KeepAlive(&req)
	return os.NewFile(uintptr(fd), name), nil
}

// forward passes on what a host sends, until its device is closed. Frames for all, of which there is no need, are lost.
func (l *lab) forward(from int) {
	for {
		raw := make([]byte, maxFrame)
		n, err := l.taps[from].Read(raw)
		if err != nil {
			break
		}
		for to := range l.taps {
			if n > 14 && raw[0] == 2 && int(raw[5]) == to+1 && to != from {
				l.wires[from][to].send(raw[:n])
			}
		}
	}
	for _, w := range l.wires[from] {
		close(w.frames)
	}
}

func (w *wire) send(raw []byte) {
	w.mu.Lock()
	f := w.fate
	lost := f.cut || w.rnd.Float64() < f.loss
	w.mu.Unlock()
	if lost {
		return
	}
	select {
	case w.frames <- frame{time.Now().Add(f.delay), raw}:
	default:
	}
}

func (w *wire) carry() {
	for f := range w.frames {
		time.Sleep(time.Until(f.due))
		w.to.Write(f.raw) // a device that is down loses it
	}
}

// set changes what the wire from one host to another does.
func (l *lab) set(from, to int, f fate) {
	w := l.wires[from][to]
	w.mu.Lock()
	defer w.mu.Unlock()
	w.fate = f
	w.fate.delay += labDelay
}

func (l *lab) close() {
	for _, tap := range l.taps {
		tap.Close()
	}
	l.wg.Wait()
	for _, name := range l.names[min(1, len(l.names)):] {
		if err := run("ip", "netns", "del", name); err != nil {
			l.t.Log(err)
		}
	}
}

// sweepLabs ends what runs in namespaces that a test left which was killed, and removes them. Their devices went with its process.
func sweepLabs() {
	out, err := exec.Command("ip", "netns", "list").Output()
	if err != nil {
		return
	}
	for line := range strings.Lines(string(out)) {
		name, _, _ := strings.Cut(strings.TrimSpace(line), " ")
		rest, ours := strings.CutPrefix(name, labPrefix)
		if !ours || len(rest) < 3 {
			continue
		}
		if pid, err := strconv.ParseInt(rest[:len(rest)-2], 36, 32); err == nil && syscall.Kill(int(pid), 0) == syscall.ESRCH {
			left, _ := exec.Command("ip", "netns", "pids", name).Output()
			for _, word := range strings.Fields(string(left)) {
				if pid, err := strconv.Atoi(word); err == nil {
					syscall.Kill(pid, syscall.SIGKILL)
				}
			}
			run("ip", "netns", "del", name)
		}
	}
}

// freeNet finds 10.x.y. that no route leads to.
func freeNet(t testing.TB) string {
	out, err := exec.Command("ip", "-4", "route", "show", "table", "all").Output()
	if err != nil {
		t.Skipf("ip route: %v", err)
	}
	for range 100 {
		net := fmt.Sprintf("10.%d.%d.", 100+rand.IntN(150), 1+rand.IntN(250))
		if !strings.Contains(string(out), net[:strings.LastIndex(net[:len(net)-1], ".")+1]) {
			return net
		}
	}
	t.Skip("no network 10.x is free")
	return ""
}

// place is where a member at a host runs and is found. Its doors have the lab's certificate.
func (l *lab) place(host int) place {
	at := l.address(host)
	return place{engine: at + ":7650", http: at + ":8443", mqtt: at + ":8883", inside: l.inside(host), flags: []string{"--config", l.config}, tls: l.roots}
}

// certify makes one certificate for the doors of all hosts, which is its own authority, and the settings that name it.
func (l *lab) certify() error {
	public, key, err := ed25519.GenerateKey(nil)
	if err != nil {
		return err
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotBefore: time.Now().Add(-24 * time.Hour), NotAfter: time.Now().Add(24 * time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageDigitalSignature}
	for i := range l.taps {
		template.IPAddresses = append(template.IPAddresses, net.ParseIP(l.address(i)))
	}
	der, err := x509.CreateCertificate(nil, template, template, public, key)
	if err != nil {
		return err
	}
	secret, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return err
	}
	dir := l.t.TempDir()
	cert := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	l.config = filepath.Join(dir, "node.yaml")
	text := fmt.Sprintf("tls_cert: %s/cert.pem\ntls_key: %s/key.pem\n", dir, dir)
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(cert)
	l.roots = &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS12}
	return errors.Join(os.WriteFile(filepath.Join(dir, "cert.pem"), cert, 0o600),
		os.WriteFile(filepath.Join(dir, "key.pem"), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: secret}), 0o600),
		os.WriteFile(l.config, []byte(text), 0o600))
}

// TestLab protects the experiment: over a wire that is cut, either way, nothing comes; over one that loses a part TCP comes through.
func TestLab(t *testing.T) {
	t.Parallel()
	l := newLab(t, 1, 1)
	listener, err := net.Listen("tcp", l.address(0)+":0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			conn.Write([]byte("well"))
			conn.Close()
		}
	}()
	script := fmt.Sprintf("read -N 4 x < /dev/tcp/%s && echo $x", strings.Replace(listener.Addr().String(), ":", "/", 1))
	call := func() bool {
		ctx, cancel := context.WithTimeout(t.Context(), 500*time.Millisecond)
		defer cancel()
		args := append(l.inside(1), "bash", "-c", script)
		out, _ := exec.CommandContext(ctx, args[0], args[1:]...).Output()
		return string(out) == "well\n"
	}
	if !call() {
		t.Fatal("the host does not reach this process")
	}
	for _, way := range [][2]int{{0, 1}, {1, 0}} {
		l.set(way[0], way[1], fate{cut: true})
		if call() {
			t.Errorf("with %v cut it does", way)
		}
		l.set(way[0], way[1], fate{loss: 0.05})
	}
	for range 20 {
		if call() {
			return
		}
	}
	t.Error("with a twentieth of the frames lost nothing comes through")
}
