package main

import (
	"bytes"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"mime/multipart"
	"net/http"
	"net/http/httptest"
	"net/textproto"
	"net/url"
	"strconv"
	"strings"
	"sync"
)

// uploads are the resumable uploads. The fake adds up whatever it is sent, takes the question how much it has for the
// end of the upload, and has forgotten an upload that is done; a client that tries again after a fault needs better.
// So the parts are gathered here, and the fake gets the whole.
type uploads struct {
	mu       sync.Mutex
	sessions map[string]*upload
}

type upload struct {
	mu          sync.Mutex // parts of one upload are taken one at a time
	path        string
	query       url.Values
	metadata    []byte
	contentType string
	received    []byte
	answer      *httptest.ResponseRecorder // of the finished upload
}

// isResumable tells whether a request begins, continues or ends a resumable upload.
func isResumable(r *http.Request) bool {
	query := r.URL.Query()
	return strings.HasPrefix(r.URL.Path, "/upload/storage/v1/b/") &&
		(query.Has("upload_id") || query.Get("uploadType") == "resumable")
}

func (s *storage) resumable(r *http.Request, body []byte) *httptest.ResponseRecorder {
	id := r.URL.Query().Get("upload_id")
	if id == "" {
		return s.begin(r, body)
	}
	s.uploads.mu.Lock()
	session := s.uploads.sessions[id]
	if r.Method == http.MethodDelete {
		delete(s.uploads.sessions, id)
	}
	s.uploads.mu.Unlock()
	if session == nil {
		return failure(http.StatusNotFound, "notFound", "No such upload")
	}
	if r.Method == http.MethodDelete {
		return failure(499, "clientClosedRequest", "The upload is cancelled")
	}
	session.mu.Lock()
	defer session.mu.Unlock()
	return s.proceed(r, session, body)
}

// begin opens an upload.
func (s *storage) begin(r *http.Request, body []byte) *httptest.ResponseRecorder {
	bucket := strings.Split(strings.TrimPrefix(r.URL.Path, "/upload/storage/v1/b/"), "/")[0]
	look := httptest.NewRequest(http.MethodGet, "http://"+s.address+bucketsPath+url.PathEscape(bucket), nil)
	if found := s.handle(look, nil); found.Code != http.StatusOK {
		return found
	}
	metadata := map[string]any{}
	if len(body) > 0 {
		if err := json.Unmarshal(body, &metadata); err != nil {
			return failure(http.StatusBadRequest, "invalid", err.Error())
		}
	}
	query := r.URL.Query()
	if name := query.Get("name"); name != "" {
		metadata["name"] = name
	}
	if metadata["name"] == nil {
		return failure(http.StatusBadRequest, "required", "The object's name is missing")
	}
	session := &upload{path: r.URL.EscapedPath(), query: query, contentType: r.Header.Get("X-Upload-Content-Type")}
	if contentType, _ := metadata["contentType"].(string); contentType != "" {
		session.contentType = contentType
	}
	session.metadata, _ = json.Marshal(metadata)

	id := rand.Text()
	s.uploads.mu.Lock()
	s.uploads.sessions[id] = session
	s.uploads.mu.Unlock()

	answer := httptest.NewRecorder()
	answer.Header().Set("Location", fmt.Sprintf("http://%s%s?uploadType=resumable&upload_id=%s", r.Host, session.path, id))
	answer.Header().Set("X-GUploader-UploadID", id)
	return answer
}

// proceed takes a part of an upload, or tells how much has come.
func (s *storage) proceed(r *http.Request, session *upload, body []byte) *httptest.ResponseRecorder {
	if session.answer != nil {
		return session.answer
	}
	first, total, err := parseContentRange(r.Header.Get("Content-Range"), len(body))
	if err != nil {
		return failure(http.StatusBadRequest, "invalid", err.Error())
	}
	have := int64(len(session.received))
	if first > have {
		return failure(http.StatusServiceUnavailable, "backendError", "Bytes before these are missing")
	}
	if first >= 0 && first+int64(len(body)) > have { // What came before is skipped: it was sent again.
		session.received = append(session.received, body[have-first:]...)
	}
	if total < 0 || int64(len(session.received)) < total {
		return session.incomplete()
	}
	answer := s.finish(r, session)
	if answer.Code == http.StatusOK {
		session.answer = answer
	}
	return answer
}

func (u *upload) incomplete() *httptest.ResponseRecorder {
	answer := httptest.NewRecorder()
	if len(u.received) > 0 {
		answer.Header().Set("Range", fmt.Sprintf("bytes=0-%d", len(u.received)-1))
	}
	answer.WriteHeader(http.StatusPermanentRedirect)
	return answer
}

// finish hands the whole of an upload to the fake, as an upload in one request with the same preconditions.
func (s *storage) finish(r *http.Request, session *upload) *httptest.ResponseRecorder {
	var body bytes.Buffer
	parts := multipart.NewWriter(&body)
	for _, part := range []struct {
		contentType string
		content     []byte
	}{{"application/json", session.metadata}, {session.contentType, session.received}} {
		if part.contentType == "" {
			part.contentType = "application/octet-stream"
		}
		writer, _ := parts.CreatePart(textproto.MIMEHeader{"Content-Type": {part.contentType}})
		_, _ = writer.Write(part.content)
	}
	_ = parts.Close()

	query := url.Values{}
	for name, values := range session.query {
		query[name] = values
	}
	query.Set("uploadType", "multipart")
	request := httptest.NewRequest(http.MethodPost, "http://"+r.Host+session.path+"?"+query.Encode(), nil)
	request.Header.Set("Content-Type", "multipart/related; boundary="+parts.Boundary())
	return s.handle(request, body.Bytes())
}

// parseContentRange reads "bytes 0-99/200": where these bytes begin and how many there will be. Either is -1 if it
// isn't told, as in "bytes */*", which asks how many have come.
func parseContentRange(header string, length int) (first, total int64, err error) {
	if header == "" { // All in one.
		return 0, int64(length), nil
	}
	bad := fmt.Errorf("the header Content-Range is not understood: %q", header)
	span, size, found := strings.Cut(strings.TrimPrefix(header, "bytes "), "/")
	if !found {
		return 0, 0, bad
	}
	first, total = -1, -1
	if size != "*" {
		if total, err = strconv.ParseInt(size, 10, 64); err != nil {
			return 0, 0, bad
		}
	}
	if span != "*" {
		from, _, _ := strings.Cut(span, "-")
		if first, err = strconv.ParseInt(from, 10, 64); err != nil {
			return 0, 0, bad
		}
	}
	return first, total, nil
}
