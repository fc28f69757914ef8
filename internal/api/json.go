package api

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"

	"github.com/lamppost/lamppost"
	"github.com/lamppost/lamppost/internal/consensus"
)

// A statusError is an answer that is decided: it is told to whoever asked, as it is.
type statusError struct {
	status int
	code   string
	text   string
}

// Error returns the text with its code.
func (e *statusError) Error() string { return e.code + ": " + e.text }

var errUnauthorized = &statusError{http.StatusUnauthorized, "unauthorized",
	"this needs the administrator's token: send Authorization: Bearer <token>, or open /login?token=<token> in a browser; the token is in the node's data folder, in admin.token"}

func notFound(format string, args ...any) error {
	return &statusError{http.StatusNotFound, "not_found", fmt.Sprintf(format, args...)}
}

func badRequest(format string, args ...any) error {
	return &statusError{http.StatusBadRequest, "bad_request", fmt.Sprintf(format, args...)}
}

// notReady asks to come again in a second.
func notReady(text string) error {
	return &statusError{http.StatusServiceUnavailable, lamppost.CodeNotReady.String(), text}
}

// statusOf is the HTTP status of a refusal. An order that is not ready needs something else first, so asking again at
// once is no use: it is a conflict, while a proof that is not ready is only a matter of a second.
var statusOf = map[lamppost.Code]int{
	lamppost.CodeBadReport: http.StatusBadRequest, lamppost.CodeTooLarge: http.StatusRequestEntityTooLarge,
	lamppost.CodeBadSignature: http.StatusUnprocessableEntity, lamppost.CodeUnknown: http.StatusUnprocessableEntity,
	lamppost.CodeReused: http.StatusConflict, lamppost.CodeTooOld: http.StatusConflict,
	lamppost.CodeAhead: http.StatusUnprocessableEntity, lamppost.CodeFloatBilled: http.StatusUnprocessableEntity,
	lamppost.CodeBadEvidence: http.StatusUnprocessableEntity,
	lamppost.CodeQuarantined: http.StatusForbidden, lamppost.CodeForbidden: http.StatusForbidden,
	lamppost.CodeBadTx: http.StatusBadRequest, lamppost.CodeExpired: http.StatusConflict,
	lamppost.CodeExists: http.StatusConflict, lamppost.CodeNoFunds: http.StatusConflict,
	lamppost.CodeNotReady: http.StatusConflict, lamppost.CodeBusy: http.StatusServiceUnavailable,
}

// answerOf turns an error into an answer.
func answerOf(err error) *statusError {
	var known *statusError
	var refusal *lamppost.Refusal
	var notLeader *consensus.NotLeaderError
	switch {
	case errors.As(err, &known):
		return known
	case errors.As(err, &refusal):
		status, ok := statusOf[refusal.Code]
		if !ok {
			status = http.StatusBadRequest
		}
		return &statusError{status, refusal.Code.String(), refusal.Text}
	case errors.Is(err, consensus.ErrBusy):
		return &statusError{http.StatusServiceUnavailable, lamppost.CodeBusy.String(), "the node has more orders waiting than it takes: nothing was done, try again"}
	case errors.Is(err, consensus.ErrTooLarge):
		return &statusError{http.StatusRequestEntityTooLarge, lamppost.CodeTooLarge.String(), "the order is larger than the consensus engine takes: nothing was done"}
	case errors.As(err, &notLeader):
		return &statusError{http.StatusServiceUnavailable, lamppost.CodeBusy.String(), fmt.Sprintf("member %q leads now: nothing was done, ask there", notLeader.Leader)}
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, consensus.ErrStopped):
		return &statusError{http.StatusGatewayTimeout, "unknown_outcome", "the order was not decided in time and may still be: look whether it took effect before you repeat it"}
	default:
		return &statusError{http.StatusInternalServerError, "internal", "the node could not answer; its log says why"}
	}
}

// writeError answers with an error and returns the HTTP status.
func writeError(w http.ResponseWriter, err error) int {
	a := answerOf(err)
	if a.status == http.StatusServiceUnavailable {
		w.Header().Set("Retry-After", "1")
	}
	if a.status == http.StatusUnauthorized {
		w.Header().Set("WWW-Authenticate", `Bearer realm="lamppost"`)
	}
	writeJSON(w, a.status, Error{a.code, a.text})
	return a.status
}

// writeJSON answers with a value. An error of writing means that nobody listens any more.
func writeJSON(w http.ResponseWriter, status int, v any) error {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	enc := json.NewEncoder(w)
	enc.SetEscapeHTML(false)
	enc.Encode(v)
	return nil
}

// readJSON reads a request's body strictly: exactly one value, without fields that nobody would look at.
func readJSON(r *http.Request, v any) error {
	dec := json.NewDecoder(r.Body)
	dec.DisallowUnknownFields()
	if err := dec.Decode(v); err != nil {
		return badBody(err)
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return badRequest("body: something stands after the JSON value")
	}
	return nil
}

// badBody says which field is wrong and what it should be.
func badBody(err error) error {
	var tooLarge *http.MaxBytesError
	var wrongType *json.UnmarshalTypeError
	var syntax *json.SyntaxError
	switch {
	case errors.As(err, &tooLarge):
		return &statusError{http.StatusRequestEntityTooLarge, lamppost.CodeTooLarge.String(), fmt.Sprintf("body: longer than %d bytes", tooLarge.Limit)}
	case errors.As(err, &wrongType) && wrongType.Field != "":
		return badRequest("body: field %q is a JSON %s; expected %s", wrongType.Field, wrongType.Value, kindWords(wrongType.Type.String()))
	case errors.As(err, &wrongType):
		return badRequest("body: a JSON %s; expected an object", wrongType.Value)
	case errors.As(err, &syntax):
		return badRequest("body: not JSON: byte %d: %v", syntax.Offset, err)
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return badRequest("body: empty or cut short; expected a JSON object")
	default:
		return badRequest("body: %s", strings.TrimPrefix(err.Error(), "json: "))
	}
}

func kindWords(goType string) string {
	switch {
	case strings.HasSuffix(goType, "Micro"), strings.HasSuffix(goType, "Decimal"):
		return `a decimal number as a string, such as "12.34"`
	case strings.HasSuffix(goType, "TimeMS"):
		return "milliseconds since 1970 as an integer"
	case strings.HasPrefix(goType, "uint"), strings.HasPrefix(goType, "int"):
		return "an integer (" + goType + ")"
	case strings.HasPrefix(goType, "[]"):
		return "an array"
	case goType == "string", strings.HasSuffix(goType, "ID"):
		return "a string"
	default:
		return "an object"
	}
}
