// local-cloud runs Cloud Storage and Pub/Sub on this machine, for tests and demos.
//
// It prints one line of JSON with the two addresses when it is ready, and ends when its standard input is closed, so
// that it never outlives the process that started it.
package main

import (
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"os"
)

func main() {
	storageAddress := flag.String("storage", "127.0.0.1:0", "where Cloud Storage listens; port 0 is any free one")
	pubsubAddress := flag.String("pubsub", "127.0.0.1:0", "where Pub/Sub listens; port 0 is any free one")
	root := flag.String("root", "", "the folder that holds the buckets")
	remove := flag.String("remove", "", "a folder that is removed in the end")
	flag.Parse()
	if *root == "" {
		log.Fatal("local-cloud: --root=FOLDER is needed")
	}

	pubsubListener := listen(*pubsubAddress)
	storageListener := listen(*storageAddress)
	// The storage server publishes its notifications as any client would, and looks here for the address.
	if err := os.Setenv("PUBSUB_EMULATOR_HOST", pubsubListener.Addr().String()); err != nil {
		log.Fatal(err)
	}
	storage, err := newStorage(*root, storageListener.Addr().String())
	if err != nil {
		log.Fatalf("local-cloud: %v", err)
	}
	go func() { log.Fatal(newPubsub(storage).Serve(pubsubListener)) }()
	go func() { log.Fatal(http.Serve(storageListener, storage)) }()

	ready, _ := json.Marshal(map[string]string{
		"storage": "http://" + storageListener.Addr().String(),
		"pubsub":  pubsubListener.Addr().String(),
	})
	fmt.Println(string(ready))
	_, _ = io.Copy(io.Discard, os.Stdin)
	if *remove != "" {
		_ = os.RemoveAll(*remove)
	}
}

func listen(address string) net.Listener {
	listener, err := net.Listen("tcp", address)
	if err != nil {
		log.Fatalf("local-cloud: %v", err)
	}
	return listener
}
