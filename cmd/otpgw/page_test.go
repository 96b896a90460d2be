package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/page"
	"github.com/chromedp/chromedp"
)

var screenshots = flag.String("screenshots", "", "directory that pictures of the status page are written to")

// browse opens a Chromium that ends with the test. Without one the test fails in CI and is skipped loudly elsewhere.
func browse(t *testing.T) context.Context {
	t.Helper()
	if _, err := exec.LookPath("chromium"); err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatal("chromium is missing: apt-get install chromium")
		}
		t.Skip("SKIPPED, NOT TESTED: chromium is missing (apt-get install chromium)")
	}
	options := append(chromedp.DefaultExecAllocatorOptions[:], chromedp.ExecPath("chromium"), chromedp.NoSandbox, chromedp.DisableGPU, chromedp.WindowSize(1100, 900))
	ctx, cancel := chromedp.NewExecAllocator(context.Background(), options...)
	t.Cleanup(cancel)
	ctx, cancel = chromedp.NewContext(ctx)
	t.Cleanup(cancel)
	ctx, cancel = context.WithTimeout(ctx, 2*patience)
	t.Cleanup(cancel)
	return ctx
}

// seen waits until the text of the page's element matches.
func seen(selector, want string) chromedp.Action {
	return chromedp.ActionFunc(func(ctx context.Context) error {
		var text string
		deadline := time.Now().Add(patience)
		for time.Now().Before(deadline) {
			// Not by chromedp.Text: the page replaces its nodes while they are read.
			script := fmt.Sprintf("document.querySelector(%q)?.innerText ?? ''", selector)
			if err := chromedp.Evaluate(script, &text).Do(ctx); err != nil {
				return err
			}
			if strings.Contains(text, want) {
				return nil
			}
			if err := chromedp.Sleep(50 * time.Millisecond).Do(ctx); err != nil {
				return err
			}
		}
		return fmt.Errorf("%s shows %q, not %q", selector, text, want)
	})
}

// click clicks on the first element of that kind.
func click(selector string) chromedp.Action {
	return chromedp.Evaluate(fmt.Sprintf("document.querySelector(%q).click()", selector), nil)
}

// picture writes what the page looks like to name, where pictures are wanted.
func picture(t *testing.T, name string) chromedp.Action {
	return chromedp.ActionFunc(func(ctx context.Context) error {
		if *screenshots == "" {
			return nil
		}
		var png []byte
		if err := chromedp.FullScreenshot(&png, 100).Do(ctx); err != nil {
			return err
		}
		return os.WriteFile(filepath.Join(*screenshots, name), png, 0o644)
	})
}

func TestStatusPageInABrowser(t *testing.T) {
	const password = "a password of the page"
	i := newIDP(t)
	i.come()
	p := newPlant(t, withSink(listen(t, "")))
	p.stop()
	p.replace("[[client]]", fmt.Sprintf("[[issuer]]\nname = \"idp\"\nissuer = %q\naudience = [\"https://otp.example.com\"]\n[[client]]", i.url()))
	p.write("page.password", password, 0o600)
	p.replace("[admin]\n", fmt.Sprintf("[admin]\npassword = \"file:%s\"\n", filepath.Join(p.dir, "page.password")))
	p.config = "otpgw.toml" // as the page shows it
	p.start()
	id, code := p.send(number(1))
	p.validate(id, wrongFor(code))
	p.validate(id, code)
	traffic := 30
	if *screenshots != "" {
		traffic = 300
	}
	for i := range traffic {
		to := number(100 + i)
		if i%10 == 9 {
			to = fmt.Sprintf("+3461%04d9901", i) // the simulator says UNDELIV of it
		}
		id, code := p.send(to)
		if i%4 > 0 {
			p.validate(id, code)
		}
		if *screenshots != "" {
			time.Sleep(time.Duration(30+100*(i%60)/60) * time.Millisecond)
		}
	}

	if *screenshots != "" { // something goes on while the pictures are taken
		stop, goesOn := make(chan struct{}), new(sync.WaitGroup)
		goesOn.Go(func() {
			for i := 0; ; i++ {
				select {
				case <-stop:
					return
				case <-time.After(40 * time.Millisecond):
					_, _ = p.call("POST", "/send-code", sendBody(number(5000+i)), nil) // of no other use
				}
			}
		})
		defer goesOn.Wait()
		defer close(stop)
	}

	ctx := browse(t)
	complaints := make(chan string, 100)
	chromedp.ListenTarget(ctx, func(event any) {
		switch e := event.(type) {
		case *page.EventJavascriptDialogOpening:
			complaints <- e.Message
		}
	})
	address := "http://night:" + strings.ReplaceAll(password, " ", "%20") + "@" + p.admin + "/status"
	err := chromedp.Run(ctx,
		chromedp.Navigate(address),
		seen("#state", "running"),
		seen("#binds", "bound"),
		seen("#codes", "verified"),
		seen("#receipts", "UNDELIV"),
		seen("#errors", "3:11"),
		seen("#clients", "acme"),
		seen("#store", "disk left"),
		seen("#auth", "tokens"),
		seen("#auth", "keys: 1"),
		seen("#auth", "sink main"),
		seen("#events", "bound"),

		// A message is found by its id.
		chromedp.SendKeys("#query", id+"\r", chromedp.ByQuery),
		seen("#found", "ESME_ROK"),
		seen("#found", "right code"),
		picture(t, "status.png"),
		emulation.SetEmulatedMedia().WithFeatures([]*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: "dark"}}),
		picture(t, "status-dark.png"),
		emulation.SetEmulatedMedia().WithFeatures(nil),
		chromedp.EmulateViewport(390, 844, chromedp.EmulateMobile),
		picture(t, "status-phone.png"),
		chromedp.EmulateViewport(1100, 900),

		// The binds of an account are drained and started by buttons; what takes something away asks first.
		click(`#smscs form[action="/status/stop"] button`),
		seen(`#smscs form[action="/status/stop"] button`, "Sure?"),
		click(`#smscs form[action="/status/stop"] button`),
		seen("#smscs", "stopped"),
		seen("#state", "not ready"),
		seen("#events", "smsc stopped by the operator"),
		click(`#smscs form[action="/status/start"] button`),
		seen("#smscs", "2 of 2 bound"),
		seen("#binds", "bound"),
		seen("#state", "running"),
		seen("#events", "smsc started by the operator"),

		// A key leads to the search.
		chromedp.Evaluate("document.activeElement.blur()", nil),
		chromedp.KeyEvent("/"),
		chromedp.WaitVisible("#query:focus", chromedp.ByQuery),
	)
	if err != nil {
		t.Fatal(err)
	}
	// A bind that goes by itself is seen too.
	p.smsc.Freeze(true)
	p.smsc.Drop("otpgw")
	if err := chromedp.Run(ctx, seen("#state", "not ready"), seen("#smscs", "0 of 2 bound"), seen("#events", "bind down")); err != nil {
		t.Error(err)
	}
	p.smsc.Freeze(false)
	if err := chromedp.Run(ctx, seen("#state", "running"), seen("#binds", "bound")); err != nil {
		t.Error(err)
	}
	select {
	case c := <-complaints:
		t.Error(c)
	default:
	}
	var wide bool
	if err := chromedp.Run(ctx,
		chromedp.EmulateViewport(360, 700, chromedp.EmulateMobile),
		chromedp.Evaluate(`document.documentElement.scrollWidth > 360`, &wide)); err != nil || wide {
		t.Errorf("on a phone the page is wider than the screen: %v, %v", wide, err)
	}
	// Who does not answer any more is seen to.
	p.signal(os.Kill)
	if err := chromedp.Run(ctx, chromedp.WaitVisible("#stale", chromedp.ByQuery)); err != nil {
		t.Error(err)
	}
}
