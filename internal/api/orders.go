package api

import (
	"fmt"
	"strings"

	"github.com/lamppost/lamppost"
	"github.com/lamppost/lamppost/internal/ledger"
	"github.com/lamppost/lamppost/tariff"
)

// orderSummary says in a line what an order around bills does.
func orderSummary(tx *lamppost.Transaction, outcomes []lamppost.Outcome) string {
	switch tx.Type {
	case lamppost.TxReading:
		return words(tx, func(b lamppost.ReadingBody) string {
			return fmt.Sprintf("%s of %s at %s entered by hand as %s %s, %s: %s", b.Register, b.Device, utc(b.Time), b.Value, b.Unit, b.Quality, b.Reason)
		})
	case lamppost.TxCorrect:
		return correctionSummary(tx, outcomes)
	case lamppost.TxDispute:
		return words(tx, disputeSummary)
	case lamppost.TxSession:
		return words(tx, func(b lamppost.SessionBody) string {
			return fmt.Sprintf("session %s of %s at %s under %s version %d, for at most %s", b.ID, b.Buyer, b.Point, b.Tariff, b.Version, b.Limit)
		})
	case lamppost.TxCharter:
		return words(tx, charterSummary)
	case lamppost.TxRestrict:
		return words(tx, restrictSummary)
	case lamppost.TxAgent, lamppost.TxDecisions, lamppost.TxLearn:
		return agentSummary(tx)
	case lamppost.TxDesire:
		return words(tx, desireSummary)
	case lamppost.TxVerdicts, lamppost.TxReview, lamppost.TxWatch:
		return triageSummary(tx)
	case lamppost.TxSettle:
		return settleSummary(tx, outcomes)
	case lamppost.TxCredit:
		return words(tx, func(b lamppost.CreditBody) string {
			return strings.TrimSuffix(fmt.Sprintf("credit limit of %s is %s: %s", b.Party, b.Limit, b.Reason), ": ")
		})
	case lamppost.TxChannel, lamppost.TxCash, lamppost.TxContradict:
		return channelSummary(tx, outcomes)
	case lamppost.TxCentre:
		return words(tx, func(b lamppost.CentreBody) string {
			return fmt.Sprintf("terms %d of %s as a profit centre from %s: %d shares, may spend %s %s in %d days", b.Version, b.Device, utc(b.From), len(b.Shares), b.Limit, b.Currency, b.LimitDays)
		})
	case lamppost.TxPayout:
		return payoutSummary(tx, outcomes)
	case lamppost.TxOffer:
		return words(tx, func(b lamppost.OfferBody) string {
			return fmt.Sprintf("offer %s of %s at %s under %s version %d, for at most %s, until %s", b.ID, b.Device, b.Point, b.Tariff, b.Version, b.Most, utc(b.Until))
		})
	case lamppost.TxAccept:
		return words(tx, func(b lamppost.AcceptBody) string {
			return fmt.Sprintf("%s accepts offer %s: session %s at %s, for at most %s of %s", b.Device, b.Offer, b.Session.ID, b.Session.Point, b.Session.Limit, b.Session.Buyer)
		})
	case lamppost.TxContract:
		return words(tx, func(b lamppost.ContractBody) string {
			return fmt.Sprintf("version %d of contract %s between %d parties, about %d devices, in %s", b.Version, b.ID, len(b.Parties), len(b.Devices), b.Currency)
		})
	case lamppost.TxCall:
		return words(tx, func(b lamppost.CallBody) string { return callSummary(b, outcomes) })
	case lamppost.TxConvert:
		return words(tx, func(b lamppost.ConvertBody) string {
			return fmt.Sprintf("%s gives %s %s to %s for %s at %s, the %s of %s", b.Party, b.Amount, b.From, b.With, b.To, b.Rate, b.Source, utc(b.RateTime))
		})
	}
	return tx.Type.String()
}

// triageSummary says what was found, or said of it.
func triageSummary(tx *lamppost.Transaction) string {
	switch tx.Type {
	case lamppost.TxVerdicts:
		return words(tx, func(b lamppost.VerdictsBody) string {
			if b.Check() != nil {
				return "verdicts that cannot be"
			}
			text := fmt.Sprintf("%s version %d judged up to block %d", b.Model.ID, b.Model.Version, b.Through)
			for i := range b.Verdicts {
				if i == 3 {
					return fmt.Sprintf("%s and %d more", text, len(b.Verdicts)-i)
				}
				v := &b.Verdicts[i]
				text += strings.TrimRight(fmt.Sprintf("; %s: %s %s %s", v.Kind, v.Reasons[0].Code, v.Device, v.Name), " ")
			}
			return text
		})
	case lamppost.TxReview:
		return words(tx, func(b lamppost.ReviewBody) string {
			return strings.TrimSuffix(fmt.Sprintf("verdict %s is %s: %s", b.Verdict, b.Answer, b.Reason), ": ")
		})
	}
	return words(tx, func(b lamppost.WatchBody) string {
		switch {
		case b.Check() != nil:
			return "something to watch that cannot be"
		case b.Point != "":
			return "what triage should know of metering point " + b.Point
		case b.Device != "":
			return fmt.Sprintf("%s may run %s of firmware", b.Device, plural(len(b.Firmware), "image"))
		}
		return fmt.Sprintf("%d alarms a week for each 1,000 meters", *b.Budget)
	})
}

// agentSummary says what agents decided, or what is wanted of one.
func agentSummary(tx *lamppost.Transaction) string {
	switch tx.Type {
	case lamppost.TxAgent:
		return words(tx, func(b lamppost.AgentBody) string {
			return fmt.Sprintf("agent of %s: %s, %s, run by %s", b.Device, b.Kind, b.Mode, b.Member)
		})
	case lamppost.TxLearn:
		return words(tx, func(b lamppost.LearnBody) string {
			return fmt.Sprintf("update of model %s from %d rows: %s from %s to %s", b.Model, b.Rows, b.Metric, b.Before, b.After)
		})
	}
	return words(tx, func(b lamppost.DecisionsBody) string {
		if b.Check() != nil {
			return "decisions that cannot be"
		}
		text := fmt.Sprintf("%s and %s of agents", plural(len(b.Decisions), "decision"), plural(len(b.Outcomes), "outcome"))
		for i := range b.Decisions {
			if i == 3 {
				return fmt.Sprintf("%s and %d more", text, len(b.Decisions)-i)
			}
			d := &b.Decisions[i]
			text += fmt.Sprintf("; %s: %s %s %s", d.Device, d.Action.Name, d.Action.Value, d.Action.Unit)
		}
		return text
	})
}

func callSummary(b lamppost.CallBody, outcomes []lamppost.Outcome) string {
	what := fmt.Sprintf("%s of contract %s", b.Event, b.Contract)
	if b.Event == "" {
		what = fmt.Sprintf("contract %s runs again what failed in block %d", b.Contract, b.Height)
	}
	var x ledger.Run
	if !said(outcomes, &x) {
		return what
	}
	for _, p := range x.Payments {
		what += fmt.Sprintf("; %s pays %s %s %s", p.From, p.To, p.Amount, x.Currency)
	}
	return what
}

func disputeSummary(b lamppost.DisputeBody) string {
	if b.State != lamppost.DisputeOpen {
		return fmt.Sprintf("dispute %s %s: %s", b.ID, b.State, b.Reason)
	}
	about := "invoice " + b.Invoice
	if b.Line != 0 {
		about = fmt.Sprintf("line %d of %s", b.Line, about)
	}
	return fmt.Sprintf("dispute %s of %s opened: %s", b.ID, about, b.Reason)
}

func correctionSummary(tx *lamppost.Transaction, outcomes []lamppost.Outcome) string {
	var inv tariff.Invoice
	if said(outcomes, &inv) && inv.Corrects != nil {
		return fmt.Sprintf("invoice %s replaces %s (%s): %s %s due", inv.Number, inv.Corrects.Number, inv.Corrects.Cause, inv.Due(), inv.Currency)
	}
	return words(tx, func(b lamppost.CorrectBody) string {
		return fmt.Sprintf("correction of invoice %s (%s) asked for", b.Number, b.Cause)
	})
}

func settleSummary(tx *lamppost.Transaction, outcomes []lamppost.Outcome) string {
	return words(tx, func(b lamppost.SettleBody) string {
		if b.Void != "" {
			return fmt.Sprintf("session %s ended without a bill: %s", b.Session, b.Void)
		}
		var lines []tariff.Line
		if !said(outcomes, &lines) {
			return fmt.Sprintf("settlement of session %s asked for", b.Session)
		}
		var net lamppost.Micro
		for i := range lines {
			net += lines[i].Amount
		}
		return fmt.Sprintf("session %s settled: %s before tax", b.Session, net)
	})
}

func payoutSummary(tx *lamppost.Transaction, outcomes []lamppost.Outcome) string {
	return words(tx, func(b lamppost.PayoutBody) string {
		var p tariff.Profit
		if !said(outcomes, &p) {
			return fmt.Sprintf("payout of %s until %s asked for", b.Device, utc(b.To))
		}
		return fmt.Sprintf("books of %s closed until %s: profit %s %s, paid out %s", b.Device, utc(b.To), p.Profit, p.Currency, p.PaidOut())
	})
}

// said reads what an accepted order made.
func said(outcomes []lamppost.Outcome, made any) bool {
	return len(outcomes) > 0 && outcomes[0].Code == lamppost.CodeOK && len(outcomes[0].Data) > 0 && lamppost.Unmarshal(outcomes[0].Data, made) == nil
}
