package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net/url"
	"strconv"
	"sync"
	"time"

	"cloud.google.com/go/pubsub/v2/apiv1/pubsubpb"
	"cloud.google.com/go/pubsub/v2/pstest"
	"google.golang.org/grpc"
	"google.golang.org/protobuf/proto"
)

const (
	emptyPull       = time.Second           // how long a pull waits for a message
	betweenLooks    = 20 * time.Millisecond // how often it looks
	usualDeadline   = 10                    // seconds that a subscriber has, if the subscription names none
	largestRequest  = 20 << 20
	eventTimeFormat = "2006-01-02T15:04:05.000000Z"
)

// newPubsub makes a Pub/Sub server: Google's fake for tests, with the manners of the real one.
func newPubsub(storage *storage) *grpc.Server {
	fake := &pstest.NewServer().GServer // It listens on a port of its own, too, which nobody uses.
	server := grpc.NewServer(
		grpc.MaxRecvMsgSize(largestRequest),
		grpc.UnaryInterceptor(func(
			ctx context.Context, request any, _ *grpc.UnaryServerInfo, next grpc.UnaryHandler,
		) (any, error) {
			switch typed := request.(type) {
			case *pubsubpb.PullRequest:
				return pull(ctx, typed, next)
			case *pubsubpb.PublishRequest:
				for _, message := range typed.Messages {
					storage.completeNotification(message)
				}
			case *pubsubpb.Subscription:
				if typed.AckDeadlineSeconds == 0 {
					typed.AckDeadlineSeconds = usualDeadline
				}
			}
			return next(ctx, request)
		}),
		grpc.StreamInterceptor(func(
			service any, stream grpc.ServerStream, _ *grpc.StreamServerInfo, next grpc.StreamHandler,
		) error {
			return next(service, &pinged{ServerStream: stream})
		}),
	)
	pubsubpb.RegisterPublisherServer(server, fake)
	pubsubpb.RegisterSubscriberServer(server, fake)
	pubsubpb.RegisterSchemaServiceServer(server, fake)
	return server
}

// pull waits a moment for messages and answers without any rather than with an error, whatever the client's deadline.
func pull(ctx context.Context, request *pubsubpb.PullRequest, next grpc.UnaryHandler) (any, error) {
	wait := emptyPull
	if deadline, known := ctx.Deadline(); known {
		wait = min(wait, time.Until(deadline)-5*betweenLooks)
	}
	if request.ReturnImmediately {
		wait = 0
	}
	end := time.Now().Add(wait)
	look := proto.Clone(request).(*pubsubpb.PullRequest)
	look.ReturnImmediately = true
	for {
		answer, err := next(ctx, look)
		if err != nil {
			return nil, err
		}
		if len(answer.(*pubsubpb.PullResponse).ReceivedMessages) > 0 || !time.Now().Before(end) {
			return answer, nil
		}
		select {
		case <-ctx.Done():
			return &pubsubpb.PullResponse{}, nil
		case <-time.After(betweenLooks):
		}
	}
}

// pinged answers a subscriber's signs of life itself: the fake holds its only lock until the answer is sent, which is
// for ever if the subscriber has gone.
type pinged struct {
	grpc.ServerStream
	sending sync.Mutex
	begun   bool
}

func (p *pinged) SendMsg(message any) error {
	p.sending.Lock()
	defer p.sending.Unlock()
	return p.ServerStream.SendMsg(message)
}

func (p *pinged) RecvMsg(message any) error {
	for {
		if err := p.ServerStream.RecvMsg(message); err != nil {
			return err
		}
		request, isPull := message.(*pubsubpb.StreamingPullRequest)
		isPing := isPull && p.begun && len(request.AckIds) == 0 && len(request.ModifyDeadlineAckIds) == 0 &&
			request.StreamAckDeadlineSeconds == 0
		p.begun = true
		if !isPing {
			return nil
		}
		if err := p.SendMsg(&pubsubpb.StreamingPullResponse{}); err != nil {
			return err
		}
		proto.Reset(request)
	}
}

// completeNotification adds to a storage notification what the fake leaves out of it.
func (s *storage) completeNotification(message *pubsubpb.PubsubMessage) {
	attributes := message.Attributes
	if attributes["notificationConfig"] == "" {
		return
	}
	// The lock is free once the change that this message tells of is complete.
	s.mu.RLock()
	defer s.mu.RUnlock()
	generation, _ := strconv.ParseInt(attributes["objectGeneration"], 10, 64)
	if kept, patched := s.patched[generation]; patched {
		generation = kept
		attributes["objectGeneration"] = strconv.FormatInt(kept, 10)
	}
	attributes["eventTime"] = time.Now().UTC().Format(eventTimeFormat)
	object := map[string]any{}
	if json.Unmarshal(message.Data, &object) != nil {
		return // The notification is one without a payload.
	}
	bucket, name := attributes["bucketId"], attributes["objectId"]
	metageneration := max(s.metagenerations[version{bucket, name, generation}], 1)
	path := fmt.Sprintf("%s/o/%s", url.PathEscape(bucket), url.PathEscape(name))
	object["id"] = fmt.Sprintf("%s/%s/%d", bucket, name, generation)
	object["generation"] = strconv.FormatInt(generation, 10)
	object["metageneration"] = strconv.FormatInt(metageneration, 10)
	object["selfLink"] = fmt.Sprintf("http://%s%s%s", s.address, bucketsPath, path)
	object["mediaLink"] = fmt.Sprintf("http://%s/download%s%s?generation=%d&alt=media", s.address, bucketsPath, path,
		generation)
	if object["etag"] == nil {
		object["etag"] = object["md5Hash"]
	}
	message.Data, _ = json.Marshal(object)
}
