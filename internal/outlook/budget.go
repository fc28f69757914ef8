package outlook

import (
	"fmt"
	"math/big"
	"time"

	"github.com/lamppost/lamppost"
	"github.com/lamppost/lamppost/tariff"
)

// Budgets are what a party means to spend at most in a calendar month, with tax, by currency.
type Budgets map[string]lamppost.Micro

// Check refuses what cannot be spent.
func (b Budgets) Check() error {
	for currency, amount := range b {
		if amount <= 0 || !tariff.Whole(amount, currency) {
			return fmt.Errorf("budget of %s %q: an amount above 0 that can be paid in a currency of ISO 4217, such as {\"EUR\": \"120.00\"}", amount, currency)
		}
	}
	return nil
}

// A Budget is how much of what a party means to spend in the running month is spent.
type Budget struct {
	Currency string          `json:"currency"`
	Amount   lamppost.Micro  `json:"amount"`
	From     lamppost.TimeMS `json:"from_ms"`
	To       lamppost.TimeMS `json:"to_ms"`
	Until    lamppost.TimeMS `json:"until_ms"` // as far as use is known
	Used     lamppost.Micro  `json:"used"`
	// UsedPercent of Amount is used after TimePercent of the month, both rounded down.
	UsedPercent int64           `json:"used_percent"`
	TimePercent int64           `json:"time_percent"`
	Over        lamppost.TimeMS `json:"over_ms"`            // begin of the day on which it is exceeded, as it was or is expected; 0: it is not, or nobody knows
	OverDay     string          `json:"over_day,omitempty"` // likewise, on the party's clock
	Notices     []Notice        `json:"notices"`            // thresholds that are crossed
}

// A Notice is a threshold of a budget that is crossed.
type Notice string

// Notices, the gravest last.
const (
	NoticeNearly   Notice = "nearly"   // 80 % or more are used
	NoticeExpected Notice = "expected" // it is expected to be exceeded within the month
	NoticeExceeded Notice = "exceeded" // it is
)

// budget holds a month against what was meant for it.
func (m *month) budget(amount lamppost.Micro, z tariff.Zone) Budget {
	b := Budget{Currency: m.Currency, Amount: amount, From: m.From, To: m.To, Until: m.Until, Used: m.SoFar, Notices: []Notice{},
		UsedPercent: percent(int64(m.SoFar), int64(amount)), TimePercent: percent(int64(m.Until-m.From), int64(m.To-m.From))}
	exceeded := b.Used > amount
	expected := m.Expected != nil && m.Expected.Amount > amount
	if exceeded || expected {
		if b.Over = m.over(amount, z); b.Over != 0 {
			b.OverDay = local(z, b.Over).Format(time.DateOnly)
		}
	}
	switch {
	case exceeded:
		b.Notices = append(b.Notices, NoticeNearly, NoticeExceeded)
	case b.UsedPercent >= nearlyUsed:
		b.Notices = append(b.Notices, NoticeNearly)
	}
	if expected && !exceeded {
		b.Notices = append(b.Notices, NoticeExpected)
	}
	return b
}

// over returns the begin of the day on which the mean course exceeds an amount, or 0.
func (m *month) over(amount lamppost.Micro, z tariff.Zone) lamppost.TimeMS {
	if m.mean == nil {
		return 0
	}
	for day := m.From; day < m.To; {
		next := dayAfter(z, day)
		if sum, err := m.mean(next); err != nil || sum > amount {
			return day
		}
		day = next
	}
	return 0
}

// percent is part of whole, rounded down; nothing is less than nothing.
func percent(part, whole int64) int64 {
	if part <= 0 || whole <= 0 {
		return 0
	}
	n := new(big.Int).Mul(big.NewInt(part), big.NewInt(100))
	if n.Quo(n, big.NewInt(whole)); !n.IsInt64() {
		return 1 << 53
	}
	return n.Int64()
}
