// Package device is what a machine links to take part in a Lamppost network: it numbers and signs the machine's
// readings, keeps the reports on disk until the network has acknowledged them as committed, and guards what contracts
// may do to the machine.
//
// It promises, through crashes and power losses at any moment:
//
//   - a number is never used for two reports, as long as the folder is kept (see [Config.SeqEpoch]);
//   - a report that [Device.Report] has returned for is sent until it is acknowledged or refused for good (with
//     [SyncNumbers]: unless the power fails soon after), always with the same bytes, so the network counts it once;
//   - nothing is lost silently: a full queue is an error, a refused report is kept with its reason.
//
// It does not read meters, set clocks or choose when to report. It trusts the folder: who copies it and runs both copies,
// or restores an old one, uses numbers twice, and the network will quarantine the device.
//
// Start reading at [Open], [Device.Report] and [Device.Run]; examples/device-http is a whole program. Limits are in
// limits.go. The folder holds:
//
//	lock                     one process at a time
//	numbers                  the next number, see numbers.go
//	queue                    reports not acknowledged yet, see queue.go
//	refused, refused.old     reports refused for good, a JSON object a line
//	edges-<hash of name>     registers at billing edges, see billing.go
//	rotation                 keys that the device took for itself, see rotate.go
//	guard                    what the guard must not forget, see guard.go
//	key, enrolment.json      if LoadOrCreateKey and Enrol are used with the same folder
package device

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"github.com/lamppost/lamppost"
	"github.com/lamppost/lamppost/audit"
	"github.com/lamppost/lamppost/sig"
)

var (
	// ErrQueueFull is returned by Report when the queue is at a limit: the readings were not taken. Registers are
	// cumulative, so a later report makes up for them.
	ErrQueueFull = errors.New("the queue of reports is full")
	// ErrLocked is returned by Open when another process uses the folder.
	ErrLocked = errors.New("another process is using this folder")
	// ErrFormerQueued is returned by Rotate while reports are queued that the key before the present one signed: the network
	// would not take them any more after another change.
	ErrFormerQueued = errors.New("reports signed with the key before this one are still queued")
	// ErrClosed is returned after Close.
	ErrClosed = errors.New("the device is closed")
)

// Durability says what a power loss may cost.
type Durability uint8

const (
	// SyncEvery makes each report durable before Report returns.
	SyncEvery Durability = iota
	// SyncNumbers makes only number reservations durable (one write in 64 reports) and billing reports. A power loss, not
	// a crash of the program alone, can lose queued reports; registers make that harmless.
	SyncNumbers
)

// Config is what Open needs. Network, ID, Key and Dir are required; so is Sender for Run.
type Config struct {
	Network  string // the network's id, as Enrol returned it
	ID       lamppost.DeviceID
	Key      *sig.PrivateKey // the device may have taken another one since, see Rotate
	KeyEpoch uint32          // as Enrol returned it
	Dir      string          // made if absent
	Sender   Sender

	// SeqEpoch is the epoch of the numbering; 0 means 1. Raise it when Dir was lost: the numbers of the old epoch are then
	// unknown, and using one again gets the device quarantined. A new key does not need it: numbers go on across keys.
	SeqEpoch uint32

	// Announcer tells the network of keys that Rotate makes; default the Sender, if it can.
	Announcer Announcer

	// Pin says whose signatures count in the network. If its quorum is above 1 a single member may lie: then a report stays in the
	// queue until a proof that so many signed shows it in the ledger, and is refused when so many members refuse it. The Sender
	// must be a Roamer with as many addresses. Nil, or a quorum of 1: one member's answer will do.
	Pin          *audit.Pin
	Prover       Prover        // brings these proofs; default the Sender, if it can
	ProveTimeout time.Duration // after which an acknowledged report that is not proven is sent elsewhere; default DefaultProveTimeout

	// Cold says of all reports that they are neither billed nor personal, so that their signatures may be half-aggregated:
	// lamppost.FlagCold. It needs an Ed25519 key, and there is no Billing.
	Cold bool

	Now         func() time.Time            // default time.Now
	TimeQuality func() lamppost.TimeQuality // default always TimeUnknown
	Durability  Durability
	MaxReports  int   // that may wait; default DefaultMaxReports
	MaxBytes    int64 // that they may have together; default DefaultMaxBytes
	Window      int   // sends at once; default DefaultWindow

	SendTimeout            time.Duration // of one attempt; default DefaultSendTimeout
	MinBackoff, MaxBackoff time.Duration // after failed attempts; defaults DefaultMinBackoff, DefaultMaxBackoff
	Rand                   *rand.Rand    // for the jitter of backoff, used by Run alone; default randomly seeded

	OnRefused func(Refused) // called by Run's goroutine after a report was refused for good; must not block
	Log       *slog.Logger  // default: nothing is logged

	// Only tests set these: sizes below which files are not rewritten; the pause before asking for a proof; what reads one.
	compactQueue, compactEdges int64
	proveAfter                 time.Duration
	readProof                  func(raw []byte) (map[lamppost.Seq]inLedger, error)
}

func (c Config) withDefaults() (Config, error) {
	if err := lamppost.CheckName("network", c.Network); err != nil {
		return c, err
	}
	if err := lamppost.CheckName("device", string(c.ID)); err != nil {
		return c, err
	}
	if c.Key == nil || c.Dir == "" {
		return c, errors.New("a Key and a Dir are required")
	}
	if err := c.completeProofs(); err != nil {
		return c, err
	}
	if c.Cold && c.Key.Suite() != sig.EdDSA {
		return c, fmt.Errorf("cold reports are signed with ed25519, not %s", c.Key.Suite())
	}
	if c.MaxReports < 0 || c.MaxBytes < 0 || c.Window < 0 || c.Window > maxWindow || c.SendTimeout < 0 || c.ProveTimeout < 0 || c.MinBackoff < 0 || c.MaxBackoff < 0 {
		return c, fmt.Errorf("a limit is negative, or the window is over %d", maxWindow)
	}
	setDefault(&c.SeqEpoch, 1)
	setDefault(&c.MaxReports, DefaultMaxReports)
	setDefault(&c.MaxBytes, DefaultMaxBytes)
	setDefault(&c.Window, DefaultWindow)
	setDefault(&c.ProveTimeout, DefaultProveTimeout)
	setDefault(&c.SendTimeout, DefaultSendTimeout)
	setDefault(&c.MinBackoff, DefaultMinBackoff)
	setDefault(&c.MaxBackoff, DefaultMaxBackoff)
	setDefault(&c.compactQueue, compactBytes)
	setDefault(&c.compactEdges, compactEdges)
	setDefault(&c.proveAfter, proveAfter)
	if c.readProof == nil {
		c.readProof = c.check
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.TimeQuality == nil {
		c.TimeQuality = func() lamppost.TimeQuality { return lamppost.TimeUnknown }
	}
	if c.Rand == nil {
		c.Rand = rand.New(rand.NewPCG(rand.Uint64(), rand.Uint64()))
	}
	if c.OnRefused == nil {
		c.OnRefused = func(Refused) {}
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	return c, nil
}

func setDefault[T comparable](v *T, to T) {
	var zero T
	if *v == zero {
		*v = to
	}
}

// A Device signs and keeps reports. All methods may be called concurrently.
type Device struct {
	cfg    Config
	disk   disk
	lock   io.Closer // nil in tests of the disk
	opened time.Time
	wake   chan struct{} // tells Run of new reports; capacity 1

	rotating    sync.Mutex    // held while a key is changed; taken before mu
	unconfirmed chan struct{} // tells Run of a change that the network has not confirmed; capacity 1

	mu       sync.Mutex // guards what follows; taken after a Billing's, never before it
	key      *sig.PrivateKey
	epoch    uint32 // of the key
	rotation rotation
	numbers  *numbers
	queue    *queue
	refused  *refusedFile
	billings map[string]*Billing
	emptied  chan struct{} // closed when the queue becomes empty; nil while it is
	running  *running      // nil while Run is not
	closed   bool
	failed   error // of the disk: what it holds is known only after opening it anew
	stats    Stats
}

// Stats are counts since Open, and the present state of the queue.
type Stats struct {
	Queued      int   // reports not acknowledged yet
	QueuedBytes int64 // of them
	UnderWay    int   // of them being sent now
	Doubted     int   // of them acknowledged by one member and not proven yet; see Config.Pin
	Delivered   int64 // acknowledged as committed and, where that is asked for, proven; duplicates included
	Duplicates  int64
	Refused     int64
	Failures    int64           // attempts that have to be repeated
	Unproven    int64           // acknowledgements that nothing proved in time: their reports were sent elsewhere
	Height      lamppost.Height // the highest that an acknowledgement named
	LastError   string          // of the last failed attempt
	KeyEpoch    uint32          // of the key that signs
	Rotating    bool            // the network has not confirmed the next key yet
	Damaged     int64           // bytes of the queue file that could not be read at Open
}

// Open opens the folder of a device, or makes it, and takes its lock. A report is signed in the device's name with its
// key from now on; Close ends that.
func Open(cfg Config) (*Device, error) {
	cfg, err := cfg.withDefaults()
	if err != nil {
		return nil, fmt.Errorf("opening device %q: %w", cfg.ID, err)
	}
	lock, err := LockFolder(cfg.Dir)
	if err != nil {
		return nil, fmt.Errorf("opening device %q: %w", cfg.ID, err)
	}
	d, err := openOn(cfg, dirDisk{cfg.Dir})
	if err != nil {
		return nil, errors.Join(fmt.Errorf("opening device %q in %q: %w", cfg.ID, cfg.Dir, err), lock.Close())
	}
	d.lock = lock
	return d, nil
}

// openOn opens a device whose configuration is complete.
func openOn(cfg Config, on disk) (*Device, error) {
	d := &Device{cfg: cfg, disk: on, opened: cfg.Now(), wake: make(chan struct{}, 1),
		unconfirmed: make(chan struct{}, 1), billings: make(map[string]*Billing)}
	if err := d.load(); err != nil {
		return nil, errors.Join(err, d.closeFiles())
	}
	d.stats.Damaged = d.queue.j.damaged
	if d.stats.Damaged > 0 {
		cfg.Log.Warn("the queue file is damaged", "bytes", d.stats.Damaged)
	}
	if d.queue.waiting > 0 {
		d.emptied = make(chan struct{})
	}
	return d, nil
}

func (d *Device) load() error {
	if err := d.openKeys(); err != nil {
		return err
	}
	hadNumbers, err := d.disk.Exists(numbersFile)
	if err != nil {
		return err
	}
	hadQueue, err := d.disk.Exists(queueFile)
	if err != nil {
		return err
	}
	if hadQueue { // else the numbers come first: a queue without them then always means that they were lost
		if err := d.loadQueue(hadNumbers); err != nil {
			return err
		}
	}
	if d.numbers, err = openNumbers(d.disk, d.cfg.Network+"/"+string(d.cfg.ID), d.cfg.SeqEpoch); err != nil {
		return err
	}
	if !hadQueue {
		if err := d.loadQueue(true); err != nil {
			return err
		}
	}
	for _, e := range d.queue.entries {
		d.numbers.pass(e.seq)
	}
	d.refused, err = openRefused(d.disk)
	return err
}

func (d *Device) loadQueue(hadNumbers bool) (err error) {
	if d.queue, err = openQueue(d.disk, d.cfg.compactQueue); err != nil {
		return err
	}
	if !hadNumbers && d.cfg.SeqEpoch <= max(1, d.queue.epoch) {
		return fmt.Errorf("%q is missing, so numbers could be used twice: raise SeqEpoch", numbersFile)
	}
	return nil
}

// signer is the key that signs now.
func (d *Device) signer() (*sig.PrivateKey, uint32) {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.key, d.epoch
}

// Report numbers and signs readings as one report and puts it into the queue. A reading without a time gets the present
// one. When Report returns without an error, the report will be delivered; see Durability. [ErrQueueFull] and errors
// about the readings leave everything as it was; after an error of the disk every later call fails too.
func (d *Device) Report(readings ...lamppost.Reading) (lamppost.Seq, error) {
	timed := d.timed(readings)
	d.mu.Lock()
	defer d.mu.Unlock()
	flags := uint32(0)
	if d.cfg.Cold {
		flags = lamppost.FlagCold
	}
	seq, raw, err := d.sign(flags, timed)
	if err != nil {
		return lamppost.Seq{}, err
	}
	return seq, d.enqueue(seq, raw, d.cfg.Durability == SyncEvery)
}

// timed returns a copy of readings, in which those without a time have the present one.
func (d *Device) timed(readings []lamppost.Reading) []lamppost.Reading {
	now := lamppost.TimeMS(d.cfg.Now().UnixMilli())
	timed := slices.Clone(readings)
	for i := range timed {
		if timed[i].Time == 0 {
			timed[i].Time = now
		}
	}
	return timed
}

// ReportMoment is Report for what registers show at a moment that a bill rests on: the start or the stop of a session, or the
// last use in it. It is a billing report, in the queue durably whatever [Config.Durability] says, and counts at its very time. For the edges
// of the day there is [Device.Billing]; where the meter signs by itself, [Device.ReportMetered]. Its errors are those of Report.
func (d *Device) ReportMoment(registers ...lamppost.Reading) (lamppost.Seq, error) {
	if d.cfg.Cold {
		return lamppost.Seq{}, errors.New("a moment of a session: the device calls its reports cold")
	}
	for i := range registers {
		if r := &registers[i]; r.Kind != lamppost.Register || r.Quality >= lamppost.Faulty {
			return lamppost.Seq{}, fmt.Errorf("a moment of a session: %q is no register whose value can be billed", r.Name)
		}
	}
	return d.ReportMetered(nil, d.timed(registers)...)
}

// ReportMetered is Report for registers that a meter signed by itself, with its records in the Open Charge Metering Format as they
// came: a billing report, in the queue durably. Each record gives at least one of the readings, with the record's own
// time and value; see docs/devices.md.
func (d *Device) ReportMetered(records []lamppost.MeterRecord, readings ...lamppost.Reading) (lamppost.Seq, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	seq, raw, err := d.sign(lamppost.FlagBilling, readings, records...)
	if err != nil {
		return lamppost.Seq{}, err
	}
	return seq, d.enqueue(seq, raw, true)
}

// sign makes a report with the next number. The caller holds d.mu.
func (d *Device) sign(flags uint32, readings []lamppost.Reading, meter ...lamppost.MeterRecord) (lamppost.Seq, []byte, error) {
	if err := d.usable(); err != nil {
		return lamppost.Seq{}, nil, err
	}
	if d.queue.waiting >= d.cfg.MaxReports || d.queue.bytes >= d.cfg.MaxBytes {
		return lamppost.Seq{}, nil, ErrQueueFull
	}
	seq, err := d.numbers.peek()
	if err != nil {
		return seq, nil, d.fail(err)
	}
	raw, err := lamppost.SignReport(&lamppost.Report{
		Device: d.cfg.ID, KeyEpoch: d.epoch, Seq: seq, Flags: flags, TimeQuality: d.cfg.TimeQuality(),
		BootID: d.numbers.boot, MonoMS: uint64(max(0, d.cfg.Now().Sub(d.opened).Milliseconds())), Readings: readings, Meter: meter,
	}, d.cfg.Network, d.key)
	if err != nil {
		return seq, nil, err // nothing has left this function, so the number is still unused
	}
	d.numbers.take()
	return seq, raw, nil
}

// enqueue puts a signed report into the queue. The caller holds d.mu.
func (d *Device) enqueue(seq lamppost.Seq, raw []byte, durable bool) error {
	if err := d.usable(); err != nil {
		return err
	}
	if err := d.queue.add(seq, raw, durable); err != nil {
		return d.fail(err)
	}
	if d.emptied == nil {
		d.emptied = make(chan struct{})
	}
	select {
	case d.wake <- struct{}{}:
	default: // Run has not seen the last signal yet and will find this report with the others
	}
	return nil
}

// usable returns why nothing can be written, or nil. The caller holds d.mu.
func (d *Device) usable() error {
	if d.closed {
		return ErrClosed
	}
	return d.failed
}

// fail stops the device after an error of the disk. The caller holds d.mu.
func (d *Device) fail(err error) error {
	if d.failed == nil {
		d.failed = fmt.Errorf("the device's disk no longer works; open it anew: %w", err)
	}
	return d.failed
}

// Stats returns counts for people and metrics.
func (d *Device) Stats() Stats {
	d.mu.Lock()
	defer d.mu.Unlock()
	s := d.stats
	s.Queued, s.QueuedBytes = d.queue.waiting, d.queue.bytes
	for i := range d.queue.entries {
		if d.queue.entries[i].state == unproven {
			s.Doubted++
		}
	}
	s.KeyEpoch, s.Rotating = d.epoch, d.rotation.Next != nil
	return s
}

// Close stops Run, waits for it, gives unused numbers back and releases the folder. Reports in the queue stay there for
// the next Open.
func (d *Device) Close() error {
	d.mu.Lock()
	if d.closed {
		d.mu.Unlock()
		return nil
	}
	d.closed = true
	running, billings := d.running, d.billings
	d.mu.Unlock()
	if running != nil {
		running.cancel()
		<-running.done
	}
	var err error
	for _, b := range billings { // no more are added once closed is set
		err = errors.Join(err, b.close())
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	err = errors.Join(err, d.closeFiles())
	if d.lock != nil {
		err = errors.Join(err, d.lock.Close())
	}
	if err != nil {
		return fmt.Errorf("closing device %q: %w", d.cfg.ID, err)
	}
	return nil
}

// closeFiles closes what is open. After a failure of the disk nothing more is written: what it holds is not known.
func (d *Device) closeFiles() error {
	var errs []error
	if d.queue != nil && d.queue.j != nil {
		errs = append(errs, d.queue.j.close())
	}
	if d.refused != nil {
		errs = append(errs, d.refused.f.Close())
	}
	if d.numbers != nil && d.failed == nil {
		errs = append(errs, d.numbers.close())
	} else if d.numbers != nil {
		errs = append(errs, d.numbers.f.Close())
	}
	return errors.Join(errs...)
}
