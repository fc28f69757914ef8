package sepa

import "github.com/lamppost/lamppost"

// The elements of both messages, in the order that the formats demand.

type header struct {
	ID        string `xml:"MsgId"`
	Created   string `xml:"CreDtTm"`
	N         int    `xml:"NbOfTxs"`
	Sum       string `xml:"CtrlSum"`
	Initiator string `xml:"InitgPty>Nm"`
}

type debits struct {
	ID         string  `xml:"PmtInfId"`
	Method     string  `xml:"PmtMtd"`
	N          int     `xml:"NbOfTxs"`
	Sum        string  `xml:"CtrlSum"`
	Service    string  `xml:"PmtTpInf>SvcLvl>Cd"`
	Instrument string  `xml:"PmtTpInf>LclInstrm>Cd"`
	Sequence   string  `xml:"PmtTpInf>SeqTp"`
	Date       string  `xml:"ReqdColltnDt"`
	Creditor   party   `xml:"Cdtr"`
	Account    string  `xml:"CdtrAcct>Id>IBAN"`
	Agent      agent   `xml:"CdtrAgt>FinInstnId"`
	Charges    string  `xml:"ChrgBr"`
	CreditorID string  `xml:"CdtrSchmeId>Id>PrvtId>Othr>Id"`
	Scheme     string  `xml:"CdtrSchmeId>Id>PrvtId>Othr>SchmeNm>Prtry"`
	Payments   []debit `xml:"DrctDbtTxInf"`
}

type debit struct {
	EndToEnd string `xml:"PmtId>EndToEndId"`
	Amount   amount `xml:"InstdAmt"`
	Mandate  string `xml:"DrctDbtTx>MndtRltdInf>MndtId"`
	Signed   string `xml:"DrctDbtTx>MndtRltdInf>DtOfSgntr"`
	Agent    agent  `xml:"DbtrAgt>FinInstnId"`
	Debtor   party  `xml:"Dbtr"`
	Account  string `xml:"DbtrAcct>Id>IBAN"`
	Text     string `xml:"RmtInf>Ustrd"`
}

type credits struct {
	ID       string   `xml:"PmtInfId"`
	Method   string   `xml:"PmtMtd"`
	N        int      `xml:"NbOfTxs"`
	Sum      string   `xml:"CtrlSum"`
	Service  string   `xml:"PmtTpInf>SvcLvl>Cd"`
	Date     string   `xml:"ReqdExctnDt>Dt"`
	Debtor   party    `xml:"Dbtr"`
	Account  string   `xml:"DbtrAcct>Id>IBAN"`
	Agent    agent    `xml:"DbtrAgt>FinInstnId"`
	Charges  string   `xml:"ChrgBr"`
	Payments []credit `xml:"CdtTrfTxInf"`
}

type credit struct {
	EndToEnd string `xml:"PmtId>EndToEndId"`
	Amount   amount `xml:"Amt>InstdAmt"`
	Agent    *agent `xml:"CdtrAgt>FinInstnId"`
	Creditor party  `xml:"Cdtr"`
	Account  string `xml:"CdtrAcct>Id>IBAN"`
	Text     string `xml:"RmtInf>Ustrd"`
}

type amount struct {
	Currency string `xml:"Ccy,attr"`
	Value    string `xml:",chardata"`
}

func amountOf(m lamppost.Micro) amount { return amount{"EUR", euros(m)} }

// An agent is a bank: by its BIC, or by nothing, since an IBAN says it all.
type agent struct {
	BIC   string `xml:"BICFI,omitempty"`
	Other string `xml:"Othr>Id,omitempty"`
}

func agentOf(p Party) agent {
	if p.BIC == "" {
		return agent{Other: "NOTPROVIDED"}
	}
	return agent{BIC: p.BIC}
}

type party struct {
	Name    string   `xml:"Nm"`
	Address *address `xml:"PstlAdr"`
}

type address struct {
	Street   string `xml:"StrtNm,omitempty"`
	Postcode string `xml:"PstCd,omitempty"`
	City     string `xml:"TwnNm,omitempty"`
	Country  string `xml:"Ctry,omitempty"`
}

func name(p Party) party { return party{Name: Latin(p.Name)} }

// full has the address too, where at least town and country are known: EPC rules want both.
func full(p Party) party {
	x := name(p)
	if p.City != "" && p.Country != "" {
		x.Address = &address{Latin(p.Street), Latin(p.Postcode), Latin(p.City), p.Country}
	}
	return x
}
