package main

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
)

func TestLayersStopTopDown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var mu sync.Mutex
		var stopped []string
		l := func(name string) layer {
			return layer{name, func(ctx context.Context) error {
				<-ctx.Done()
				mu.Lock()
				defer mu.Unlock()
				stopped = append(stopped, name)
				return nil
			}}
		}
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error)
		go func() { done <- runLayers(ctx, []layer{l("store"), l("smpp"), l("http")}) }()
		synctest.Wait()
		cancel()
		if err := <-done; err != nil {
			t.Fatalf("runLayers: %v", err)
		}
		if want := []string{"http", "smpp", "store"}; !slices.Equal(stopped, want) {
			t.Fatalf("stopped in the order %v, want %v", stopped, want)
		}
	})
}

func TestLayerThatFailsEndsTheOthers(t *testing.T) {
	broken := errors.New("disk on fire")
	below := false
	err := runLayers(t.Context(), []layer{
		{"store", func(ctx context.Context) error { <-ctx.Done(); below = true; return nil }},
		{"smpp", func(context.Context) error { return broken }},
	})
	if !errors.Is(err, broken) || !strings.HasPrefix(err.Error(), "smpp: ") {
		t.Fatalf("runLayers: %v, want the failure of smpp", err)
	}
	if !below {
		t.Fatal("the layer below was not stopped")
	}
}

func TestLayerThatEndsByItselfIsAnError(t *testing.T) {
	err := runLayers(t.Context(), []layer{{"admin", func(context.Context) error { return nil }}})
	if err == nil || err.Error() != "admin: ended by itself" {
		t.Fatalf("runLayers: %v", err)
	}
}
