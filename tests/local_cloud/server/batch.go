package main

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"mime"
	"mime/multipart"
	"net/http"
	"net/http/httptest"
	"net/textproto"
	"strings"
)

// batch answers many requests in one.
func (s *storage) batch(r *http.Request, body []byte) *httptest.ResponseRecorder {
	_, parameters, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	if err != nil {
		return failure(http.StatusBadRequest, "invalid", err.Error())
	}
	requests := multipart.NewReader(bytes.NewReader(body), parameters["boundary"])
	answer := httptest.NewRecorder()
	answers := multipart.NewWriter(answer.Body)
	answer.Header().Set("Content-Type", "multipart/mixed; boundary="+answers.Boundary())
	for {
		part, err := requests.NextPart()
		if err == io.EOF {
			break
		}
		if err != nil {
			return failure(http.StatusBadRequest, "invalid", err.Error())
		}
		header := textproto.MIMEHeader{"Content-Type": {"application/http"}}
		if id := part.Header.Get("Content-ID"); id != "" {
			header.Set("Content-ID", strings.Replace(id, "<", "<response-", 1))
		}
		writer, _ := answers.CreatePart(header)
		writeAnswer(writer, s.inner(r, part))
	}
	_ = answers.Close()
	return answer
}

// inner answers one request of a batch.
func (s *storage) inner(outer *http.Request, part io.Reader) *httptest.ResponseRecorder {
	// Requests without a body come without the empty line that ends the header.
	text := io.MultiReader(part, strings.NewReader("\r\n\r\n"))
	request, err := http.ReadRequest(bufio.NewReader(text))
	if err != nil {
		return failure(http.StatusBadRequest, "invalid", err.Error())
	}
	request.Host = outer.Host
	body, err := io.ReadAll(request.Body)
	if err != nil {
		return failure(http.StatusBadRequest, "invalid", err.Error())
	}
	return s.handle(request, body)
}

func writeAnswer(w io.Writer, answer *httptest.ResponseRecorder) {
	fmt.Fprintf(w, "HTTP/1.1 %d %s\r\n", answer.Code, http.StatusText(answer.Code))
	if contentType := answer.Header().Get("Content-Type"); contentType != "" {
		fmt.Fprintf(w, "Content-Type: %s\r\n", contentType)
	}
	fmt.Fprintf(w, "Content-Length: %d\r\n\r\n%s\r\n", answer.Body.Len(), answer.Body.Bytes())
}
