package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strconv"
	"strings"
	"sync"

	"github.com/fsouza/fake-gcs-server/fakestorage"
)

const bucketsPath = "/storage/v1/b/"

// storage is fake-gcs-server, with what it lacks of the real service's behaviour put in front of it: preconditions on
// every kind of request, resumable uploads that can be resumed, the batch endpoint, and metagenerations.
//
// Requests that change something are handled one at a time and the others while none of those is, so that a
// precondition still holds when its request is carried out. Bodies are read before and answers written after that, so
// that a slow client keeps nobody waiting.
type storage struct {
	fake    http.Handler
	address string
	root    string

	mu              sync.RWMutex
	metagenerations map[version]int64
	patched         map[int64]int64 // the generation that the fake gave a patched object -> the one that it keeps
	notifications   int             // how many the fake was told to make: it numbers them 1, 2, ...

	uploads uploads
}

// version is one generation of one object.
type version struct {
	bucket, object string
	generation     int64
}

func newStorage(root, address string) (*storage, error) {
	fake, err := fakestorage.NewServerWithOptions(fakestorage.Options{
		NoListener:  true,
		Scheme:      "http",
		StorageRoot: root,
		ExternalURL: "http://" + address,
		PublicHost:  address,
		Writer:      quiet{},
	})
	if err != nil {
		return nil, err
	}
	return &storage{
		fake:            fake.HTTPHandler(),
		address:         address,
		root:            root,
		metagenerations: map[version]int64{},
		patched:         map[int64]int64{},
		uploads:         uploads{sessions: map[string]*upload{}},
	}, nil
}

// quiet passes on the fake's complaints but not its log of every request.
type quiet struct{}

func (quiet) Write(line []byte) (int, error) {
	if bytes.HasPrefix(line, []byte("error")) {
		log.Print(string(line))
	}
	return len(line), nil
}

func (s *storage) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return // The client went away in the middle of its request.
	}
	var answer *httptest.ResponseRecorder
	switch {
	case strings.HasPrefix(r.URL.Path, "/batch/"):
		answer = s.batch(r, body)
	case isResumable(r):
		answer = s.resumable(r, body)
	default:
		answer = s.handle(r, body)
	}
	for name, values := range answer.Header() {
		w.Header()[name] = values
	}
	w.WriteHeader(answer.Code)
	_, _ = w.Write(answer.Body.Bytes())
}

// handle answers one request, as a whole.
func (s *storage) handle(r *http.Request, body []byte) *httptest.ResponseRecorder {
	if r.Method == http.MethodGet || r.Method == http.MethodHead {
		s.mu.RLock()
		defer s.mu.RUnlock()
	} else {
		s.mu.Lock()
		defer s.mu.Unlock()
	}
	target, isObject := parseTarget(r)
	if isObject {
		if refusal := s.checkPreconditions(r, target, body); refusal != nil {
			return refusal
		}
	}
	switch {
	case isObject && target.isPatch(r):
		return s.patch(r, target, body)
	case r.Method == http.MethodPost && strings.HasSuffix(r.URL.Path, "/notificationConfigs"):
		return s.notify(r, body)
	}
	answer := s.ask(r, body)
	if isObject && r.Method == http.MethodDelete && answer.Code == http.StatusOK {
		answer = httptest.NewRecorder()
		answer.WriteHeader(http.StatusNoContent)
	}
	return s.withMetagenerations(answer)
}

// ask lets the fake answer a request.
func (s *storage) ask(r *http.Request, body []byte) *httptest.ResponseRecorder {
	request := r.Clone(r.Context())
	request.Body = io.NopCloser(bytes.NewReader(body))
	request.ContentLength = int64(len(body))
	answer := httptest.NewRecorder()
	s.fake.ServeHTTP(answer, request)
	return answer
}

// resource is what preconditions and notifications need of an object's metadata.
type resource struct {
	Generation     int64  `json:"generation,string"`
	Metageneration int64  `json:"metageneration,string"`
	Etag           string `json:"etag"`
	raw            *httptest.ResponseRecorder
}

// describe returns an object's metadata; its generation is 0 if there is no such object.
func (s *storage) describe(bucket, object string) resource {
	path := bucketsPath + url.PathEscape(bucket) + "/o/" + url.PathEscape(object)
	request := httptest.NewRequest(http.MethodGet, "http://"+s.address+path, nil)
	answer := s.withMetagenerations(s.ask(request, nil))
	var found resource
	if answer.Code != http.StatusOK || json.Unmarshal(answer.Body.Bytes(), &found) != nil {
		return resource{}
	}
	found.raw = answer
	return found
}

// patch changes an object's metadata. The fake makes a new generation of it; the real service keeps the generation
// and counts the metageneration up.
func (s *storage) patch(r *http.Request, target target, body []byte) *httptest.ResponseRecorder {
	before := s.describe(target.bucket, target.object)
	answer := s.ask(r, body)
	if answer.Code != http.StatusOK {
		return answer
	}
	after := s.describe(target.bucket, target.object)
	if err := keepGeneration(s.root, target.bucket, target.object, before.Generation); err != nil {
		return failure(http.StatusInternalServerError, "internalError", err.Error())
	}
	s.patched[after.Generation] = before.Generation
	s.metagenerations[version{target.bucket, target.object, before.Generation}] = before.Metageneration + 1
	return s.describe(target.bucket, target.object).raw
}

// notify adds a notification to a bucket, such that its messages name it.
func (s *storage) notify(r *http.Request, body []byte) *httptest.ResponseRecorder {
	config := map[string]any{}
	if err := json.Unmarshal(body, &config); err != nil {
		return failure(http.StatusBadRequest, "invalid", err.Error())
	}
	attributes, _ := config["custom_attributes"].(map[string]any)
	if attributes == nil {
		attributes = map[string]any{}
	}
	bucket := strings.TrimSuffix(strings.TrimPrefix(r.URL.Path, bucketsPath), "/notificationConfigs")
	attributes["notificationConfig"] = fmt.Sprintf("projects/_/buckets/%s/notificationConfigs/%d", bucket,
		s.notifications+1)
	config["custom_attributes"] = attributes
	extended, _ := json.Marshal(config)
	answer := s.ask(r, extended)
	if answer.Code < 300 {
		s.notifications++
	}
	return answer
}

// withMetagenerations puts the metagenerations of patched objects, which the fake believes to be 1, into an answer.
func (s *storage) withMetagenerations(answer *httptest.ResponseRecorder) *httptest.ResponseRecorder {
	if len(s.metagenerations) == 0 || !bytes.HasPrefix(answer.Body.Bytes(), []byte(`{"kind":"storage#`)) {
		return answer
	}
	var content map[string]any
	if json.Unmarshal(answer.Body.Bytes(), &content) != nil {
		return answer
	}
	objects := []any{content}
	if items, isList := content["items"].([]any); isList {
		objects = items
	}
	for _, item := range objects {
		object, _ := item.(map[string]any)
		bucket, _ := object["bucket"].(string)
		name, _ := object["name"].(string)
		text, _ := object["generation"].(string)
		generation, _ := strconv.ParseInt(text, 10, 64)
		if metageneration, known := s.metagenerations[version{bucket, name, generation}]; known {
			object["metageneration"] = strconv.FormatInt(metageneration, 10)
		}
	}
	answer.Body.Reset()
	_ = json.NewEncoder(answer.Body).Encode(content)
	return answer
}

// failure makes an error answer of the form that the JSON API uses.
func failure(code int, reason, message string) *httptest.ResponseRecorder {
	answer := httptest.NewRecorder()
	answer.Header().Set("Content-Type", "application/json; charset=UTF-8")
	answer.WriteHeader(code)
	if code == http.StatusNotModified {
		return answer
	}
	_ = json.NewEncoder(answer).Encode(map[string]any{"error": map[string]any{
		"code":    code,
		"message": message,
		"errors":  []map[string]string{{"domain": "global", "reason": reason, "message": message}},
	}})
	return answer
}
