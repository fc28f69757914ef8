package judge

import "github.com/lamppost/lamppost"

// A budget keeps alarms of detectors to a number that people can look at. It puts something upon the level of all series: every alarm adds a
// step, and time takes it off again at the rate that makes both equal when alarms come as often as they may (as the quantile is tracked by
// Gibbs and Candès, Adaptive Conformal Inference, NeurIPS 2021). So over any time there are no more alarms than the budget and, once, those
// that fill the addition. Time is the devices' own, so that history that comes at once is judged like history. All is integers.
//
// However few devices there are, one alarm a week is allowed. With a budget of 0 there are none.
type budget struct {
	per1000Week int64
	level       int64 // billionths, put upon the level of every series
	owed        int64 // of what time takes off: the remainder
	passed      int64 // ms of all devices together since the last settle
}

const (
	billion  = 1_000_000_000
	mostUpon = 8 * billion // no score is above 8
	weekMS   = 7 * 24 * 3600 * 1000

	maxStep = billion / 10
	minStep = billion / 1000
	maxGap  = weekMS // that counts of a device's silence
)

// weekly is what is allowed to so many devices in a week, in thousandths.
func (b *budget) weekly(devices int) int64 { return max(b.per1000Week*int64(devices), 1000) }

// step is what an alarm adds: a week's alarms add a half.
func (b *budget) step(devices int) int64 {
	return min(max(billion/2*1000/b.weekly(devices), minStep), maxStep)
}

// pass notes that time went by for a device.
func (b *budget) pass(ms lamppost.TimeMS) { b.passed += int64(min(max(ms, 0), maxGap)) }

func (b *budget) alarm(devices int) { b.level = min(b.level+b.step(devices), mostUpon) }

// settle takes off what the time since the last call allows.
func (b *budget) settle(devices int) {
	if b.per1000Week == 0 {
		b.level, b.passed, b.owed = mostUpon, 0, 0
		return
	}
	// Of one device's week goes step·weekly/devices/1000: computed in parts that stay below 2^63.
	perWeek := b.step(devices) * b.weekly(devices) / int64(max(devices, 1)) / 1000
	for left := b.passed; left > 0 && b.level > 0; {
		part := min(left, 4*weekMS)
		left -= part
		all := perWeek*part + b.owed
		b.level, b.owed = max(0, b.level-all/weekMS), all%weekMS
	}
	b.passed = 0
}

// set changes the budget.
func (b *budget) set(per1000Week uint32) {
	if b.per1000Week = int64(per1000Week); b.level == mostUpon {
		b.level = 0
	}
	b.settle(1)
}
