package api_test

import (
	"fmt"
	"os"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/lamppost/lamppost"
	"github.com/lamppost/lamppost/internal/advise"
	"github.com/lamppost/lamppost/internal/api"
	"github.com/lamppost/lamppost/internal/books"
	"github.com/lamppost/lamppost/internal/explore"
	"github.com/lamppost/lamppost/internal/export"
	"github.com/lamppost/lamppost/internal/ledger"
	"github.com/lamppost/lamppost/internal/outlook"
	"github.com/lamppost/lamppost/internal/render"
	"github.com/lamppost/lamppost/internal/shadow"
	"github.com/lamppost/lamppost/tariff"
)

// shapes are the bodies whose fields docs/api.md lists, by the heading they stand under. Where one stands inside another,
// the other's table names only the field.
var shapes = map[string]reflect.Type{
	"Error": reflect.TypeFor[api.Error](), "Status": reflect.TypeFor[api.Status](), "Broker": reflect.TypeFor[api.Broker](), "Device": reflect.TypeFor[api.Device](),
	"DeviceList": reflect.TypeFor[api.DeviceList](), "DeviceDetail": reflect.TypeFor[api.DeviceDetail](),
	"Series": reflect.TypeFor[api.Series](), "DeviceKept": reflect.TypeFor[api.DeviceKept](), "Log": reflect.TypeFor[api.Log](), "LogProof": reflect.TypeFor[api.LogProof](),
	"Party": reflect.TypeFor[lamppost.PartyBody](), "Point": reflect.TypeFor[lamppost.PointBody](),
	"Tariff": reflect.TypeFor[tariff.Tariff](), "Agreement": reflect.TypeFor[lamppost.AgreementBody](),
	"PointDetail": reflect.TypeFor[api.PointDetail](), "Balance": reflect.TypeFor[api.Balance](), "Line": reflect.TypeFor[tariff.Line](), "Edge": reflect.TypeFor[tariff.Edge](),
	"Trial": reflect.TypeFor[api.Trial](), "TrialResult": reflect.TypeFor[api.TrialResult](), "Credit": reflect.TypeFor[lamppost.CreditBody](), "Conversion": reflect.TypeFor[lamppost.ConvertBody](),
	"ReadingOrder": reflect.TypeFor[lamppost.ReadingBody](), "CorrectOrder": reflect.TypeFor[lamppost.CorrectBody](),
	"DisputeOrder": reflect.TypeFor[lamppost.DisputeBody](), "Dispute": reflect.TypeFor[api.Dispute](),
	"SessionOrder": reflect.TypeFor[lamppost.SessionBody](), "Session": reflect.TypeFor[api.Session](), "Settle": reflect.TypeFor[api.Settle](), "Quote": reflect.TypeFor[api.Quote](),
	"GuardState": reflect.TypeFor[api.GuardState](), "GuardWord": reflect.TypeFor[api.GuardWord](), "GuardDecision": reflect.TypeFor[api.GuardDecision](),
	"DesiredState": reflect.TypeFor[api.DesiredState](), "DesiredFunction": reflect.TypeFor[api.DesiredFunction](), "Command": reflect.TypeFor[api.Command](),
	"Charter": reflect.TypeFor[lamppost.Charter](), "CharterOrder": reflect.TypeFor[lamppost.CharterBody](), "RestrictOrder": reflect.TypeFor[lamppost.RestrictBody](),
	"ChannelOrder": reflect.TypeFor[lamppost.ChannelBody](), "Channel": reflect.TypeFor[api.Channel](), "ChannelList": reflect.TypeFor[api.ChannelList](),
	"Cash": reflect.TypeFor[api.Cash](), "Cashed": reflect.TypeFor[lamppost.Cashed](), "ContradictOrder": reflect.TypeFor[lamppost.ContradictBody](),
	"Contradiction": reflect.TypeFor[api.Contradiction](), "ContradictionList": reflect.TypeFor[api.ContradictionList](),
	"Centre": reflect.TypeFor[api.Centre](), "CentreOrder": reflect.TypeFor[lamppost.CentreBody](), "Period": reflect.TypeFor[api.Period](), "Payout": reflect.TypeFor[api.Payout](),
	"Spending": reflect.TypeFor[ledger.Spending](), "OfferOrder": reflect.TypeFor[lamppost.OfferBody](), "Offer": reflect.TypeFor[api.Offer](),
	"ContractOrder": reflect.TypeFor[lamppost.ContractBody](), "Contract": reflect.TypeFor[api.Contract](), "ContractRun": reflect.TypeFor[api.ContractRun](),
	"Call": reflect.TypeFor[lamppost.CallBody](), "ContractTrial": reflect.TypeFor[api.ContractTrial](), "ContractTried": reflect.TypeFor[api.ContractTried](),
	"Transfer": reflect.TypeFor[lamppost.TransferBody](), "InvoiceOrder": reflect.TypeFor[lamppost.InvoiceBody](),
	"AccountList": reflect.TypeFor[api.AccountList](), "Account": reflect.TypeFor[ledger.Account](), "InvoiceEntry": reflect.TypeFor[api.InvoiceEntry](),
	"Invoice": reflect.TypeFor[tariff.Invoice](), "InvoiceDetail": reflect.TypeFor[api.Invoice](),
	"Source": reflect.TypeFor[tariff.Source](), "Done": reflect.TypeFor[api.Done](), "NewDevice": reflect.TypeFor[api.NewDevice](), "NewToken": reflect.TypeFor[api.NewToken](),
	"DeviceToken": reflect.TypeFor[api.DeviceToken](), "Block": reflect.TypeFor[api.Block](),
	"MemberState": reflect.TypeFor[api.MemberState](), "Evidence": reflect.TypeFor[api.Evidence](), "Network": reflect.TypeFor[api.Network](), "NetworkChange": reflect.TypeFor[lamppost.NetworkBody](),
	"Orders": reflect.TypeFor[api.Orders](), "NewOrder": reflect.TypeFor[api.NewOrder](), "OrderResults": reflect.TypeFor[api.OrderResults](),
	"OrderResult": reflect.TypeFor[api.OrderResult](), "KnownDevice": reflect.TypeFor[api.KnownDevice](),
	"SummaryList": reflect.TypeFor[api.SummaryList](), "InvoiceSummary": reflect.TypeFor[shadow.Invoice](),
	"Due": reflect.TypeFor[books.Due](), "DueList": reflect.TypeFor[api.DueList](), "Payment": reflect.TypeFor[books.Payment](),
	"Payments": reflect.TypeFor[api.Payments](), "PaymentResult": reflect.TypeFor[api.PaymentResult](), "PaymentResults": reflect.TypeFor[api.PaymentResults](),
	"SEPAOrder": reflect.TypeFor[api.SEPAOrder](), "SEPAFile": reflect.TypeFor[api.SEPAFile](), "SEPALeft": reflect.TypeFor[api.SEPALeft](),
	"Keeping": reflect.TypeFor[api.Keeping](), "Retention": reflect.TypeFor[lamppost.RetentionBody](),
	"Hold": reflect.TypeFor[lamppost.HoldBody](), "Erasure": reflect.TypeFor[lamppost.EraseBody](),
	"Backup": reflect.TypeFor[api.Backup](), "BackupList": reflect.TypeFor[api.BackupList](), "NewBackup": reflect.TypeFor[api.NewBackup](),
	"SnapshotList": reflect.TypeFor[api.SnapshotList](),
	"Adoption":     reflect.TypeFor[api.Adoption](),
	"KeyHistory":   reflect.TypeFor[api.KeyHistory](), "Revoke": reflect.TypeFor[api.Revoke](), "GatewayList": reflect.TypeFor[api.GatewayList](),
	"Fraud": reflect.TypeFor[lamppost.FraudBody](), "Correction": reflect.TypeFor[lamppost.Correction](),
	"ExportStep": reflect.TypeFor[api.ExportStep](), "ExportResult": reflect.TypeFor[export.Result](),
	"Outlook": reflect.TypeFor[outlook.Outlook](), "Expected": reflect.TypeFor[outlook.Expected](), "BudgetUse": reflect.TypeFor[outlook.Budget](),
	"Comparison": reflect.TypeFor[outlook.Comparison](), "BudgetList": reflect.TypeFor[api.BudgetList](),
	"SharedModelList": reflect.TypeFor[api.SharedModelList](),
	"Alarm":           reflect.TypeFor[api.Alarm](), "NotifyTest": reflect.TypeFor[api.NotifyTest](), "AlarmList": reflect.TypeFor[api.AlarmList](),
	"VerdictEvidence": reflect.TypeFor[api.VerdictEvidence](), "VerdictEntry": reflect.TypeFor[ledger.Verdict](),
	"VerdictList": reflect.TypeFor[api.VerdictList](), "Verdict": reflect.TypeFor[api.Verdict](), "NewReview": reflect.TypeFor[api.NewReview](), "Watch": reflect.TypeFor[lamppost.WatchBody](),
	"AgentOrder": reflect.TypeFor[lamppost.AgentBody](), "Agent": reflect.TypeFor[api.Agent](), "AgentRecord": reflect.TypeFor[ledger.Record](), "Tally": reflect.TypeFor[ledger.Tally](),
	"DecisionEntry": reflect.TypeFor[ledger.Decision](), "DecisionBody": reflect.TypeFor[lamppost.Decision](), "Action": reflect.TypeFor[lamppost.Action](),
	"DecisionOutcome": reflect.TypeFor[lamppost.DecisionOutcome](), "DecisionWords": reflect.TypeFor[render.Decided](), "Decision": reflect.TypeFor[api.Decision](),
	"DecisionEvidence": reflect.TypeFor[api.DecisionEvidence](), "Update": reflect.TypeFor[lamppost.LearnBody](), "UpdateList": reflect.TypeFor[api.UpdateList](),
	"NewGateway": reflect.TypeFor[api.NewGateway](), "GatewayToken": reflect.TypeFor[api.GatewayToken](),
	"Fleet": reflect.TypeFor[advise.Fleet](), "FleetClass": reflect.TypeFor[advise.Class](), "FleetOrganisation": reflect.TypeFor[advise.Organisation](), "FleetFile": reflect.TypeFor[advise.FleetFile](), "FleetFileList": reflect.TypeFor[advise.FleetFileList](), "FleetNeeds": reflect.TypeFor[advise.Needs](),
	"Answer": reflect.TypeFor[advise.Answer](), "AdviceOption": reflect.TypeFor[advise.Option](), "ClassAdvice": reflect.TypeFor[advise.ClassAdvice](), "Prediction": reflect.TypeFor[advise.Prediction](),
	"Settings": reflect.TypeFor[explore.Point](), "Range": reflect.TypeFor[advise.Range](), "AdviceYear": reflect.TypeFor[advise.Year](),
}

// docs/api.md is the contract: its tables of routes, errors and fields are exactly what the code has, both ways.
func TestDocs(t *testing.T) {
	t.Parallel()
	tables := readTables(t, "../../docs/api.md")
	h := newHouse(t)
	patterns, who := h.server.Routes()
	routes := []string{"GET /metrics | token"}
	for _, p := range patterns {
		routes = append(routes, p+" | "+who[p])
	}
	compareTable(t, "Routes", tables["Routes"], routes)

	var errs []string
	for i, name := range lamppost.CodeNames() {
		if code := lamppost.Code(i); !code.Accepted() {
			errs = append(errs, fmt.Sprintf("%s | %d", name, api.StatusOf[code]))
		}
	}
	errs = append(errs, "unauthorized | 401", "not_found | 404", "bad_request | 400", "internal | 500", "unknown_outcome | 504", "gone | 410", "unmatched | 409")
	compareTable(t, "Errors", tables["Errors"], errs)

	for name, shape := range shapes {
		compareTable(t, name, tables[name], fields("", shape))
	}
	for name := range tables {
		if _, ok := shapes[name]; !ok && name != "Routes" && name != "Errors" {
			t.Errorf("docs/api.md has a table %q that no test compares", name)
		}
	}
}

// readTables returns the rows of every table by the heading above it: all cells but the last, which is for people.
func readTables(t *testing.T, path string) map[string][]string {
	t.Helper()
	text, err := os.ReadFile(path)
	must(t, err)
	tables := map[string][]string{}
	heading := ""
	for _, line := range strings.Split(string(text), "\n") {
		if strings.HasPrefix(line, "#") {
			heading = strings.TrimLeft(line, "# ")
		}
		if !strings.HasPrefix(line, "| `") {
			continue
		}
		cells := strings.Split(strings.Trim(line, "|"), "|")
		for i := range cells {
			cells[i] = strings.Trim(cells[i], " `")
		}
		tables[heading] = append(tables[heading], strings.Join(cells[:len(cells)-1], " | "))
	}
	return tables
}

func compareTable(t *testing.T, name string, docs, code []string) {
	t.Helper()
	for _, row := range code {
		if !slices.Contains(docs, row) {
			t.Errorf("docs/api.md, table %q, lacks %q", name, row)
		}
	}
	for _, row := range docs {
		if !slices.Contains(code, row) {
			t.Errorf("docs/api.md, table %q, has %q, which the code has not", name, row)
		}
	}
}

// fields lists the paths of a shape's JSON fields: "engine.height", "devices[].id", "totals.billed{}".
func fields(at string, t reflect.Type) (all []string) {
	if t == reflect.TypeFor[lamppost.Setpoints]() {
		return []string{at} // an object by name
	}
	switch t.Kind() {
	case reflect.Pointer:
		return fields(at, t.Elem())
	case reflect.Slice:
		if t.Elem().Kind() == reflect.Uint8 {
			return []string{at}
		}
		return fields(at+"[]", t.Elem())
	case reflect.Map:
		return []string{at + "{}"}
	case reflect.Struct:
	default:
		return []string{at}
	}
	if _, ok := t.MethodByName("MarshalText"); ok || at != "" && isShape(t) {
		return []string{at}
	}
	for i := range t.NumField() {
		f := t.Field(i)
		name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
		switch {
		case name == "-" || !f.IsExported():
		case f.Anonymous && isShape(f.Type): // all its fields
		case f.Anonymous && name == "":
			all = append(all, fields(at, f.Type)...)
		case at == "":
			all = append(all, fields(name, f.Type)...)
		default:
			all = append(all, fields(at+"."+name, f.Type)...)
		}
	}
	return all
}

func isShape(t reflect.Type) bool {
	for _, shape := range shapes {
		if shape == t {
			return true
		}
	}
	return false
}
